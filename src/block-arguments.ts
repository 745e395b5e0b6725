/** Arguments of the building blocks, in order. Their options come after them, and are in `arguments.ts`. */

import { SECTOR } from './bytes.ts';
import {
  type Check,
  callback,
  diskSize,
  field,
  hasMethod,
  hasMethods,
  isPages,
  isStream,
  isTarget,
  isWhole,
  must,
  oneOf,
  sums,
  type Table,
  whole,
} from './checks.ts';
import { VdiStreamError } from './errors.ts';

const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined ? undefined : check(value);

const bytes = must('a Uint8Array', (value) => value instanceof Uint8Array);
const stream = must('an async iterable of Uint8Arrays', isStream);
const inflate = optional(oneOf('auto', 'isal', 'zlib', 'node', 'zlib-sync'));
const cursor = must(
  'a cursor',
  (value) => isWhole(field(value, 'position'), 0) && hasMethods(value, 'peek', 'read', 'fill', 'moveTo', 'chunks'),
);
const openedTarget = must('an open target', (value) => isTarget(value) && isWhole(field(value, 'align'), 1));

const extent = must('an extent', (value) => {
  const kind = field(value, 'kind');
  return kind === 'zero' || kind === 'hole' || (kind === 'data' && hasMethod(value, 'release') && hasMethod(field(value, 'ready'), 'then'));
});

const disk = must('a disk of whole sectors', (value) => {
  const size = field(value, 'virtualSize');
  return isWhole(size, SECTOR) && Number(size) % SECTOR === 0 && hasMethods(value, 'extents', 'allocated');
});

const isBody = (value: unknown): boolean => isWhole(field(value, 'length'), 0) && hasMethod(value, 'bytes');
const members = must(
  'an array of members, each with name, length and bytes',
  (value) => Array.isArray(value) && value.every((each) => isBody(each) && typeof field(each, 'name') === 'string'),
);
const ovaDisks = must(
  'an array of disks, each with virtualSize, length and bytes',
  (value) => Array.isArray(value) && value.every((each) => isBody(each) && isWhole(field(each, 'virtualSize'), 0)),
);

const ARGUMENTS = {
  compressionOf: { magic: bytes },
  decompress: { compression: oneOf('none', 'gzip', 'zstd', 'xz', 'bzip2', 'lz4'), source: stream, inflate },
  gunzip: { source: stream, inflate },
  gzip: { source: stream },
  drain: { cursor },
  streamCursor: { source: stream, length: optional(whole(0)) },
  discard: { extent },
  overlay: {
    layers: must('an async iterable of layers', isStream),
    buffers: must('a pool', (value) => hasMethod(value, 'acquire') && isPages(field(value, 'size'))),
  },
  rawDisk: { cursor, size: optional(whole(0)), warn: callback },
  pump: {
    extents: must(
      'an async generator of extents, or a function',
      (value) => typeof value === 'function' || (isStream(value) && hasMethod(value, 'next')),
    ),
    target: openedTarget,
  },
  emptySums: { size: diskSize },
  verifySums: { target: openedTarget, size: diskSize, sums },
  isTarHeader: { block: bytes },
  readTar: { cursor, warn: optional(callback) },
  packTar: { members },
  packOva: { disks: ovaDisks },
  decodeVhd: { cursor },
  encodeVhd: { disk },
  encodeRaw: { disk },
} as const satisfies Readonly<Record<string, Table>>;

/** Throws USAGE for the first of the values that is not what the argument at its place must be. */
export function checkArguments(call: keyof typeof ARGUMENTS, ...values: readonly unknown[]): void {
  const checks: ReadonlyArray<readonly [string, Check]> = Object.entries(ARGUMENTS[call]);
  for (const [index, [name, check]] of checks.entries()) {
    const expected = check(values[index]);
    if (expected !== undefined) throw new VdiStreamError('USAGE', `${call}: ${name} must be ${expected}`);
  }
}
