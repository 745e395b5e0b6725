/** Checks fields of a VHD that do not affect the data of its disk, but that other programs use: what vhd-util check reports (blktap). */

import { hex, isZero, u32be } from '../bytes.ts';
import { checksum, dateOf, type Footer, TAPDISK, versionText, warnOfFooter } from './footer.ts';
import type { Header } from './header.ts';
import type { Report } from './report.ts';

/** The version of a footer, and the last one of tapdisk, that libvhd accepts. */
const FORMAT_VERSION = 0x00010000;
const LAST_TAPDISK = 0x00010003;

/** Seconds by which libvhd lets clocks differ (TIMESTAMP_MAX_SLACK). */
const SLACK = 1800;

/** All ff: there is no such offset. */
const NONE = 'ff'.repeat(8);

/** Of the footer at byte `at`. */
export function warnOfFields(footer: Footer, at: number, { warn, now }: Report): void {
  warnOfFooter(footer, warn, at);
  if (footer.timestamp > now + SLACK) {
    const when = dateOf(footer.timestamp).toISOString();
    warn({ code: 'VHD_TIMESTAMP', message: `the timestamp of the footer, ${when}, is in the future`, offset: at + 24 });
  }
  const features = footer.bytes[11] ?? 0;
  if ((features & 2) === 0 || features > 3) {
    warn({ code: 'VHD_FEATURES', message: `the feature bits are ${features}, not 2 or 3`, offset: at + 8 });
  }
  const version = u32be(footer.bytes, 12);
  if (version >>> 16 === 1 && version !== FORMAT_VERSION) {
    warn({ code: 'VHD_VERSION', message: `the footer has version ${versionText(version)}, not 1.0`, offset: at + 12 });
  }
  if (footer.creator === TAPDISK && footer.creatorVersion > LAST_TAPDISK) {
    warn({
      code: 'VHD_VERSION',
      message: `tapdisk ${versionText(footer.creatorVersion)} made this VHD, a later one than 1.3`,
      offset: at + 32,
    });
  }
  if (footer.creator === TAPDISK && (footer.bytes[85] ?? 0) > 1) {
    warn({ code: 'VHD_HIDDEN', message: `the hidden flag is ${footer.bytes[85]}, not 0 or 1`, offset: at + 85 });
  }
  if (/^0+$/.test(footer.uniqueId)) warn({ code: 'VHD_UNIQUE_ID', message: 'the unique ID is all zeros', offset: at + 68 });
  if ((footer.bytes[84] ?? 0) > 1) {
    warn({ code: 'VHD_SAVED_STATE', message: `the saved state is ${footer.bytes[84]}, not 0 or 1`, offset: at + 84 });
  }
  if (footer.type === 'fixed' && hex(footer.bytes.subarray(16, 24)) !== NONE) {
    warn({ code: 'VHD_RESERVED', message: 'the footer of this fixed disk has a data offset', offset: at + 16 });
  }
}

/** Of the dynamic header. */
export function warnOfHeader({ version, bytes }: Header, footer: Footer, { warn, now }: Report): void {
  // A damaged header has been reported.
  if (u32be(bytes, 36) !== checksum(bytes, 36)) return;
  const at = footer.dataOffset;
  if (version % 0x10000 !== 0) {
    warn({ code: 'VHD_VERSION', message: `the dynamic header has version ${versionText(version)}, not 1.0`, offset: at + 24 });
  }
  if (hex(bytes.subarray(8, 16)) !== NONE) {
    warn({ code: 'VHD_RESERVED', message: 'the dynamic header has a data offset', offset: at + 8 });
  }
  if (!isZero(bytes.subarray(60, 64)) || !isZero(bytes.subarray(768, 1024))) {
    warn({
      code: 'VHD_RESERVED',
      message: 'the reserved bytes of the dynamic header are not zero',
      offset: at + (isZero(bytes.subarray(60, 64)) ? 768 : 60),
    });
  }
  if (footer.type === 'differencing' && u32be(bytes, 56) > now + SLACK) {
    warn({ code: 'VHD_TIMESTAMP', message: 'the timestamp of the parent in the dynamic header is in the future', offset: at + 56 });
  }
}

const KINDS: ReadonlySet<string> = new Set(['Wi2r', 'Wi2k', 'W2ru', 'W2ku', 'Mac ', 'MacX']);

/** Locators are never followed. */
export function warnOfLocators({ locators }: Header, footer: Footer, length: number | undefined, { warn }: Report): void {
  for (const { index, entry, kind, ...locator } of locators) {
    const end = locator.offset + locator.length;
    const where = { offset: footer.dataOffset + entry };
    if (!KINDS.has(kind)) warn({ code: 'VHD_LOCATOR', message: `parent locator ${index} is of an unknown kind`, ...where });
    else if (length !== undefined && end > length) {
      warn({
        code: 'VHD_LOCATOR',
        message: `parent locator ${index} ends at byte ${end}, past the end of the VHD (${length} bytes)`,
        ...where,
      });
    }
  }
}
