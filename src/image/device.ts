/**
 * Where a VHD on a block device ends. libvhd puts the footer into the last 512 bytes of the device (blktap, vhd/lib/libvhd.c,
 * vhd_footer_offset_at_eof), as SM does with its logical volumes. A VHD that was copied to a larger device ends where its blocks end, and
 * the end of the device may still have the footer of the VHD that was there before.
 */

import { roundUp, SECTOR, u32be } from '../bytes.ts';
import { type Cursor, within } from '../cursor.ts';
import { neededBytes, tableBytes, UNUSED } from '../vhd/bat.ts';
import { isExactlyFixed } from '../vhd/exact.ts';
import { FOOTER_SIZE, type Footer, goodFooter } from '../vhd/footer.ts';
import { HEADER_SIZE, type Header, headerOffset, parseHeader } from '../vhd/header.ts';
import type { OnWarning } from '../warnings.ts';

/** Bytes after the last block in which the footer is searched: batmaps and parent locators may come first. */
const SEARCHED = 8 * 1024 * 1024;
const PIECE = 64 * 1024;

/**
 * The VHD at the start of a device, at its start, without what follows it. The device itself if it holds anything else, if the footer at its
 * end is that of the VHD, or if the VHD has no other. Throws SOURCE_READ.
 */
export async function vhdOnDevice(device: Cursor, warn: OnWarning): Promise<Cursor> {
  const { length } = device;
  const front = goodFooter(await device.peek(FOOTER_SIZE));
  if (length === undefined || front === undefined || front.type === 'fixed') return device;
  const tail = await bytesAt(device, length - FOOTER_SIZE, FOOTER_SIZE);
  const last = goodFooter(tail);
  const isForeign = last !== undefined && last.uniqueId !== front.uniqueId && !isExactlyFixed(tail, length);
  const end = isForeign ? await findFooter(device, front) : undefined;
  await device.moveTo(0);
  if (end === undefined) return device;
  const message = `the VHD ends at byte ${end} of the device, whose end has the footer of another VHD`;
  warn({ code: 'VHD_DEVICE_REST', message, offset: end });
  return within(device, end);
}

/** The byte after the footer that follows the blocks; undefined if there is none. */
async function findFooter(device: Cursor, front: Footer): Promise<number | undefined> {
  const start = await endOfBlocks(device, front);
  for (let at = start ?? 0; start !== undefined && at < start + SEARCHED; at += PIECE) {
    const bytes = await bytesAt(device, at, PIECE);
    for (let from = 0; from + FOOTER_SIZE <= bytes.length; from += SECTOR) {
      const footer = goodFooter(bytes.subarray(from, from + FOOTER_SIZE));
      if (footer?.uniqueId === front.uniqueId) return at + from + FOOTER_SIZE;
    }
  }
  return undefined;
}

/** The least byte at which the blocks and the table can end. Undefined if the metadata is damaged, which reading it will say. */
async function endOfBlocks(device: Cursor, front: Footer): Promise<number | undefined> {
  let header: Header;
  try {
    header = parseHeader(await bytesAt(device, headerOffset(front), HEADER_SIZE), front);
  } catch {
    return undefined;
  }
  const table = await bytesAt(device, header.tableOffset, header.blocks * 4);
  let end = Math.max(header.tableOffset + tableBytes(header.tableEntries), front.dataOffset + HEADER_SIZE);
  const bitmapBytes = roundUp(Math.ceil(header.blockSize / SECTOR / 8), SECTOR);
  for (let block = 0; (block + 1) * 4 <= table.length; block++) {
    const sector = u32be(table, block * 4);
    // A last block may be stored only up to the end of the disk.
    if (sector !== UNUSED) end = Math.max(end, sector * SECTOR + bitmapBytes + neededBytes(block, front, header));
  }
  return end;
}

/** Fewer at the end of the device. */
async function bytesAt(device: Cursor, at: number, count: number): Promise<Uint8Array> {
  const { length = 0 } = device;
  if (at < 0 || at >= length) return new Uint8Array(0);
  await device.moveTo(at);
  return device.read(Math.min(count, length - at));
}
