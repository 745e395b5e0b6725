/** Units, and reading big-endian numbers and text from bytes. */

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;
/** The unit of VHD bitmaps and BAT entries, in bytes. Not the sector of a target. */
export const SECTOR = 512;

export const u16be = (bytes: Uint8Array, at: number): number => byte(bytes, at) * 0x100 + byte(bytes, at + 1);

/** Unsigned, also above 2^31: multiplication, since `<<` would make it negative. */
export const u32be = (bytes: Uint8Array, at: number): number => u16be(bytes, at) * 0x10000 + u16be(bytes, at + 2);

/** Values above 2^53 are rounded but stay above it: compare with Number.MAX_SAFE_INTEGER before use. */
export const u64be = (bytes: Uint8Array, at: number): number => u32be(bytes, at) * 0x100000000 + u32be(bytes, at + 4);

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** ASCII up to the first NUL. Unprintable bytes become '?', so that the text is safe to print. */
export function ascii(bytes: Uint8Array, start: number, length: number): string {
  const field = bytes.subarray(start, start + length);
  const end = field.indexOf(0);
  const text = Buffer.from(end < 0 ? field : field.subarray(0, end)).toString('latin1');
  return text.replace(/[^\x20-\x7e]/g, '?');
}

export const startsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  bytes.length >= at + text.length && Buffer.from(bytes.subarray(at, at + text.length)).equals(Buffer.from(text, 'latin1'));

const ZERO_BYTES = new Uint8Array(64 * KiB);

/** Compares with zeros, many times faster than a loop. */
export function isZero(bytes: Uint8Array): boolean {
  if (bytes.length > 0 && bytes[0] !== 0) return false;
  for (let at = 0; at < bytes.length; at += ZERO_BYTES.length) {
    const part = bytes.subarray(at, at + ZERO_BYTES.length);
    if (Buffer.compare(part, ZERO_BYTES.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

/** The place of the last byte that is not zero; -1 if there is none. */
export function lastNonZero(bytes: Uint8Array): number {
  for (let end = bytes.length; end > 0; ) {
    const start = Math.max(0, end - SECTOR);
    if (!isZero(bytes.subarray(start, end))) {
      for (let at = end - 1; at >= start; at--) if (bytes[at] !== 0) return at;
    }
    end = start;
  }
  return -1;
}

export const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;
export const roundDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;

function byte(bytes: Uint8Array, at: number): number {
  const value = bytes[at];
  if (value === undefined) throw new RangeError(`byte ${at} of ${bytes.length}`);
  return value;
}
