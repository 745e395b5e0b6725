/**
 * The batmap of tapdisk (creator "tap", version 1.1 and later): a header of 512 bytes right after the padded BAT, which points to a map
 * with one bit per block, set if all sectors of the block are present. It only saves tapdisk reading sector bitmaps, so it is not needed
 * here; but its header also says whether the data is encrypted (blktap, vhd.h).
 *
 *     0  8  cookie "tdbatmap"          20  4  version 0x00010002       29  1  1: the data is encrypted
 *     8  8  offset of the map          24  4  checksum of the map      30 32  nonce
 *    16  4  size of the map, sectors   28  1  marker                   62 32  hash of the key
 */

import { SECTOR, startsWith, u32be, u64be } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { type OnFault, refuse, VdiStreamError } from '../errors.ts';
import { tableBytes } from './bat.ts';
import { type Footer, TAPDISK } from './footer.ts';
import type { Header } from './header.ts';

export interface Batmap {
  /** Byte offset of its header. */
  readonly headerOffset: number;
  /** Byte offset of the map. */
  readonly offset: number;
  readonly length: number;
  readonly version: number;
  readonly checksum: number;
}

export const BATMAP_COOKIE = 'tdbatmap';
const FIRST_VERSION = 0x00010001;

/** Where tapdisk has it; undefined if another program, or an older version, made the VHD. */
export function batmapOffset(footer: Footer, header: Header): number | undefined {
  if (footer.creator !== TAPDISK || footer.creatorVersion < FIRST_VERSION) return undefined;
  return header.tableOffset + tableBytes(header.tableEntries);
}

/**
 * Reads the header of the batmap, if there is one. `firstBlock` is the byte at which the first block begins; a stream must not be read
 * past it. VHD_ENCRYPTED goes to `fault`.
 */
export async function readBatmap(
  cursor: Cursor,
  footer: Footer,
  header: Header,
  firstBlock: number,
  fault: OnFault = refuse,
): Promise<Batmap | undefined> {
  const at = batmapOffset(footer, header);
  if (at === undefined) return undefined;
  const end = Math.min(firstBlock, cursor.length ?? Number.POSITIVE_INFINITY);
  if (at + SECTOR > end || (!cursor.seekable && at < cursor.position)) return undefined;
  await cursor.moveTo(at);
  const bytes = await cursor.peek(SECTOR);
  if (bytes.length < SECTOR || !startsWith(bytes, BATMAP_COOKIE)) return undefined;
  if (bytes[29] === 1) {
    fault(new VdiStreamError('VHD_ENCRYPTED', 'the VHD is encrypted, and the image does not contain the key', { offset: at + 29 }));
  }
  return {
    headerOffset: at,
    offset: u64be(bytes, 8),
    length: u32be(bytes, 16) * SECTOR,
    version: u32be(bytes, 20),
    checksum: u32be(bytes, 24),
  };
}
