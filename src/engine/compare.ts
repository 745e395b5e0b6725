/** Comparing: a target that compares data with its content, byte by byte, instead of writing it. */

import { MiB, roundDown, roundUp, SECTOR } from '../bytes.ts';
import { createSectorSet, type SectorSet } from '../disk/sectors.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { native } from '../host/native.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { Pool } from '../host/pool.ts';
import type { Target } from '../target/target.ts';
import type { OnWarning } from '../warnings.ts';
import { type GatheredSpan, memoryOf, putPart, SPAN_CALLS, spanCalls } from './span.ts';

export function mismatch(target: Target, offset: number, what: string): VdiStreamError {
  return new VdiStreamError('VERIFY_MISMATCH', `${target.name}: ${what}`, { device: target.name, offset });
}

/** Makes reads of the first `length` bytes come from the medium. If they cannot, warns and resolves with false. */
export async function readsMedium(target: Target, length: number, warn: OnWarning): Promise<boolean> {
  if (target.uncache === undefined || (await target.uncache(length))) return true;
  warn({ code: 'VERIFY_CACHED', message: `${target.name}: part of it stayed in the page cache, so it was not compared on the medium` });
  return false;
}

/** Bytes of an empty extent that are compared before the signal is looked at, and the next hole of the target. */
const STEP = 64 * MiB;

interface ComparingOptions {
  /** Bytes of the disk. */
  readonly size: number;
  /** Whether a range may be written again; then only the last data counts. */
  readonly rewrites: boolean;
}

interface Comparing {
  readonly target: Target;
  /** Compares the parts of a span, of at most half a buffer. The gaps between them are only read. */
  compareSpan(span: GatheredSpan): Promise<void>;
  /** Throws VERIFY_MISMATCH for the first sector that differs from the last data for it. */
  finish(): void;
}

/**
 * Pumping a disk into the returned target verifies the disk. Throws VERIFY_MISMATCH with the first byte of an extent that differs,
 * immediately unless there are `rewrites`. Use the zero policy `write`, so that empty extents are compared too.
 */
export function comparing(target: Target, pool: Pool, { size, rewrites }: ComparingOptions): Comparing {
  // Sectors that differ from the image so far: at most one bit per sector.
  const differing = rewrites ? createSectorSet(roundUp(size, target.align)) : undefined;
  const judge = judgeOf(target, differing);

  async function compare(offset: number, length: number, expected: Uint8Array | undefined): Promise<void> {
    for (let done = 0; done < length; ) {
      const lease = await pool.acquire();
      try {
        const at = offset + done;
        const lead = at % target.align;
        const count = Math.min(length - done, lease.bytes.length - lead);
        const read = lease.bytes.subarray(0, roundUp(lead + count, target.align));
        await target.read(read, at - lead);
        judge(read.subarray(lead, lead + count), at, expected?.subarray(done, done + count));
        done += count;
      } finally {
        lease.release();
      }
    }
  }

  async function compareSpan(span: GatheredSpan): Promise<void> {
    for (const part of span.parts) putPart(span, part);
    await eachInParallel(spanCalls(span, target.align), SPAN_CALLS, async ({ offset, length, runs }) => {
      const lease = await pool.acquire();
      try {
        const read = lease.bytes.subarray(0, length);
        await target.read(read, offset);
        for (const run of runs) {
          judge(read.subarray(run.offset - offset, run.offset - offset + run.length), run.offset, memoryOf(span, run));
        }
      } finally {
        lease.release();
      }
    });
  }

  return {
    target: judgedTarget(target, compare, (offset, length) => differing?.remove(offset, length)),
    compareSpan,
    finish() {
      for (const { offset, inside } of differing?.runs(0, size) ?? []) {
        if (inside) throw mismatch(target, offset, 'the 512 bytes from here on differ from the image');
      }
    },
  };
}

/** The target into which a disk is pumped. `matches`: bytes that are known to be right. */
function judgedTarget(
  target: Target,
  compare: (offset: number, length: number, expected: Uint8Array | undefined) => Promise<void>,
  matches: (offset: number, length: number) => void,
): Target {
  return {
    ...target,
    // Any range can be compared, since whole sectors are read.
    align: SECTOR,
    write: (bytes, offset) => compare(offset, bytes.length, bytes),
    zero: async (offset, length, _how, signal) => {
      const end = offset + length;
      for (let at = offset; at < end; ) {
        throwIfCancelled(signal);
        const data = Math.min(end, (await target.nextData?.(at)) ?? at);
        matches(at, data - at);
        const stop = Math.min(end, data + STEP);
        await compare(data, stop - data, undefined);
        at = stop;
      }
    },
    sync: async () => {},
  };
}

/** Compares bytes that were read at an offset, whole sectors, with those that are expected; zeros if these are undefined. */
type Judge = (bytes: Uint8Array, offset: number, expected: Uint8Array | undefined) => void;

/** Throws VERIFY_MISMATCH for the first byte that differs. With `differing`, it puts the sectors that differ into that set instead. */
function judgeOf(target: Target, differing: SectorSet | undefined): Judge {
  return (bytes, offset, expected) => {
    differing?.remove(offset, bytes.length);
    for (let from = 0; from < bytes.length; ) {
      const rest = bytes.subarray(from);
      const found = expected ? native().firstDifference(rest, expected.subarray(from)) : native().firstNonZero(rest);
      if (found < 0) return;
      if (differing === undefined) throw mismatch(target, offset + from + found, 'this byte differs from the image');
      const sector = roundDown(from + found, SECTOR);
      differing.add(offset + sector, SECTOR);
      from = sector + SECTOR;
    }
  };
}
