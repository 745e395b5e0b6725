/** Checks what a dynamic or differencing VHD has between its footers: header, locators, BAT, batmap and bitmaps. */

import { KiB, SECTOR, startsWith, u32be } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { bitAt, bitRuns } from '../disk/bits.ts';
import type { ErrorCode, VdiStreamError } from '../errors.ts';
import { type Bat, firstByte, neededBytes, readBat, readTable, tableBytes, UNUSED } from './bat.ts';
import { BATMAP_COOKIE, type Batmap, batmapOffset, readBatmap } from './batmap.ts';
import { warnOfHeader, warnOfLocators } from './check-fields.ts';
import { watchBlocks } from './dynamic.ts';
import { findEmptyTail } from './empty-tail.ts';
import { checkEnd, type End, type EndAhead, hasFooter, readEnd } from './end.ts';
import { checksum, FOOTER_SIZE, type Footer, versionText } from './footer.ts';
import { HEADER_SIZE, type Header, headerOffset, MAX_BLOCKS, parseHeader } from './header.ts';
import { limitOf } from './metadata.ts';
import { attempt, type Report } from './report.ts';
import { judgeRest, type Rest } from './rest.ts';
import { createStray, lookBeforeTable } from './stray.ts';

/** Findings about blocks, of one kind, that are listed; the rest are counted. */
const MAX_LISTED = 10;

/** Bytes from one bitmap to the next. */
const NEAR = 16 * KiB;

/** What a check has read before the rest of the VHD, which it reads last. */
interface CheckedBlocks {
  /** Undefined if it is unusable. */
  readonly header: Header | undefined;
  /** Returns the end, and its footer if that is good. Throws VHD_FOOTERS_DIFFER. */
  rest(): Promise<Rest>;
}

/** Misplaced blocks are reported, and all others are checked. `end` is the one of the VHD, if that could be read first. */
export async function checkBlocks(cursor: Cursor, footer: Footer, end: EndAhead | undefined, report: Report): Promise<CheckedBlocks> {
  const header = await attempt(report, async () => {
    await cursor.moveTo(headerOffset(footer));
    return parseHeader(await cursor.read(HEADER_SIZE), footer, report.fault);
  });
  const endOnly = async (from: Cursor): Promise<Rest> => {
    const found = end ?? (await readEnd(from));
    return { end: found, last: checkEnd(found, footer, report.warn) };
  };
  if (header === undefined) return { header, rest: () => endOnly(cursor) };
  warnOfLocators(header, footer, cursor.length, report);
  warnOfHeader(header, footer, report);
  const stray = createStray(footer, header);
  await lookBeforeTable(cursor, { footer, header }, stray);
  const table = await readTable(cursor, header);

  const misplaced = new Set<number>();
  const listed = limited(report);
  const limit = limitOf(cursor, end);
  const bat = await readBat(table, footer, header, limit, (code, block, error) => {
    if (misplaced.has(block)) return;
    misplaced.add(block);
    listed.fault(code, error);
  });
  const first = firstByte(bat, misplaced);
  await warnOfSpare(cursor, header, Math.min(first, limit === cursor.length ? limit - FOOTER_SIZE : limit), report);
  const batmap = await readBatmap(cursor, footer, header, first, report.fault);
  const full = batmap === undefined ? undefined : await readMap(cursor, batmap, header, first, report);
  if (batmap === undefined) await warnOfNoBatmap(cursor, footer, header, first, report);
  else if (full !== undefined) warnOfUnallocated(full, batmap, bat, header, report);

  const metadata = { type: footer.type, footer, header, bat, batmap, stray };
  const { from, see, seen } = cursor.seekable ? { from: cursor } : watchBlocks(cursor, metadata);
  for (let index = 0; index < bat.placed.count; index++) {
    const block = bat.placed.block(index);
    if (misplaced.has(block)) continue;
    const at = bat.placed.sector(index) * SECTOR;
    if (!cursor.seekable && at < cursor.position) continue;
    await from.moveTo(at);
    // The bitmaps of small blocks are near each other, and a file is peeked at in windows, so many are read at a time.
    if (bat.bitmapBytes + header.blockSize <= NEAR) await from.peek(bat.bitmapBytes);
    const bitmap = await from.read(bat.bitmapBytes);
    const stop = at + bat.bitmapBytes + neededBytes(block, footer, header);
    const isLast = see !== undefined && index === bat.placed.count - 1;
    await from.moveTo(isLast ? stop - SECTOR : stop);
    see?.(index, bitmap, isLast ? await from.read(SECTOR) : undefined);
    if (full !== undefined && bitAt(full, block)) {
      const [run, ...more] = bitRuns(bitmap, 0, neededBytes(block, footer, header) / SECTOR);
      if (run?.set !== true || more.length > 0) listed.warn(`block ${block} is full according to the batmap, but not to its bitmap`, at);
    }
  }
  listed.finish();

  return {
    header,
    async rest() {
      // What is where the table should have pointed is not stray.
      if (misplaced.size > 0) return endOnly(from);
      const emptyTail = end !== undefined && footer.type === 'dynamic' ? await findEmptyTail(cursor, bat) : undefined;
      const remaining = { occupied: metadata, end, stray, ...(seen?.() ?? { emptyTail }) };
      const rest = await judgeRest(from, remaining, report.warn, report.fault);
      warnOfShortBlock(bat, header, rest.end, report);
      return rest;
    },
  };
}

