/** Checks what a dynamic or differencing VHD has between its footers: header, locators, BAT, batmap and bitmaps. */

import { SECTOR, u32be, u64be } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { bitAt, bitRuns } from '../disk/bits.ts';
import type { ErrorCode, VdiStreamError } from '../errors.ts';
import { firstByte, neededBytes, readBat, readTable, tableBytes, UNUSED } from './bat.ts';
import { type Batmap, readBatmap } from './batmap.ts';
import { checksum, FOOTER_SIZE, type Footer } from './footer.ts';
import { HEADER_SIZE, type Header, headerOffset, MAX_BLOCKS, parseHeader } from './header.ts';
import { attempt, type Report } from './report.ts';

/** Findings about blocks, of one kind, that are listed; the rest are counted. */
const MAX_LISTED = 10;

/** Undefined if the header is unusable. Misplaced blocks are reported, and all others are checked. */
export async function checkBlocks(cursor: Cursor, footer: Footer, report: Report): Promise<Header | undefined> {
  const header = await attempt(report, async () => {
    await cursor.moveTo(headerOffset(footer));
    const bytes = await cursor.read(HEADER_SIZE);
    const found = parseHeader(bytes, footer, report.fault);
    if (footer.type === 'differencing') warnOfLocators(bytes, footer, cursor.length, report);
    return found;
  });
  if (header === undefined) return undefined;
  const table = await readTable(cursor, header);

  const misplaced = new Set<number>();
  const listed = limited(report);
  const bat = readBat(table, footer, header, cursor.length, (code, block, error) => {
    if (misplaced.has(block)) return;
    misplaced.add(block);
    listed.fault(code, error);
  });
  const first = firstByte(bat, misplaced);
  const end = cursor.length === undefined ? first : Math.min(first, cursor.length - FOOTER_SIZE);
  await warnOfSpare(cursor, header, end, report);
  const batmap = await attempt(report, () => readBatmap(cursor, footer, header, first));
  const full = batmap === undefined ? undefined : await readMap(cursor, batmap, header, first, report);
  for (let index = 0; index < bat.placed.count; index++) {
    const block = bat.placed.block(index);
    if (misplaced.has(block)) continue;
    const at = bat.placed.sector(index) * SECTOR;
    if (!cursor.seekable && at < cursor.position) continue;
    await cursor.moveTo(at);
    const bitmap = await cursor.read(bat.bitmapBytes);
    await cursor.moveTo(at + bat.bitmapBytes + neededBytes(block, footer, header));
    if (full !== undefined && bitAt(full, block)) {
      const [run, ...more] = bitRuns(bitmap, 0, neededBytes(block, footer, header) / SECTOR);
      if (run?.set !== true || more.length > 0) listed.warn(`block ${block} is full according to the batmap, but not to its bitmap`, at);
    }
  }
  listed.finish();
  return header;
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

/** Reads the map, one bit per block, if it precedes the first block and is valid. */
async function readMap(cursor: Cursor, batmap: Batmap, header: Header, first: number, { warn }: Report): Promise<Uint8Array | undefined> {
  const { offset, length } = batmap;
  const refuseMap = (message: string): undefined => {
    warn({ code: 'VHD_BATMAP', message, offset: batmap.headerOffset });
  };
  const least = Math.ceil(header.blocks / 8);
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

const KINDS: ReadonlySet<string> = new Set(['Wi2r', 'Wi2k', 'W2ru', 'W2ku', 'Mac ', 'MacX']);

/** Eight locators of 24 bytes each, from byte 576 of the header: kind, space, length, reserved, offset. */
function warnOfLocators(bytes: Uint8Array, footer: Footer, length: number | undefined, { warn }: Report): void {
  for (let index = 0; index < 8; index++) {
    const at = 576 + index * 24;
    if (u32be(bytes, at) === 0) continue;
    const kind = Buffer.from(bytes.subarray(at, at + 4)).toString('latin1');
    const end = u64be(bytes, at + 16) + u32be(bytes, at + 8);
    const where = { offset: footer.dataOffset + at };
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
