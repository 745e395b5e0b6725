/** From arguments to the options of the library. Throws USAGE. */

import { parseArgs } from 'node:util';
import { ERRORS, type Guard, VdiStreamError } from '../errors.ts';
import { MANIFEST_MODES } from '../ova/member-digests.ts';

/** Of every command that reads an image. */
export const COMMON = {
  json: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  disk: { type: 'string' },
  raw: { type: 'boolean' },
  manifest: { type: 'string' },
  strict: { type: 'boolean' },
  sha256: { type: 'string' },
  headers: { type: 'string' },
  ca: { type: 'string' },
  glance: { type: 'string', multiple: true },
  'glance-version': { type: 'string' },
  staging: { type: 'string' },
  cache: { type: 'string' },
  'cache-size': { type: 'string' },
} as const;

/** Of those that read one disk of it. */
export const ONE_DISK = {
  ...COMMON,
  'virtual-size': { type: 'string' },
  force: { type: 'string', multiple: true },
} as const;

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

interface Config<T extends Options> {
  readonly args: string[];
  readonly options: T;
  readonly allowPositionals: true;
  readonly strict: true;
}

export function parse<T extends Options>(argv: readonly string[], options: T): ReturnType<typeof parseArgs<Config<T>>> {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new VdiStreamError('USAGE', cause instanceof Error ? (cause.message.split('. ')[0] ?? '') : String(cause));
  }
}

/** At least the operands that are named; more of the first one are a chain. */
export function operands(given: readonly string[], names: readonly string[]): readonly string[] {
  // An empty one is a variable of a script that was never set.
  const empty = given.at(-1) === '' ? names.at(-1) : given.includes('') ? names[0] : undefined;
  const missing = names[given.length] ?? empty;
  if (missing !== undefined) throw new VdiStreamError('USAGE', `${missing} is missing`);
  return given;
}

export function sourcesAndTarget(given: readonly string[]): { readonly sources: readonly string[]; readonly target: string } {
  const all = operands(given, ['SRC', 'TARGET']);
  return { sources: all.slice(0, -1), target: all.at(-1) ?? '' };
}

interface ImageValues {
  readonly disk?: string | undefined;
  readonly raw?: boolean | undefined;
  readonly manifest?: string | undefined;
  readonly strict?: boolean | undefined;
  readonly sha256?: string | undefined;
}

export function imageOptions({ disk, raw, manifest, strict, sha256 }: ImageValues) {
  return { disk, raw, strict, manifest: oneOf(MANIFEST_MODES, manifest, '--manifest'), sha256: sha256Digits(sha256) };
}

interface DiskValues extends ImageValues {
  readonly 'virtual-size'?: string | undefined;
  readonly staging?: string | undefined;
  readonly force?: readonly string[] | undefined;
}

export function diskOptions(values: DiskValues) {
  const { staging, force, 'virtual-size': virtualSize } = values;
  return { ...imageOptions(values), staging, virtualSize: bytes(virtualSize), force: guards(force) };
}

/** Of a disk: a positive multiple of 512. */
function bytes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const size = Number(text);
  if (!/^\d+$/.test(text) || size === 0 || size % 512 !== 0 || size > Number.MAX_SAFE_INTEGER) {
    throw new VdiStreamError('USAGE', '--virtual-size takes bytes, a multiple of 512');
  }
  return size;
}

function sha256Digits(sha256: string | undefined): string | undefined {
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw new VdiStreamError('USAGE', '--sha256 takes 64 hexadecimal digits');
  }
  return sha256;
}

export function oneOf<const T extends string>(known: readonly T[], name: string | undefined, option: string): T | undefined {
  const found = known.find((one) => one === name);
  if (name !== undefined && found === undefined) throw new VdiStreamError('USAGE', `${option} takes ${known.join(', ')}`);
  return found;
}

const GUARDS: readonly Guard[] = Object.values(ERRORS).flatMap((kind) => ('guard' in kind ? [kind.guard] : []));

function guards(names: readonly string[] | undefined): Guard[] {
  return (names ?? [])
    .flatMap((list) => list.split(','))
    .map((name) => {
      const guard = GUARDS.find((known) => known === name);
      if (guard === undefined) throw new VdiStreamError('USAGE', `--force takes the name of a guard: ${GUARDS.join(', ')}`);
      return guard;
    });
}

/** Milliseconds. */
export function seconds(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new VdiStreamError('USAGE', `${option} takes seconds`);
  return Number(text) * 1000;
}

const UNITS = ['', 'K', 'M', 'G', 'T'];

/** Bytes, or with K, M, G or T behind them: powers of 1024. */
export function amount(text: string, option: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,15})([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const size = Number(digits) * 1024 ** UNITS.indexOf(unit.toUpperCase());
  if (digits === '' || !Number.isSafeInteger(size))
    throw new VdiStreamError('USAGE', `${option} takes bytes, or a number with K, M, G or T`);
  return size;
}
