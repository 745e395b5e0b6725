/** PortableScan: finding zeros and differences by comparing with memcmp(3), which `Buffer` has, in the place of the addon. */

import { isZero, KiB } from '../bytes.ts';

/** Compared at a time. Less is searched byte by byte. */
const PART = 4 * KiB;

/** [start, end, …] of each run of zero grains. */
export function zeroRuns(bytes: Uint8Array, grain: number): number[] {
  const runs: number[] = [];
  let isInside = false;
  for (let at = 0; at < bytes.length; at += grain) {
    const isRun = bytes[at] === 0 && isZero(bytes.subarray(at, at + grain));
    if (isRun !== isInside) runs.push(at);
    isInside = isRun;
  }
  if (isInside) runs.push(bytes.length);
  return runs;
}

/** The index of the first byte that differs; -1 if there is none. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) throw new TypeError('firstDifference: a and b must have the same length');
  for (let at = 0; at < a.length; at += PART) {
    const left = a.subarray(at, at + PART);
    const right = b.subarray(at, at + PART);
    if (Buffer.compare(left, right) !== 0) return at + left.findIndex((byte, index) => byte !== right[index]);
  }
  return -1;
}

/** The index of the first byte that is not zero; -1 if there is none. */
export function firstNonZero(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length; at += PART) {
    const part = bytes.subarray(at, at + PART);
    if (part[0] !== 0) return at;
    if (!isZero(part)) return at + part.findIndex((byte) => byte !== 0);
  }
  return -1;
}
