/**
 * Reads a Python pickle of plain data, protocols 0 to 2 (described in Python's Lib/pickletools.py).
 *
 * A pickle is a program for a stack machine. Each step is a one-byte opcode, perhaps with an argument: a line of text in protocol 0, a
 * number or counted bytes in the others. Protocol 0:
 *
 *     (  l  t  d         pushes a mark; replaces everything since the mark with a list, tuple or dict
 *     a  s               appends the top to the list below it; adds the top two, key and value, to the dict below them
 *     N  I  L  F  S  V   pushes None, or from a line: integer or bool, long, float, byte string, text
 *     p  g  0            puts the top into the memo under a number; gets it from there; pops it
 *     .                  the end: the top is the value
 *
 * The full language can call any function of the program that reads it. This machine only has the opcodes for data, so it cannot call or
 * look up anything. The others are refused by name.
 */

import { KiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { malformed } from './pickle-atoms.ts';
import { type Item, type Machine, refusedOpcode, STEPS, STOP } from './pickle-opcodes.ts';

/** A dict is a record whose keys are own properties, even `__proto__`. A tuple is a list. */
export type PickleValue = null | boolean | number | string | readonly PickleValue[] | { readonly [key: string]: PickleValue };

/** The longest argument that Linux passes to a program. An opcode adds at most one value, so stack and memo are bounded too. */
const MAX_BYTES = 128 * KiB;
/** Shared values count each time: lists of ten lists of ten lists and so on would soon exceed any memory. */
const MAX_VALUES = 65_536;
const MAX_DEPTH = 32;

/** Throws USAGE, with the byte of the opcode. */
export function readPickle(bytes: Uint8Array): PickleValue {
  if (bytes.length > MAX_BYTES) throw malformed(`is longer than ${MAX_BYTES} bytes`);
  const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const machine = machineOf(input);
  for (;;) {
    const at = machine.position();
    try {
      const [opcode = 0] = machine.take(1);
      if (opcode === STOP) return settled(machine.result());
      const step = STEPS.get(opcode);
      if (step === undefined) throw refusedOpcode(opcode);
      step(machine);
    } catch (error) {
      if (error instanceof VdiStreamError) error.offset ??= at;
      throw error;
    }
  }
}

interface RunningMachine extends Machine {
  position(): number;
  /** The only value left at the end of the pickle. */
  result(): Item;
}

function machineOf(input: Buffer): RunningMachine {
  let at = 0;
  /** The stack since the last mark; `frames` has the parts below. */
  let frame: Item[] = [];
  const frames: Item[][] = [];

  const present = (item: Item | undefined): Item => {
    if (item === undefined) throw malformed('pops a value from an empty stack');
    return item;
  };
  const pop = (): Item => present(frame.pop());

  return {
    memo: new Map(),
    position: () => at,
    push: (item) => void frame.push(item),
    pop,
    top: () => present(frame.at(-1)),
    mark() {
      frames.push(frame);
      frame = [];
    },
    popToMark() {
      const items = frame;
      const below = frames.pop();
      if (below === undefined) throw malformed('refers to a mark that does not exist');
      frame = below;
      return items;
    },
    take(count) {
      if (count < 0 || count > input.length - at) throw malformed('ends in the middle');
      at += count;
      return input.subarray(at - count, at);
    },
    line() {
      const end = input.indexOf('\n', at);
      if (end < 0) throw malformed('ends in the middle of a line');
      const line = input.toString('latin1', at, end);
      at = end + 1;
      return line;
    },
    result() {
      const item = pop();
      if (frame.length > 0 || frames.length > 0) throw malformed('ends with more than one value');
      // A pickle from a text file may have a trailing line feed.
      if (input.toString('latin1', at).trim() !== '') throw malformed('has data after its end');
      return item;
    },
  };
}

/** Copies the value as a tree: shared values are duplicated. */
function settled(root: Item): PickleValue {
  let values = 0;
  const copy = (item: Item, depth: number): PickleValue => {
    if (++values > MAX_VALUES) throw malformed(`holds more than ${MAX_VALUES} values`);
    if (depth > MAX_DEPTH) throw malformed(`is nested more than ${MAX_DEPTH} deep, or contains itself`);
    if (Array.isArray(item)) return item.map((value) => copy(value, depth + 1));
    // Object.fromEntries defines properties; assigning to `__proto__` would set the prototype.
    if (item instanceof Map) return Object.fromEntries([...item].map(([key, value]) => [key, copy(value, depth + 1)]));
    return item;
  };
  return copy(root, 0);
}
