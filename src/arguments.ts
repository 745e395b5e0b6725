/**
 * Arguments: what each call of the library accepts, checked before anything is done. A call is one table; what is wrong is USAGE, with the
 * name of the option.
 */

import {
  type Check,
  callback,
  digest,
  diskSize,
  field,
  filled,
  flag,
  guardNames,
  hasMethod,
  headers,
  isObject,
  isPages,
  isWhole,
  level,
  must,
  number,
  oneOf,
  path,
  pool,
  powerOfTwoBlock,
  problemOf,
  SENTENCE,
  sha256,
  signal,
  statuses,
  strings,
  sums,
  type Table,
  whole,
} from './checks.ts';
import { VdiStreamError } from './errors.ts';

const READ: Table = {
  disk: filled,
  raw: flag,
  manifest: oneOf('if-present', 'require', 'ignore'),
  inflate: oneOf('auto', 'isal', 'zlib', 'node', 'zlib-sync'),
  sha256,
  signal,
  onProgress: callback,
};
const WARNED: Table = { strict: flag, onWarning: callback };
const DISK: Table = { ...READ, ...WARNED, virtualSize: whole(1), staging: path, force: guardNames, pool };
const ZERO = oneOf('auto', 'write', 'assume-zero');
const WRITE: Table = { ...DISK, zero: ZERO, zeroTail: flag, verify: flag };
const XE: Table = { program: path, timeout: number, grace: number, pause: number, inventory: path, locks: path, records: path };
const xe: Check = (value) => problemOf(value, XE, 'xe.');
const IMPORT_DEVICE: Table = { ...WRITE, sr: filled, rawVdi: flag, xe };
const IMPORT: Table = { ...IMPORT_DEVICE, name: must('a string', (value) => typeof value === 'string') };
const HTTP: Table = { headers, ca: filled, connectTimeout: number, idleTimeout: number, retries: number };
const GLANCE: Table = { ...HTTP, endpoints: strings, version: must('1 or 2', (value) => value === 1 || value === 2) };
const IMAGE: Table = {
  visibility: oneOf('private', 'shared', 'community', 'public'),
  properties: headers,
  store: filled,
  answerTimeout: number,
  settleTimeout: number,
};

const EXPORT_DISK: Table = {
  format: oneOf('vhd', 'fixed-vhd', 'raw'),
  container: oneOf('none', 'tar', 'ova'),
  compress: oneOf('none', 'gzip'),
  level,
  blockSize: powerOfTwoBlock,
  align: must('512 or 4096', (value) => value === 512 || value === 4096),
  singlePass: flag,
  raw: flag,
  name: filled,
  force: guardNames,
  signal,
  onProgress: callback,
  onWarning: callback,
  pool,
};
const EXPORT: Table = { ...EXPORT_DISK, verify: flag };

/** The options of each call. Those that it cannot do without are in REQUIRED. */
const ACCEPTED = {
  info: { ...READ, ...WARNED, quick: flag },
  check: READ,
  writeDisk: WRITE,
  verifyDisk: DISK,
  importImage: IMPORT,
  importToDevice: IMPORT_DEVICE,
  dryRunWrite: WRITE,
  dryRunImport: IMPORT,
  dryRunImportToDevice: IMPORT_DEVICE,
  exportDisk: EXPORT,
  vdiDisk: { xe },
  reap: { sr: filled, dryRun: flag, xe, signal, onWarning: callback },
  httpSink: { ...HTTP, expected: statuses, answerTimeout: number },
  httpImage: { ...HTTP, digest, length: whole(0), wait: callback },
  glanceImage: GLANCE,
  glanceSink: { ...GLANCE, ...IMAGE, diskFormat: filled, containerFormat: filled },
  uploadImage: { ...EXPORT_DISK, ...GLANCE, ...IMAGE, diskFormat: filled, containerFormat: filled, asIs: flag },
  cachedImage: { folder: path, size: must('a number of bytes, 0 or more', (value) => typeof value === 'number' && value >= 0) },
  createPool: { count: whole(1), size: must('a multiple of 4096', isPages) },
  deviceTarget: { attached: flag, readsZero: flag },
  openSource: { sha256, signal, onWarning: callback, onRead: callback },
  decodeVhd: { onWarning: callback },
  overlay: { size: diskSize, signal, given: whole(0) },
  pump: { size: diskSize, zero: ZERO, sums, signal, onProgress: callback },
  verifySums: { pool, signal, onProgress: callback },
} as const satisfies Readonly<Record<string, Table>>;

type CallName = keyof typeof ACCEPTED;

const REQUIRED: Readonly<Partial<Record<CallName, readonly string[]>>> = {
  importImage: ['sr'],
  dryRunImport: ['sr'],
  glanceImage: ['endpoints'],
  glanceSink: ['endpoints', 'diskFormat', 'containerFormat'],
  uploadImage: ['endpoints'],
  cachedImage: ['folder', 'size'],
  overlay: ['size'],
  pump: ['size'],
  verifySums: ['pool'],
};

const usage = (message: string): VdiStreamError => new VdiStreamError('USAGE', message);

/** Throws USAGE for an option that `call` does not have, or that is not what it must be. */
export function checkOptions(call: CallName, options: unknown): void {
  const problem = options === undefined ? undefined : problemOf(options, ACCEPTED[call]);
  if (problem !== undefined) throw usage(problem.startsWith(SENTENCE) ? `${call}${problem}` : `${call}: the options must be ${problem}`);
  for (const name of REQUIRED[call] ?? []) {
    if (field(options, name) === undefined) throw usage(`${call}: the option ${name} is required`);
  }
}

