/**
 * PortableSums: the checksums of native/sums.cc in JavaScript: for each 2 MiB of disk, the sum modulo 2^64 of XXH64 of each sector, with its
 * number as the seed. A sector of zeros adds nothing.
 *
 * A number of 64 bits is two of 32, its high and its low word, because BigInt is a hundred times as slow. Words are signed where only their
 * bits matter.
 */

import { MiB, SECTOR } from '../bytes.ts';

const SPAN = 2 * MiB;

/** The primes of XXH64 (its specification, "Overview"), as high and low words. */
const P1 = { high: 0x9e3779b1, low: 0x85ebca87 } as const;
const P2 = { high: 0xc2b2ae3d, low: 0x27d4eb4f } as const;
const P3 = { high: 0x165667b1, low: 0x9e3779f9 } as const;
const P4 = { high: 0x85ebca77, low: 0xc2b2ae63 } as const;

/** The result of the last call of a function below: an object for each would take longer than the work. */
let high = 0;
let low = 0;

/** The upper word of the product of two words, `b` unsigned: in two steps, each exact in the 53 bits of a number. */
function upperProduct(a: number, b: number): number {
  const lower = (a & 0xffff) * b;
  const upper = (a >>> 16) * b;
  return Math.floor((upper + Math.floor(lower / 0x10000)) / 0x10000);
}

