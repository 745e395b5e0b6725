/** Tables of many blocks: sorted into file order, in turns of the event loop. */

import { expect, test } from 'vitest';
import { inSlices } from '../../src/slices.ts';
import { type Bat, readBat } from '../../src/vhd/bat.ts';
import { parseFooter } from '../../src/vhd/footer.ts';
import { parseHeader } from '../../src/vhd/header.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { shuffle } from '../support/vhd-model.ts';

const BLOCKS = 150_000;
/** A bitmap and a block of 512 bytes each. */
const SECTORS = 2;
const FIRST = 5000;

/** The table of a disk of tiny blocks that lie one after the other in the file, in this order. */
async function batOf(order: readonly number[]): Promise<Bat> {
  const front = dynamicVhd({ size: BLOCKS * 512, blockSize: 512, blocks: new Map() });
  const footer = parseFooter(front.subarray(0, 512), 0);
  const table = Buffer.alloc(BLOCKS * 4, 0xff);
  for (const [place, block] of order.entries()) table.writeUInt32BE(FIRST + place * SECTORS, block * 4);
  return readBat(table, footer, parseHeader(front.subarray(512, 1536), footer), Number.POSITIVE_INFINITY);
}

function orderOf({ placed }: Bat): number[] {
  return Array.from({ length: placed.count }, (_, index) => placed.block(index));
}

test.each([
  ['in the order of the disk', Array.from({ length: BLOCKS }, (_, block) => block)],
  ['in reverse', Array.from({ length: BLOCKS }, (_, index) => BLOCKS - 1 - index)],
  ['in random order', shuffle([...Array(BLOCKS).keys()], 5)],
  ['in random order, with gaps', shuffle([...Array(BLOCKS).keys()], 6).slice(0, 90_000)],
])('blocks %s are found in the order of the file', async (_what, order) => {
  const bat = await batOf(order);
  expect(orderOf(bat)).toEqual(order);
  expect(bat.placed.sector(order.length - 1)).toBe(FIRST + (order.length - 1) * SECTORS);
});

test('the event loop turns while a long table is sorted', async () => {
  let turns = 0;
  let isRead = false;
  const count = (): void => {
    turns++;
    if (!isRead) setImmediate(count);
  };
  setImmediate(count);
  await batOf(shuffle([...Array(BLOCKS).keys()], 5));
  isRead = true;
  // Seven passes of ten slices.
  expect(turns).toBeGreaterThanOrEqual(60);
});

test('a slice has at most 16 Ki items, and each item is in one', async () => {
  const slices: number[] = [];
  await inSlices(40_000, (from, to) => slices.push(from, to));
  expect(slices).toEqual([0, 16_384, 16_384, 32_768, 32_768, 40_000]);
});
