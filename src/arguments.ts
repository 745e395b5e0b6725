/**
 * Arguments: what each call of the library accepts, checked before anything is done. A call is one table; what is wrong is USAGE, with the
 * name of the option.
 */

import {
  align,
  anyText,
  type Check,
  callback,
  digest,
  diskSize,
  encodedIdentity,
  field,
  filled,
  flag,
  guardNames,
  headers,
  isAnyOpener,
  isPages,
  isReadableDisk,
  isSink,
  isSinkOpener,
  isSource,
  isStream,
  isTarget,
  isWhole,
  level,
  milliseconds,
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
  tap,
  whole,
  zeroScan,
} from './checks.ts';
import { VdiStreamError } from './errors.ts';

const READ: Table = {
  disk: filled,
  raw: flag,
  rawBase: flag,
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
const IMPORT: Table = { ...IMPORT_DEVICE, name: anyText };
const TIMES: Table = { timeout: milliseconds, grace: milliseconds, detachTimeout: milliseconds, pause: milliseconds };
const XAPI: Table = { url: filled, user: filled, password: filled, session: filled, ca: filled, fingerprints: strings, ...TIMES };
const xapi: Check = (value) => problemOf(value, XAPI, 'xapi.') ?? (field(value, 'url') === undefined ? 'an object with url' : undefined);
/** Imports at a time. More would only wait for each other: plugs run one at a time. */
export const MAX_JOBS = 16;
/** Options of one of many images. */
export const IMPORT_ITEM: Table = {
  sr: filled,
  name: anyText,
  disk: filled,
  raw: flag,
  rawBase: flag,
  rawVdi: flag,
  sha256,
  virtualSize: whole(1),
};
const OF_EACH = must('given for each image', () => false);
const JOBS = must(`a whole number from 1 to ${MAX_JOBS}`, (value) => isWhole(value, 1) && Number(value) <= MAX_JOBS);
const { disk: _disk, virtualSize: _virtualSize, ...IMPORT_DISKS } = IMPORT;
const HTTP: Table = { headers, ca: filled, connectTimeout: milliseconds, idleTimeout: milliseconds, retries: number };
const GLANCE: Table = { ...HTTP, endpoints: strings, version: must('1 or 2', (value) => value === 1 || value === 2) };
const IMAGE: Table = {
  visibility: oneOf('private', 'shared', 'community', 'public'),
  properties: headers,
  store: filled,
  answerTimeout: milliseconds,
  settleTimeout: milliseconds,
};

const EXPORT_DISK: Table = {
  format: oneOf('vhd', 'fixed-vhd', 'raw'),
  container: oneOf('none', 'tar', 'ova'),
  compress: oneOf('none', 'gzip'),
  level,
  blockSize: powerOfTwoBlock,
  align,
  singlePass: flag,
  raw: flag,
  rawBase: flag,
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
  importImage: { ...IMPORT, xapi },
  importImages: { ...IMPORT_DEVICE, sr: OF_EACH, sha256: OF_EACH, jobs: JOBS, again: flag, onOutcome: callback },
  'an image of importImages': IMPORT_ITEM,
  importDisks: IMPORT_DISKS,
  importToDevice: IMPORT_DEVICE,
  dryRunWrite: WRITE,
  dryRunImport: IMPORT,
  dryRunImportDisks: IMPORT_DISKS,
  dryRunImportToDevice: IMPORT_DEVICE,
  exportDisk: EXPORT,
  vdiDisk: { xe },
  nbdDisk: { ca: filled, connectTimeout: milliseconds, idleTimeout: milliseconds, retries: number },
  reap: { sr: filled, dryRun: flag, xe, signal, onWarning: callback },
  httpSink: { ...HTTP, expected: statuses, answerTimeout: milliseconds },
  httpImage: { ...HTTP, digest, length: whole(0), wait: callback },
  glanceImage: GLANCE,
  glanceSink: { ...GLANCE, ...IMAGE, diskFormat: filled, containerFormat: filled },
  uploadImage: { ...EXPORT_DISK, ...GLANCE, ...IMAGE, diskFormat: filled, containerFormat: filled, asIs: flag },
  cachedImage: { folder: path, size: must('a number of bytes, 0 or more', (value) => typeof value === 'number' && value >= 0) },
  createPool: { count: whole(1), size: must('a multiple of 4096', isPages) },
  deviceTarget: { attached: flag, readsZero: flag },
  openSource: { sha256, signal, onWarning: callback, onRead: callback },
  gzip: { level, signal },
  packTar: { mtime: whole(0) },
  packOva: { name: anyText, mtime: whole(0) },
  decodeVhd: { onWarning: callback },
  encodeVhd: { type: oneOf('fixed', 'dynamic'), blockSize: powerOfTwoBlock, align, identity: encodedIdentity, scan: zeroScan },
  overlay: { size: diskSize, signal, given: whole(0), tap },
  pump: { size: diskSize, zero: ZERO, sums, pool, signal, onProgress: callback },
  verifySums: { pool, signal, onProgress: callback },
} as const satisfies Readonly<Record<string, Table>>;

type CallName = keyof typeof ACCEPTED;

const REQUIRED: Readonly<Partial<Record<CallName, readonly string[]>>> = {
  importImage: ['sr'],
  'an image of importImages': ['sr'],
  importDisks: ['sr'],
  dryRunImport: ['sr'],
  dryRunImportDisks: ['sr'],
  glanceImage: ['endpoints'],
  glanceSink: ['endpoints', 'diskFormat', 'containerFormat'],
  uploadImage: ['endpoints'],
  cachedImage: ['folder', 'size'],
  packTar: ['mtime'],
  packOva: ['name', 'mtime'],
  encodeVhd: ['type', 'identity'],
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

/** Throws USAGE unless it is one source: a path, a URL, a stream or an opener. */
export function checkSource(call: string, source: unknown): void {
  if (ArrayBuffer.isView(source) || source instanceof ArrayBuffer) {
    throw usage(`${call}: the source is a buffer; pass a stream of it instead: Readable.from([buffer])`);
  }
  if (source instanceof URL || isStream(source) || isAnyOpener(source)) return;
  if (path(source) !== undefined) throw usage(`${call}: the source must be a path, a URL, a stream or an opener`);
}

/** Throws USAGE unless it is the opener of a source. */
export function checkOpener(call: string, from: unknown): void {
  if (!isAnyOpener(from)) throw usage(`${call}: the first argument must be an opener`);
}

/** Throws USAGE unless the opener called `name` has returned a source. */
export function checkOpenedSource(name: string, source: unknown): void {
  if (!isSource(source)) throw usage(`the opener ${name} has not returned a source`);
}

/** Throws USAGE unless the opener called `name` has returned a target, whose sectors fit into the buffers for parts of them. */
export function checkOpenedTarget(name: string, target: unknown): void {
  const align = field(target, 'align');
  if (!isTarget(target)) throw usage(`the opener ${name} has not returned a target`);
  if (!isWhole(align, 1) || 65_536 % Number(align) !== 0) throw usage(`${name}: align must be a power of two of at most 65536`);
}

/** Throws USAGE unless the opener called `name` has returned a disk. */
export function checkOpenedDisk(name: string, disk: unknown): void {
  if (!isReadableDisk(disk)) throw usage(`the opener ${name} has not returned a disk`);
}

/** Throws USAGE unless the opener called `name` has returned a sink. */
export function checkOpenedSink(name: string, sink: unknown): void {
  if (!isSink(sink)) throw usage(`the opener ${name} has not returned a sink`);
}

/** Throws USAGE unless it is a path, an opener, or several of them. */
export function checkDisks(call: string, given: unknown): void {
  const disks: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (disks.length === 0) throw usage(`${call}: no disk`);
  for (const disk of disks) {
    if (!isAnyOpener(disk) && path(disk) !== undefined) throw usage(`${call}: a disk must be a path or an opener`);
  }
}

/** Throws USAGE unless `value`, called `name`, is a path or an opener. */
export function checkPlace(call: string, name: string, value: unknown): void {
  if (!isAnyOpener(value) && path(value) !== undefined) throw usage(`${call}: ${name} must be a path or an opener`);
}

/** Throws USAGE unless it is a path or the opener of a sink; that of a target is none. */
export function checkOutput(call: string, value: unknown): void {
  if (!isSinkOpener(value) && path(value) !== undefined) throw usage(`${call}: the output must be a path or the opener of a sink`);
}