/** Reports the first findings of each kind and counts the rest: a table with a million bad entries is one bad table. */
function limited({ fault, warn }: Report) {
  const faults = new Map<string, number>();
  let warnings = 0;
  return {
    fault(code: ErrorCode, error: () => VdiStreamError): void {
      const count = (faults.get(code) ?? 0) + 1;
      faults.set(code, count);
      if (count <= MAX_LISTED) fault(error());
    },
    warn(message: string, offset: number): void {
      if (++warnings <= MAX_LISTED) warn({ code: 'VHD_BATMAP', message, offset });
    },
    finish(): void {
      for (const [code, count] of [...faults, ['VHD_BATMAP', warnings] as const]) {
        if (count > MAX_LISTED) warn({ code: 'MORE_FINDINGS', message: `${code}: ${count - MAX_LISTED} more blocks` });
      }
    },
  };
}

/** Checks the entries after those that the disk needs, up to byte `end`, where other data may begin. */
async function warnOfSpare(cursor: Cursor, header: Header, end: number, { warn }: Report): Promise<void> {
  const start = header.tableOffset + header.blocks * 4;
  const entries = Math.min(header.tableEntries, MAX_BLOCKS) - header.blocks;
  const table = await cursor.read(Math.max(0, Math.min(entries * 4, Number.isFinite(end) ? end - start : 0)));
  let used = 0;
  for (let at = 0; at + 4 <= table.length; at += 4) if (u32be(table, at) !== UNUSED) used++;
  if (used === 0) return;
  warn({ code: 'VHD_TABLE_SPARE', message: `${used} BAT entries past the end of the disk are in use`, offset: start });
}

/** Only if there is room for one: what copies a VHD of tapdisk may leave it out. */
async function warnOfNoBatmap(cursor: Cursor, footer: Footer, header: Header, first: number, { warn }: Report): Promise<void> {
  const at = batmapOffset(footer, header);
  if (at === undefined || at + SECTOR > first || (!cursor.seekable && at < cursor.position)) return;
  if (cursor.length !== undefined && at + SECTOR > cursor.length) return;
  await cursor.moveTo(at);
  const bytes = await cursor.peek(SECTOR);
  if (bytes.length < SECTOR || hasFooter({ bytes }) || startsWith(bytes, BATMAP_COOKIE)) return;
  warn({
    code: 'VHD_BATMAP',
    message: `no batmap at byte ${at}, where tapdisk has one: the cookie "${BATMAP_COOKIE}" is missing`,
    offset: at,
  });
}

function warnOfUnallocated(full: Uint8Array, batmap: Batmap, bat: Bat, header: Header, { warn }: Report): void {
  let first = -1;
  let count = 0;
  for (let block = 0; block < header.blocks; block++) {
    if (!bitAt(full, block) || bat.has(block)) continue;
    if (count++ === 0) first = block;
  }
  if (count === 0) return;
  const offset = batmap.offset + Math.floor(first / 8);
  warn({
    code: 'VHD_BATMAP',
    message: `the batmap lists ${count} blocks as full that are not allocated; the first is block ${first}`,
    offset,
  });
}

/** Other programs, libvhd among them, expect every block to be whole. */
function warnOfShortBlock({ placed, bitmapBytes }: Bat, { blockSize }: Header, end: End, { warn }: Report): void {
  if (placed.count === 0) return;
  const index = placed.count - 1;
  const offset = placed.sector(index) * SECTOR;
  const limit = hasFooter(end) ? end.offset : end.offset + end.bytes.length;
  const missing = offset + bitmapBytes + blockSize - limit;
  if (missing <= 0) return;
  const message = `block ${placed.block(index)}, at byte ${offset}, is stored only up to the end of the disk: ${missing} bytes of the block are missing`;
  warn({ code: 'VHD_BLOCK_SHORT', message, offset });
}

/** Reads the map, one bit per block, if it precedes the first block and is valid. */
async function readMap(cursor: Cursor, batmap: Batmap, header: Header, first: number, { warn }: Report): Promise<Uint8Array | undefined> {
  const { offset, length } = batmap;
  const refuseMap = (message: string): undefined => {
    warn({ code: 'VHD_BATMAP', message, offset: batmap.headerOffset });
  };
  const least = Math.ceil(header.blocks / 8);
  if (batmap.version > LAST_BATMAP) {
    warn({
      code: 'VHD_BATMAP',
      message: `the batmap has version ${versionText(batmap.version)}, later than 1.2`,
      offset: batmap.headerOffset + 20,
    });
  }
  if (offset < batmap.headerOffset + SECTOR || length < least || length > tableBytes(MAX_BLOCKS) || offset + length > first) {
    return refuseMap(`the batmap cannot have ${length} bytes at byte ${offset}`);
  }
  await cursor.moveTo(offset);
  const map = await cursor.read(length);
  // Version 1.1 of tapdisk summed signed bytes.
  const sums = [checksum(map, map.length), signedChecksum(map)];
  return sums.includes(batmap.checksum) ? map : refuseMap('the checksum of the batmap is wrong');
}

function signedChecksum(map: Uint8Array): number {
  let sum = 0;
  for (const byte of map) sum += byte > 127 ? byte - 256 : byte;
  return ~sum >>> 0;
}

const LAST_BATMAP = 0x00010002;
