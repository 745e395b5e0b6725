/** Checks one VHD from end to end, continuing past damage as far as possible. */

import { type Cursor, truncated } from '../cursor.ts';
import type { DiskFacts } from '../disk/disk.ts';
import { FRONT_BYTES, refuseOtherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { checkBlocks } from './check-blocks.ts';
import { warnOfFields } from './check-fields.ts';
import { type FixedEnd, isFixed, lookAtEnd } from './end.ts';
import { fixedDisk, refuseExtra } from './fixed.ts';
import { FOOTER_SIZE, type Footer, hasCookie, identityOf, parseFooter, warnOfFooter } from './footer.ts';
import { attempt, type Report } from './report.ts';

/** The facts that a check collects besides faults. */
export interface Checked extends Pick<DiskFacts, 'type' | 'virtualSize' | 'identity' | 'parent'> {
  readonly hidden: boolean;
}

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
    refuseOtherFormat(await cursor.peek(FRONT_BYTES));
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
