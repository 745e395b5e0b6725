/** Looks for signatures at the start and the end of a disk. */

import { KiB, roundDown, roundUp, startsWith } from '../bytes.ts';
import { type DiskSignature, SIGNATURES } from './signatures.ts';

/** What a disk holds, and where that is recorded. */
interface Content {
  /** A noun phrase: "an LVM physical volume". */
  readonly what: string;
  /** The structure that says so: "label". */
  readonly part: string;
  /** The byte of the disk where that structure starts. */
  readonly offset: number;
}

/** Returns `length` bytes of a disk from byte `offset` on. */
export type ReadRange = (offset: number, length: number) => Promise<Uint8Array>;

/** Sectors of up to this size can be read without a buffer for parts of them. */
const READ_ALIGN = 4 * KiB;
/** A gap up to this size is read, too, instead of reading twice. */
const READ_GAP = 64 * KiB;
/** Bytes that a check of a weak magic looks at. */
const CHECKED = 512;

/**
 * What a disk of `size` bytes holds, or undefined if it bears no signature. Reads less than 2 MiB, in about ten calls in the order of the
 * disk. Each `offset` is a multiple of 4096, and so is each `length`, unless the range ends at the end of the disk; no range goes past it.
 * Throws what `read` throws.
 */
export async function findContent(size: number, read: ReadRange): Promise<Content | undefined> {
  const places = SIGNATURES.flatMap((signature) => placesOf(signature, size));
  const ranges: Chunk[] = [];
  for (const { start, end } of rangesOf(places, size)) ranges.push({ start, bytes: await read(start, end - start) });
  const found = places.find(({ signature, start, end }) => {
    const range = ranges.findLast((candidate) => candidate.start <= start);
    const part = range?.bytes.subarray(start - range.start, end - range.start);
    return part?.length === end - start && matches(signature, part);
  });
  return found && { what: found.signature.what, part: found.signature.part, offset: found.start };
}

/** "an LVM physical volume, label at byte 512" */
export const describeContent = ({ what, part, offset }: Content): string => `${what}, ${part} at byte ${offset}`;

interface Candidate {
  readonly signature: DiskSignature;
  /** The bytes of the disk that decide. */
  readonly start: number;
  readonly end: number;
}

interface Chunk {
  readonly start: number;
  readonly bytes: Uint8Array;
}

function magicsOf({ magic }: DiskSignature): readonly string[] {
  return typeof magic === 'string' ? [magic] : magic;
}

function placesOf(signature: DiskSignature, size: number): Candidate[] {
  const magicEnd = (signature.within ?? 0) + Math.max(...magicsOf(signature).map((magic) => magic.length));
  const length = signature.plausible === undefined ? magicEnd : Math.max(magicEnd, CHECKED);
  const starts = typeof signature.at === 'function' ? signature.at(size) : signature.at;
  return starts
    .filter((start) => start >= 0 && start + magicEnd <= size)
    .map((start) => ({ signature, start, end: Math.min(start + length, size) }));
}

/** What must be read to decide on all places: whole units of READ_ALIGN, in order, without overlaps. */
function rangesOf(places: readonly Candidate[], size: number): { start: number; end: number }[] {
  const merged: { start: number; end: number }[] = [];
  for (const place of places.toSorted((a, b) => a.start - b.start)) {
    const start = roundDown(place.start, READ_ALIGN);
    const end = Math.min(roundUp(place.end, READ_ALIGN), size);
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end + READ_GAP) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

function matches(signature: DiskSignature, part: Uint8Array): boolean {
  if (!magicsOf(signature).some((magic) => startsWith(part, magic, signature.within))) return false;
  const checked = new Uint8Array(CHECKED);
  checked.set(part.subarray(0, CHECKED));
  return signature.plausible?.(new DataView(checked.buffer)) ?? true;
}
