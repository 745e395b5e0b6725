/** Opcodes: what each opcode does to the machine that `pickle-read.ts` runs, and which ones are refused. */

import { KiB } from '../bytes.ts';
import type { VdiStreamError } from '../errors.ts';
import { finite, float, integerOrTruth, long, longInteger, malformed, quotedString, rawUnicode, utf8 } from './pickle-atoms.ts';

/** While the machine runs, lists and dicts may still grow, and may be shared, or even contain themselves. */
export type Item = null | boolean | number | string | Item[] | Map<string, Item>;

/** All methods throw USAGE for a malformed pickle. */
export interface Machine {
  readonly memo: Map<number, Item>;
  push(item: Item): void;
  pop(): Item;
  /** Does not pop it. */
  top(): Item;
  mark(): void;
  /** Pops everything since the last mark, and the mark. */
  popToMark(): Item[];
  /** The next bytes of the pickle. */
  take(count: number): Buffer;
  /** The next bytes of the pickle as Latin-1, to the end of the line. */
  line(): string;
}

type Step = (machine: Machine) => void;

export const STOP = 0x2e;

export const STEPS: ReadonlyMap<number, Step> = byOpcode<Step>({
  // Protocol 0
  '(': ({ mark }) => mark(),
  0: ({ pop }) => void pop(),
  N: ({ push }) => push(null),
  I: ({ push, line }) => push(integerOrTruth(line())),
  L: ({ push, line }) => push(longInteger(line())),
  F: ({ push, line }) => push(float(line())),
  S: ({ push, line }) => push(quotedString(line())),
  V: ({ push, line }) => push(rawUnicode(line())),
  l: ({ push, popToMark }) => push(popToMark()),
  t: ({ push, popToMark }) => push(tuple(popToMark())),
  d: ({ push, popToMark }) => push(dictOf(popToMark())),
  a: (machine) => append(machine, several(machine, 1)),
  s: (machine) => insert(machine, several(machine, 2)),
  p: (machine) => put(machine, memoIndex(machine.line())),
  g: (machine) => get(machine, memoIndex(machine.line())),

  // Protocol 1
  ']': ({ push }) => push([]),
  ')': ({ push }) => push(tuple([])),
  '}': ({ push }) => push(new Map()),
  e: (machine) => append(machine, machine.popToMark()),
  u: (machine) => insert(machine, machine.popToMark()),
  1: ({ popToMark }) => void popToMark(),
  K: (machine) => machine.push(u8(machine)),
  M: ({ push, take }) => push(take(2).readUInt16LE()),
  J: (machine) => machine.push(i32(machine)),
  G: ({ push, take }) => push(finite(take(8).readDoubleBE())),
  U: (machine) => machine.push(utf8(machine.take(u8(machine)))),
  T: (machine) => machine.push(utf8(machine.take(i32(machine)))),
  X: (machine) => machine.push(utf8(machine.take(u32(machine)))),
  q: (machine) => put(machine, u8(machine)),
  r: (machine) => put(machine, u32(machine)),
  h: (machine) => get(machine, u8(machine)),
  j: (machine) => get(machine, u32(machine)),

  // Protocol 2
  '\x80': (machine) => protocol(u8(machine)),
  '\x85': (machine) => machine.push(tuple(several(machine, 1))),
  '\x86': (machine) => machine.push(tuple(several(machine, 2))),
  '\x87': (machine) => machine.push(tuple(several(machine, 3))),
  '\x88': ({ push }) => push(true),
  '\x89': ({ push }) => push(false),
  '\x8a': (machine) => machine.push(long(machine.take(u8(machine)))),
  '\x8b': (machine) => machine.push(long(machine.take(i32(machine)))),
});

/** Names from Python's pickletools. Each looks up or calls a class or function, or requests an object from the program. */
const NOT_DATA: ReadonlyMap<number, string> = byOpcode({
  c: 'GLOBAL',
  R: 'REDUCE',
  i: 'INST',
  o: 'OBJ',
  b: 'BUILD',
  P: 'PERSID',
  Q: 'BINPERSID',
  '\x81': 'NEWOBJ',
  '\x82': 'EXT1',
  '\x83': 'EXT2',
  '\x84': 'EXT4',
  '\x92': 'NEWOBJ_EX',
  '\x93': 'STACK_GLOBAL',
  '\x97': 'NEXT_BUFFER',
  '\x98': 'READONLY_BUFFER',
});

export function refusedOpcode(opcode: number): VdiStreamError {
  const name = NOT_DATA.get(opcode);
  if (name !== undefined) return malformed(`has the opcode ${name}, which could run code; only plain data is accepted`);
  return malformed(`has the byte 0x${opcode.toString(16).padStart(2, '0')}, which is not an opcode for plain data in protocols 0 to 2`);
}

function byOpcode<T>(table: Readonly<Record<string, T>>): ReadonlyMap<number, T> {
  return new Map(Object.entries(table).map(([character, entry]) => [character.charCodeAt(0), entry]));
}

const u8 = ({ take }: Machine): number => take(1).readUInt8();
const i32 = ({ take }: Machine): number => take(4).readInt32LE();
const u32 = ({ take }: Machine): number => take(4).readUInt32LE();

/** Pops `count` items, and returns the deepest first. */
const several = ({ pop }: Machine, count: number): Item[] => Array.from({ length: count }, pop).reverse();

/** A frozen list. */
function tuple(items: Item[]): Item {
  Object.freeze(items);
  return items;
}

function append({ top }: Machine, items: readonly Item[]): void {
  const list = top();
  if (!Array.isArray(list) || Object.isFrozen(list)) throw malformed('appends to something that is not a list');
  for (const item of items) list.push(item);
}

function insert({ top }: Machine, items: readonly Item[]): void {
  const dict = top();
  if (!(dict instanceof Map)) throw malformed('sets an item of something that is not a dict');
  for (const [key, value] of dictOf(items)) dict.set(key, value);
}

/** Keys and values alternate. */
function dictOf(items: readonly Item[]): Map<string, Item> {
  const dict = new Map<string, Item>();
  for (let index = 0; index < items.length; index += 2) {
    const key = items[index];
    const value = items[index + 1];
    if (value === undefined) throw malformed('has a key without a value');
    if (typeof key !== 'string') throw malformed('has a dict with a key that is not a string');
    dict.set(key, value);
  }
  return dict;
}

/** Python numbers memo entries consecutively, and a pickle that fits in an argument has fewer opcodes than this. */
const MAX_MEMO = 128 * KiB;

function put({ memo, top }: Machine, at: number): void {
  if (at >= MAX_MEMO) throw malformed(`has a memo index beyond ${MAX_MEMO}`);
  memo.set(at, top());
}

function get({ memo, push }: Machine, at: number): void {
  const item = memo.get(at);
  if (item === undefined) throw malformed('gets a memo entry that was never put');
  push(item);
}

function memoIndex(line: string): number {
  if (!/^\d{1,9}$/.test(line)) throw malformed('has a memo index that is not a number');
  return Number(line);
}

function protocol(version: number): void {
  if (version > 2) throw malformed(`has protocol ${version}; only 0 to 2 are supported`);
}
