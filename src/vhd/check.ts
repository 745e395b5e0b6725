/** Checks one VHD from end to end, continuing past damage as far as possible. */

import { u32be } from '../bytes.ts';
import { type Cursor, truncated } from '../cursor.ts';
import type { DiskFacts } from '../disk/disk.ts';
import { refuseOtherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { checkBlocks } from './check-blocks.ts';
import { type FixedEnd, isFixed, lookAtEnd } from './end.ts';
import { fixedDisk, refuseExtra } from './fixed.ts';
import { dateOf, FOOTER_SIZE, type Footer, hasCookie, identityOf, parseFooter, TAPDISK, versionText, warnOfFooter } from './footer.ts';
import { attempt, type Report } from './report.ts';

/** The facts that a check collects besides faults. */
export interface Checked extends Pick<DiskFacts, 'type' | 'virtualSize' | 'identity' | 'parent'> {
  readonly hidden: boolean;
}

/** The version of a footer, and the last one of tapdisk, that libvhd accepts. */
const VERSION = 0x00010000;
const LAST_TAPDISK = 0x00010003;

/** Seconds by which libvhd lets clocks differ (TIMESTAMP_MAX_SLACK). */
const SLACK = 1800;

/**
 * Reports everything that is wrong. Throws only errors of the source, and errors after which the check cannot continue.
 */
export async function checkVhd(cursor: Cursor, report: Report): Promise<Checked | undefined> {
  const front = await cursor.peek(FOOTER_SIZE);
  if (front.length === 0) throw new VdiStreamError('DISK_EMPTY', 'the disk is empty', { offset: 0 });
  // A fixed disk may begin with any bytes, so a good footer at the end, if it can be read now, takes precedence.
  const end = await lookAtEnd(cursor);
  if (isFixed(end)) {
    await refuseExtra(cursor, end);
    return checkFixed(cursor, end, report);
  }
  if (end?.footer === undefined && !hasCookie(front)) {
    refuseOtherFormat(front);
    return checkFixed(cursor, undefined, report);
  }
  if (front.length < FOOTER_SIZE) throw truncated(front.length);
  const footer = readCopy(front, end?.footer, report);
  if (footer.type === 'fixed') {
    throw new VdiStreamError('VHD_TYPE', 'the footer at the start says fixed, but a fixed VHD has a footer only at its end', {
      offset: 60,
    });
  }
  warnOfFields(footer, 0, report);
  const { header, rest } = await checkBlocks(cursor, footer, end, report);
  await attempt(report, async () => {
    const { end: found, last } = await rest();
    if (last !== undefined && last.chsSize !== footer.chsSize) warnOfFooter({ ...last, savedState: false }, report.warn, found.offset);
  });
  return { ...footer, identity: identityOf(footer), parent: header?.parent };
}

/** The copy of the footer at the start, or, if that is unusable, the footer at the end. */
function readCopy(front: Uint8Array, end: Footer | undefined, { fault }: Report): Footer {
  try {
    return parseFooter(front, 0, fault);
  } catch (error) {
    if (end === undefined || !(error instanceof VdiStreamError)) throw error;
    fault(error);
    return end;
  }
}

async function checkFixed(cursor: Cursor, end: FixedEnd | undefined, report: Report): Promise<Checked> {
  const { type, parent, skip } = fixedDisk(cursor, end, report.warn, (footer, _, at) => warnOfFields(footer, at, report));
  return { type, parent, ...(await skip()), hidden: false };
}

/** Checks fields of the footer at byte `at` that do not affect the data of the disk, but that other programs use. */
function warnOfFields(footer: Footer, at: number, { warn, now }: Report): void {
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
  if (version >>> 16 === 1 && version !== VERSION) {
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
}
