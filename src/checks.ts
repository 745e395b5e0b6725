/** Checks: what a value that comes from a caller must be. */

import { TiB } from './bytes.ts';
import { GUARDS } from './errors.ts';
import { didYouMean, listed } from './words.ts';

/** What a value must be; undefined if it is. */
export type Check = (value: unknown) => string | undefined;
export type Table = Readonly<Record<string, Check>>;

export const must =
  (be: string, holds: (value: unknown) => boolean): Check =>
  (value) =>
    holds(value) ? undefined : be;

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
export const field = (value: unknown, name: string): unknown => (isObject(value) ? Reflect.get(value, name) : undefined);
export const hasMethod = (value: unknown, name: string): boolean => typeof field(value, name) === 'function';
export const hasMethods = (value: unknown, ...names: readonly string[]): boolean => names.every((name) => hasMethod(value, name));
export const isWhole = (value: unknown, least: number): boolean => Number.isSafeInteger(value) && Number(value) >= least;

export const flag = must('true or false', (value) => typeof value === 'boolean');
export const filled = must('a string that is not empty', (value) => typeof value === 'string' && value !== '');
export const path = must('a path', (value) => typeof value === 'string' && value !== '' && !value.includes('\0'));
export const anyText = must('a string', (value) => typeof value === 'string');
export const callback = must('a function', (value) => typeof value === 'function');
export const number = must('a number', (value) => typeof value === 'number');
/** More would overflow a timer of Node. */
const MAX_TIMEOUT = 2 ** 31 - 1;
export const milliseconds = must(
  `a number of milliseconds from 1 to ${MAX_TIMEOUT}`,
  (value) => typeof value === 'number' && value >= 1 && value <= MAX_TIMEOUT,
);
export const whole = (least: number): Check => must(`a whole number of at least ${least}`, (value) => isWhole(value, least));
/** Of a disk, in bytes. More would take gigabytes of memory for what is known of its sectors. */
export const diskSize = must('a whole number of at most 1024 TiB', (value) => isWhole(value, 0) && Number(value) <= 1024 * TiB);
export const oneOf = (...words: readonly string[]): Check =>
  must(listed(words.map((word) => `"${word}"`)), (value) => typeof value === 'string' && words.includes(value));
export const signal = must('an AbortSignal', (value) => value instanceof AbortSignal);
export const sha256 = must('64 hexadecimal digits', (value) => typeof value === 'string' && /^[0-9a-f]{64}$/i.test(value));
export const statuses = must('an array of HTTP statuses', (value) => Array.isArray(value) && value.every((each) => isWhole(each, 200)));
export const strings = must('an array of strings', (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'));
export const headers = must(
  'an object of strings',
  (value) => isObject(value) && Object.values(value).every((each) => typeof each === 'string'),
);
export const digest = must('an object with the strings algorithm and hex', (value) =>
  ['algorithm', 'hex'].every((name) => typeof field(value, name) === 'string'),
);
export const pool = must(
  'a pool, as createPool returns it',
  (value) => hasMethod(value, 'acquire') && isWhole(field(value, 'count'), 1) && isPages(field(value, 'size')),
);
export const sums = must('checksums, as emptySums returns them', (value) => value instanceof BigUint64Array);
export const isPages = (value: unknown): boolean => isWhole(value, 4096) && Number(value) % 4096 === 0;

export const level = must('a whole number from 1 to 9', (value) => isWhole(value, 1) && Number(value) <= 9);
export const powerOfTwoBlock = must(
  'a power of two from 4096 to 2097152',
  (value) => isWhole(value, 4096) && Number(value) <= 2 ** 21 && Number.isInteger(Math.log2(Number(value))),
);
export const align = must('512 or 4096', (value) => value === 512 || value === 4096);
export const encodedIdentity = must(
  'an object with the strings creator and uniqueId and the number timestamp',
  (value) =>
    ['creator', 'uniqueId'].every((name) => typeof field(value, name) === 'string') && typeof field(value, 'timestamp') === 'number',
);
export const tap = must('an object with accepts and take', (value) => hasMethods(value, 'accepts', 'take'));
export const zeroScan = must('an object with zeroRuns and firstNonZero', (value) => hasMethods(value, 'zeroRuns', 'firstNonZero'));

export const isStream = (value: unknown): boolean => isObject(value) && typeof Reflect.get(value, Symbol.asyncIterator) === 'function';
export const isAnyOpener = (value: unknown): boolean => typeof field(value, 'name') === 'string' && hasMethod(value, 'open');
export const isSinkOpener = (value: unknown): boolean =>
  isAnyOpener(value) && typeof field(value, 'readable') === 'boolean' && ['undefined', 'function'].includes(typeof field(value, 'check'));
export const isSource = (value: unknown): boolean =>
  hasMethod(field(value, 'cursor'), 'chunks') && hasMethods(value, 'sharesBytesWith', 'bytesRead', 'finish', 'own', 'close');
export const isTarget = (value: unknown): boolean => hasMethods(value, 'read', 'write', 'zero', 'sync', 'close', 'abandon');
export const isSink = (value: unknown): boolean => hasMethods(value, 'write', 'finish', 'abandon');
export const isReadableDisk = (value: unknown): boolean =>
  isWhole(field(value, 'size'), 1) &&
  isWhole(field(value, 'align'), 1) &&
  hasMethods(value, 'read', 'mayHold', 'version', 'sharesBytesWith', 'close');

export const guardNames: Check = (value) => {
  const names: readonly unknown[] = GUARDS;
  return Array.isArray(value) && value.every((each) => names.includes(each))
    ? undefined
    : `an array of ${listed(GUARDS.map((guard) => `"${guard}"`))}`;
};

/** What is wrong with an object of options, as the end of a sentence; an option that is undefined is one that is missing. */
export function problemOf(options: unknown, table: Table, prefix = ''): string | undefined {
  if (!isObject(options) || Array.isArray(options)) return 'an object';
  for (const name of Object.keys(options)) {
    const value = field(options, name);
    if (value === undefined) continue;
    const check = Object.hasOwn(table, name) ? table[name] : undefined;
    if (check === undefined) return `without the unknown option "${prefix}${name}"${didYouMean(name, Object.keys(table))}`;
    const expected = check(value);
    if (expected !== undefined) return expected.startsWith(SENTENCE) ? expected : `${SENTENCE}${prefix}${name} must be ${expected}`;
  }
  return undefined;
}

/** Begins what is a sentence about an option of its own. */
export const SENTENCE = ': ';
