/**
 * Members that say in an extra field how long they are, inflated on all cores. What the field says comes from a stranger: it is used only to
 * guess where the next member begins, and each guess is proved by inflating the member before it, which has to end there and match its
 * trailer. After a wrong one, everything from that member on is read as a stream. So the bytes and the errors are those of a stream.
 */

import { KiB, MiB } from '../bytes.ts';
import type { CompressedInput } from './compressed-input.ts';
import { deflateRange, EXTRA_START, extraEnd, hasExtra, ID1, sizeOf } from './gzip-member.ts';
import { inOrder, slotCount } from './in-order.ts';
import type { InflateCodec, Packed } from './inflate-codec.ts';

/** The output of a slot: two members of `gzip`, or 32 of bgzip. With one, the hops between threads cost 5 % more CPU time. */
const OUTPUT = 2 * MiB;
/** Incompressible data becomes a little longer. */
const INPUT = 2 * MiB + 128 * KiB;

export interface Slot {
  readonly input: Buffer;
  readonly output: Uint8Array;
  /** Bytes of whole members in `input`. */
  filled: number;
  members: readonly SizedMember[];
}

interface SizedMember extends Packed {
  /** Where the member begins in `input`. */
  readonly from: number;
}

const createSlot = (): Slot => ({ input: Buffer.alloc(INPUT), output: new Uint8Array(OUTPUT), filled: 0, members: [] });

/**
 * Inflates the members at the input's position for which that is possible, in `spare` slots and new ones, which it adds to them. Returns
 * false if one was not what its field says: then no other should be believed. The input is then at the first member that was not inflated.
 */
export async function* sizedMembers(
  input: CompressedInput,
  inflate: NonNullable<InflateCodec['members']>,
  spare: Slot[],
): AsyncGenerator<Uint8Array, boolean, void> {
  if (!(await maybeSized(input))) return true;
  const used: Slot[] = [];
  const waiting: Slot[] = []; // filled, in the order of the stream
  let filling: Promise<boolean> | undefined;
  async function fillNext(slot: Slot, wanted: Promise<void>): Promise<boolean> {
    await fillSlot(input, slot, wanted);
    if (slot.members.length > 0) waiting.push(slot);
    return slot.members.length > 0;
  }
  const slots = inOrder(slotCount(), {
    create() {
      const slot = spare.pop() ?? createSlot();
      used.push(slot);
      return slot;
    },
    fill(slot, wanted) {
      filling = fillNext(slot, wanted);
      return filling;
    },
    work: (slot) => inflate(slot.input, slot.output, slot.members),
  });
  let right = true;
  for await (const { slot, result } of slots) {
    waiting.shift();
    const output = slot.output.subarray(0, lengthOf(slot.members.slice(0, result)));
    if (output.length > 0) yield output;
    if (result === slot.members.length) continue;
    right = false;
    await filling;
    const from = slot.members[result]?.from;
    for (const later of waiting.reverse()) input.restore(later.input.subarray(0, later.filled));
    input.restore(slot.input.subarray(from, slot.filled));
    break;
  }
  spare.push(...used);
  return right;
}

const lengthOf = (members: readonly Packed[]): number => members.reduce((total, { length }) => total + length, 0);

/** Whether it is worth looking for sizes: there is a member with an extra field, or too little to say. */
async function maybeSized(input: CompressedInput): Promise<boolean> {
  if (!(await input.refill())) return false;
  const { bytes } = input;
  return bytes[0] === ID1 && (bytes.length < 4 || hasExtra(bytes));
}

/**
 * Copies whole members into a slot, as many as fit, and no more that have yet to arrive once they are wanted. Those that it does not copy
 * stay in the input.
 */
async function fillSlot(input: CompressedInput, slot: Slot, wanted: Promise<void>): Promise<void> {
  const members: SizedMember[] = [];
  let filled = 0;
  for (let room = OUTPUT; room > 0; ) {
    const rest = slot.input.subarray(filled);
    const { member, copied } = await copyMember(input, rest, members.length > 0 ? wanted : undefined);
    if (member === undefined || member.length > room) {
      // A copy: this slot is used again before those bytes may have been read.
      if (copied > 0) input.restore(Uint8Array.from(rest.subarray(0, copied)));
      break;
    }
    const { start, end, length } = member;
    members.push({ from: filled, start: filled + start, end: filled + end, length });
    filled += copied;
    room -= length;
  }
  slot.members = members;
  slot.filled = filled;
}

interface Copied {
  /** Undefined if it is not whole: it says no size, or one that `into` has no room for, or the source ends. */
  readonly member?: Packed | undefined;
  readonly copied: number;
}

/** Copies one member to the start of `into`. */
async function copyMember(input: CompressedInput, into: Buffer, enough: Promise<void> | undefined): Promise<Copied> {
  let copied = 0;
  const copyTo = async (end: number | undefined): Promise<boolean> => {
    if (end === undefined || end > into.length) return false;
    copied += await input.copy(into.subarray(copied, end), enough);
    return copied === end;
  };
  if (!(await copyTo(EXTRA_START))) return { copied };
  const extra = extraEnd(into);
  if (!(await copyTo(extra)) || extra === undefined) return { copied };
  if (!(await copyTo(sizeOf(into.subarray(0, extra))))) return { copied };
  return { member: deflateRange(into.subarray(0, copied), extra), copied };
}