/** Throws USAGE unless it is the path of a file, a folder or a device. */
export function checkPath(call: string, name: string, value: unknown): void {
  const expected = path(value);
  if (expected !== undefined) throw usage(`${call}: ${name} must be ${expected}`);
}

/** Throws USAGE unless it is a string. */
export function checkText(call: string, name: string, value: unknown): void {
  const expected = filled(value);
  if (expected !== undefined) throw usage(`${call}: ${name} must be ${expected}`);
}

const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined ? undefined : check(value);
const hasMethods = (value: unknown, ...names: readonly string[]): boolean => names.every((name) => hasMethod(value, name));
const bytes = must('a Uint8Array', (value) => value instanceof Uint8Array);
const cursor = must(
  'a cursor',
  (value) => isWhole(field(value, 'position'), 0) && hasMethods(value, 'peek', 'read', 'fill', 'moveTo', 'chunks'),
);
const openedTarget = must('an open target', (value) => isTarget(value) && isWhole(field(value, 'align'), 1));

const extent = must('an extent', (value) => {
  const kind = field(value, 'kind');
  return kind === 'zero' || kind === 'hole' || (kind === 'data' && hasMethod(value, 'release') && hasMethod(field(value, 'ready'), 'then'));
});

/** The arguments of the building blocks, in order. Options come after them, and are in ACCEPTED. */
const ARGUMENTS = {
  compressionOf: { magic: bytes },
  decompress: {
    compression: oneOf('none', 'gzip', 'zstd', 'xz'),
    source: must('an async iterable of Uint8Arrays', (value) => isStream(value)),
  },
  drain: { cursor },
  streamCursor: { source: must('an async iterable of Uint8Arrays', (value) => isStream(value)), length: optional(whole(0)) },
  discard: { extent },
  overlay: {
    layers: must('an async iterable of layers', (value) => isStream(value)),
    buffers: must('a pool', (value) => hasMethod(value, 'acquire') && isPages(field(value, 'size'))),
  },
  rawDisk: { cursor, size: optional(whole(0)), warn: callback },
  pump: { extents: must('an async generator of extents', (value) => isStream(value) && hasMethod(value, 'next')), target: openedTarget },
  emptySums: { size: diskSize },
  verifySums: { target: openedTarget, size: diskSize, sums },
  isTarHeader: { block: bytes },
  readTar: { cursor, warn: optional(callback) },
  decodeVhd: { cursor },
} as const satisfies Readonly<Record<string, Table>>;

/** Throws USAGE for the first of the values that is not what the argument at its place must be. */
export function checkArguments(call: keyof typeof ARGUMENTS, ...values: readonly unknown[]): void {
  const checks: ReadonlyArray<readonly [string, Check]> = Object.entries(ARGUMENTS[call]);
  for (const [index, [name, check]] of checks.entries()) {
    const expected = check(values[index]);
    if (expected !== undefined) throw usage(`${call}: ${name} must be ${expected}`);
  }
}

const isTarget = (value: unknown): boolean => hasMethods(value, 'read', 'write', 'zero', 'sync', 'close', 'abandon');
const isOpener = (value: unknown): boolean => typeof field(value, 'name') === 'string' && hasMethod(value, 'open');
const isStream = (value: unknown): boolean => isObject(value) && typeof Reflect.get(value, Symbol.asyncIterator) === 'function';

/** Throws USAGE unless it is one source: a path, a URL, a stream or an opener. */
export function checkSource(call: string, source: unknown): void {
  if (ArrayBuffer.isView(source) || source instanceof ArrayBuffer) {
    throw usage(`${call}: the source is a buffer; pass a stream of it instead: Readable.from([buffer])`);
  }
  if (source instanceof URL || isStream(source) || isOpener(source)) return;
  if (path(source) !== undefined) throw usage(`${call}: the source must be a path, a URL, a stream or an opener`);
}

/** Throws USAGE unless it is the opener of a source. */
export function checkOpener(call: string, from: unknown): void {
  if (!isOpener(from)) throw usage(`${call}: the first argument must be an opener`);
}

/** Throws USAGE unless the opener called `name` has returned a source. */
export function checkOpenedSource(name: string, source: unknown): void {
  const isSource =
    hasMethod(field(source, 'cursor'), 'chunks') && hasMethods(source, 'sharesBytesWith', 'bytesRead', 'finish', 'own', 'close');
  if (!isSource) throw usage(`the opener ${name} has not returned a source`);
}

/** Throws USAGE unless the opener called `name` has returned a target, whose sectors fit into the buffers for parts of them. */
export function checkOpenedTarget(name: string, target: unknown): void {
  const align = field(target, 'align');
  if (!isTarget(target)) throw usage(`the opener ${name} has not returned a target`);
  if (!isWhole(align, 1) || 65_536 % Number(align) !== 0) throw usage(`${name}: align must be a power of two of at most 65536`);
}

/** Throws USAGE unless it is a path, an opener, or several of them. */
export function checkDisks(call: string, given: unknown): void {
  const disks: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (disks.length === 0) throw usage(`${call}: no disk`);
  for (const disk of disks) {
    if (!isOpener(disk) && path(disk) !== undefined) throw usage(`${call}: a disk must be a path or an opener`);
  }
}

/** Throws USAGE unless `value`, called `name`, is a path or an opener. */
export function checkPlace(call: string, name: string, value: unknown): void {
  if (!isOpener(value) && path(value) !== undefined) throw usage(`${call}: ${name} must be a path or an opener`);
}
