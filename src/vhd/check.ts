/** Checks one VHD from end to end, continuing past damage as far as possible. */

import { type Cursor, truncated } from '../cursor.ts';
import type { DiskFacts } from '../disk/disk.ts';
import { FRONT_BYTES, refuseOtherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { checkBlocks } from './check-blocks.ts';
import { checkEnd, lookAtEnd, readEnd } from './end.ts';
import { fixedDisk } from './fixed.ts';
import { dateOf, FOOTER_SIZE, type Footer, hasCookie, identityOf, parseFooter, warnOfFooter } from './footer.ts';
import { attempt, type Report } from './report.ts';

/** The facts that a check collects besides faults. */
export interface Checked extends Pick<DiskFacts, 'type' | 'virtualSize' | 'identity' | 'parent'> {
  readonly hidden: boolean;
}

/** Seconds by which libvhd lets clocks differ (TIMESTAMP_MAX_SLACK). */
const SLACK = 1800;

/**
 * Reports everything that is wrong. Throws only errors of the source, and errors after which the check cannot continue.
 */
export async function checkVhd(cursor: Cursor, report: Report): Promise<Checked | undefined> {
  const front = await cursor.peek(FOOTER_SIZE);
  if (front.length === 0) throw new VdiStreamError('DISK_EMPTY', 'the disk is empty', { offset: 0 });
  // A fixed disk may begin with any bytes, so a good footer at the end, if it can be read now, takes precedence.
  const end = (await lookAtEnd(cursor))?.footer;
  if (end?.type === 'fixed') return checkFixed(cursor, end, report);
  if (end === undefined && !hasCookie(front)) {
    refuseOtherFormat(await cursor.peek(FRONT_BYTES));
    return checkFixed(cursor, undefined, report);
  }
  if (front.length < FOOTER_SIZE) throw truncated(front.length);
  const footer = readCopy(front, end, report);
  if (footer.type === 'fixed') {
    throw new VdiStreamError('VHD_TYPE', 'the footer at the start says fixed, but a fixed VHD has a footer only at its end', {
      offset: 60,
    });
  }
  warnOfFields(front, footer, report);
  const header = await checkBlocks(cursor, footer, report);
  const found = await readEnd(cursor);
  await attempt(report, async () => checkEnd(found.bytes, found.offset, footer, report.warn));
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

async function checkFixed(cursor: Cursor, footer: Footer | undefined, report: Report): Promise<Checked> {
  const disk = fixedDisk(cursor, footer, report.warn);
  const { type, virtualSize, parent } = disk;
  return { type, virtualSize, parent, identity: await disk.skip(), hidden: false };
}

/** Checks fields that do not affect the data of the disk, but that other programs use. */
function warnOfFields(front: Uint8Array, footer: Footer, { warn, now }: Report): void {
  warnOfFooter(footer, warn);
  if (footer.timestamp > now + SLACK) {
    const when = dateOf(footer.timestamp).toISOString();
    warn({ code: 'VHD_TIMESTAMP', message: `the timestamp of the footer, ${when}, is in the future`, offset: 24 });
  }
  const features = hasCookie(front) ? (front[11] ?? 0) : 2;
  if ((features & 2) === 0 || features > 3)
    warn({ code: 'VHD_FEATURES', message: `the feature bits are ${features}, not 2 or 3`, offset: 8 });
  if (/^0+$/.test(footer.uniqueId)) warn({ code: 'VHD_UNIQUE_ID', message: 'the unique ID is all zeros', offset: 68 });
}
