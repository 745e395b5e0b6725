/**
 * Reads a Python pickle of plain data, protocols 0 to 2 (Lib/pickletools.py of Python describes them).
 *
 * A pickle is a program for a stack machine. Each step is one byte, the opcode, and perhaps an argument: a line of text in
 * protocol 0, a number or counted bytes in the others. Of protocol 0:
 *
 *     (  l  t  d         a mark; a list, tuple or dict of all that was pushed since
 *     a  s               puts the top of the stack into the list beneath, or the two at the top into the dict beneath
 *     N  I  L  F  S  V   None, and with a line: integer or truth value, long, float, string of bytes, text
 *     p  g               puts the top of the stack into the memo under a number, gets it from there; 0 drops it
 *     .                  the end: the top of the stack is the value
 *
 * The whole language can call any function of the program that reads it. This machine has the opcodes of data only: nothing
 * in it could call or look up anything. The others are refused by name.
 */

import { KiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { malformed } from './pickle-atoms.ts';
import { type Item, type Machine, refusedOpcode, STEPS, STOP } from './pickle-opcodes.ts';

/** A dict is a record whose keys are its own properties, also one such as `__proto__`. A tuple is a list. */
export type PickleValue = null | boolean | number | string | readonly PickleValue[] | { readonly [key: string]: PickleValue };

/** Linux passes no longer argument to a program. An opcode adds one value at most, so stack and memo are bounded too. */
const MAX_BYTES = 128 * KiB;
/** What the memo shares counts each time: ten lists of ten lists of ten lists and so on are soon more than any memory holds. */
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
  /** The one value that is left at the end of the pickle. */
  result(): Item;
}

function machineOf(input: Buffer): RunningMachine {
  let at = 0;
  /** Since the last mark; those of the marks before are put away. */
  let frame: Item[] = [];
  const frames: Item[][] = [];

  const present = (item: Item | undefined): Item => {
    if (item === undefined) throw malformed('takes a value from an empty stack');
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
      if (below === undefined) throw malformed('goes back to a mark that is not there');
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
      // A file that the pickle was put into may have ended it with a line feed.
      if (input.toString('latin1', at).trim() !== '') throw malformed('goes on behind its end');
      return item;
    },
  };
}

/** A tree: what stood in several places is in each of them. */
function settled(root: Item): PickleValue {
  let values = 0;
  const copy = (item: Item, depth: number): PickleValue => {
    if (++values > MAX_VALUES) throw malformed(`holds more than ${MAX_VALUES} values`);
    if (depth > MAX_DEPTH) throw malformed(`is nested more than ${MAX_DEPTH} deep, or holds itself`);
    if (Array.isArray(item)) return item.map((one) => copy(one, depth + 1));
    // This defines properties, where assigning to `__proto__` would change what the record inherits.
    if (item instanceof Map) return Object.fromEntries([...item].map(([key, value]) => [key, copy(value, depth + 1)]));
    return item;
  };
  return copy(root, 0);
}
