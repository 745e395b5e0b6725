/** Bitmaps as VHDs have them: most significant bit first, one bit per sector or per block. */

/** Bits [start, end), all set or all clear. */
interface BitRun {
  readonly start: number;
  readonly end: number;
  readonly set: boolean;
}

/** The runs of equal bits in [first, first + count); together they cover it. */
export function* bitRuns(bitmap: Uint8Array, first: number, count: number): Generator<BitRun> {
  const end = first + count;
  for (let start = first; start < end; ) {
    const set = bitAt(bitmap, start);
    const same = set ? 0xff : 0;
    let at = start + 1;
    while (at < end) {
      // Eight bits at a time: almost all bytes are 00 or ff.
      if ((at & 7) === 0 && bitmap[at >> 3] === same) at += 8;
      else if (bitAt(bitmap, at) === set) at++;
      else break;
    }
    at = Math.min(at, end);
    yield { start, end: at, set };
    start = at;
  }
}

export const bitAt = (bitmap: Uint8Array, bit: number): boolean => ((bitmap[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0;

/** Whether all bits of [start, end) are set. */
export function areSet(bitmap: Uint8Array, start: number, end: number): boolean {
  for (let bit = start; bit < end; ) {
    const isWhole = (bit & 7) === 0 && bit + 8 <= end;
    if (isWhole ? bitmap[bit >> 3] !== 0xff : !bitAt(bitmap, bit)) return false;
    bit += isWhole ? 8 : 1;
  }
  return true;
}

/** Sets or clears the bits [start, end). */
export function setBits(bitmap: Uint8Array, start: number, end: number, value: boolean): void {
  for (let bit = start; bit < end; ) {
    const whole = (bit & 7) === 0 ? Math.floor((end - bit) / 8) : 0;
    if (whole > 0) {
      bitmap.fill(value ? 0xff : 0, bit >> 3, (bit >> 3) + whole);
      bit += whole * 8;
      continue;
    }
    const mask = 0x80 >> (bit & 7);
    const byte = bitmap[bit >> 3] ?? 0;
    bitmap[bit >> 3] = value ? byte | mask : byte & ~mask;
    bit++;
  }
}