function add(aHigh: number, aLow: number, bHigh: number, bLow: number): void {
  const sum = (aLow >>> 0) + (bLow >>> 0);
  low = sum | 0;
  high = (aHigh + bHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
}

function multiply(aHigh: number, aLow: number, { high: bHigh, low: bLow }: typeof P1 | typeof P2 | typeof P3): void {
  high = (upperProduct(aLow, bLow) + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) | 0;
  low = Math.imul(aLow, bLow);
}

/** Adds `a` rotated to the left by 1 to 31 bits. */
function addRotated(aHigh: number, aLow: number, bits: number): void {
  add(high, low, (aHigh << bits) | (aLow >>> (32 - bits)), (aLow << bits) | (aHigh >>> (32 - bits)));
}

/** Shifts the result to the right, and combines both with XOR. */
function fold(bits: number): void {
  const shiftedHigh = bits < 32 ? high >>> bits : 0;
  const shiftedLow = bits < 32 ? (low >>> bits) | (high << (32 - bits)) : high >>> (bits - 32);
  high ^= shiftedHigh;
  low ^= shiftedLow;
}

/** The words of P1 and P2, and their halves, as constants of their own: the inner loop is twice as fast with them. */
const [P1_HIGH, P1_LOW, P1_UPPER, P1_LOWER] = [P1.high | 0, P1.low | 0, P1.low >>> 16, P1.low & 0xffff];
const [P2_HIGH, P2_LOW, P2_UPPER, P2_LOWER] = [P2.high | 0, P2.low | 0, P2.low >>> 16, P2.low & 0xffff];

/**
 * lane = rotl(lane + word × P2, 31) × P1, for one lane of all stripes. The inner loop, so without calls, and in whole numbers of 32 bits: the
 * upper word of a product is added up from those of halves. Returns whether a word is not zero.
 */
function hashLane(view: DataView, at: number): boolean {
  let laneHigh = high;
  let laneLow = low;
  let any = 0;
  for (let next = at; next < at + SECTOR; next += 32) {
    const wordLow = view.getInt32(next, true);
    const wordHigh = view.getInt32(next + 4, true);
    any |= wordLow | wordHigh;
    const lower = wordLow & 0xffff;
    const upper = wordLow >>> 16;
    const crossed = Math.imul(lower, P2_UPPER);
    const across = Math.imul(upper, P2_LOWER);
    const carried = (Math.imul(lower, P2_LOWER) >>> 16) + (crossed & 0xffff) + (across & 0xffff);
    const inputUpper = (Math.imul(upper, P2_UPPER) + (crossed >>> 16) + (across >>> 16) + (carried >>> 16)) | 0;
    const inputHigh = (inputUpper + Math.imul(wordHigh, P2_LOW) + Math.imul(wordLow, P2_HIGH)) | 0;
    const inputLow = Math.imul(wordLow, P2_LOW);
    const sumLow = (laneLow + inputLow) | 0;
    const carry = ((laneLow & inputLow) | ((laneLow | inputLow) & ~sumLow)) >>> 31;
    const sumHigh = (laneHigh + inputHigh + carry) | 0;
    const rotatedHigh = (sumHigh << 31) | (sumLow >>> 1);
    const rotatedLow = (sumLow << 31) | (sumHigh >>> 1);
    const half = rotatedLow & 0xffff;
    const other = rotatedLow >>> 16;
    const first = Math.imul(half, P1_UPPER);
    const second = Math.imul(other, P1_LOWER);
    const middle = (Math.imul(half, P1_LOWER) >>> 16) + (first & 0xffff) + (second & 0xffff);
    const laneUpper = (Math.imul(other, P1_UPPER) + (first >>> 16) + (second >>> 16) + (middle >>> 16)) | 0;
    laneHigh = (laneUpper + Math.imul(rotatedHigh, P1_LOW) + Math.imul(rotatedLow, P1_HIGH)) | 0;
    laneLow = Math.imul(rotatedLow, P1_LOW);
  }
  high = laneHigh;
  low = laneLow;
  return any !== 0;
}

/** hash = (hash ^ rotl(lane × P2, 31) × P1) × P1 + P4 */
function mergeLane(laneHigh: number, laneLow: number): void {
  const [hashHigh, hashLow] = [high, low];
  multiply(laneHigh, laneLow, P2);
  const [productHigh, productLow] = [high, low];
  [high, low] = [0, 0];
  addRotated(productHigh, productLow, 31);
  multiply(high, low, P1);
  multiply(hashHigh ^ high, hashLow ^ low, P1);
  add(high, low, P4.high, P4.low);
}

const LANES = new Int32Array(8);
const ROTATIONS = [1, 7, 12, 18] as const;

/** Whether the sector adds to its sum, by the result. */
function hashSector(view: DataView, at: number, number: number): boolean {
  const seedHigh = Math.floor(number / 2 ** 32);
  let isData = false;
  for (let lane = 0; lane < 4; lane++) {
    [high, low] = [seedHigh, number | 0];
    if (lane < 2) add(high, low, P2.high, P2.low);
    if (lane === 0) add(high, low, P1.high, P1.low);
    if (lane === 3) add(high, low, ~P1.high, -P1.low);
    if (hashLane(view, at + 8 * lane)) isData = true;
    LANES[2 * lane] = high;
    LANES[2 * lane + 1] = low;
  }
  if (!isData) return false;
  [high, low] = [0, 0];
  ROTATIONS.forEach((bits, lane) => {
    addRotated(LANES[2 * lane] ?? 0, LANES[2 * lane + 1] ?? 0, bits);
  });
  for (let lane = 0; lane < 4; lane++) mergeLane(LANES[2 * lane] ?? 0, LANES[2 * lane + 1] ?? 0);
  add(high, low, 0, SECTOR);
  fold(33);
  multiply(high, low, P2);
  fold(29);
  multiply(high, low, P3);
  fold(32);
  return true;
}

export const addSums = (sums: BigUint64Array, bytes: Uint8Array, offset: number): void => change(sums, bytes, offset, 1n);

/** Subtracts what `addSums` has added. */
export const takeSums = (sums: BigUint64Array, bytes: Uint8Array, offset: number): void => change(sums, bytes, offset, -1n);

/** Throws for parts of sectors, as the addon does. What lies after the last sum is left out. */
function change(sums: BigUint64Array, bytes: Uint8Array, offset: number, sign: bigint): void {
  if (offset % SECTOR !== 0 || bytes.length % SECTOR !== 0) throw new RangeError('sums are of whole sectors');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; ) {
    const index = Math.floor((offset + at) / SPAN);
    const before = sums[index];
    if (before === undefined) return;
    const end = Math.min(bytes.length, (index + 1) * SPAN - offset);
    let sumHigh = 0;
    let sumLow = 0;
    for (; at < end; at += SECTOR) {
      if (!hashSector(view, at, (offset + at) / SECTOR)) continue;
      add(sumHigh, sumLow, high, low);
      [sumHigh, sumLow] = [high, low];
    }
    const sum = (BigInt(sumHigh >>> 0) << 32n) | BigInt(sumLow >>> 0);
    sums[index] = before + sign * sum; // modulo 2^64
  }
}
