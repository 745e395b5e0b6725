/** From the text of an option to what the library expects. Throws USAGE. */

import { INFLATES, type InflateChoice } from '../codec/inflate.ts';
import { ZERO_POLICIES, type ZeroPolicy } from '../engine/plan.ts';
import { GUARDS, type Guard, VdiStreamError } from '../errors.ts';
import { MANIFEST_MODES, type ManifestMode } from '../ova/member-digests.ts';
import { didYouMean, listed } from '../words.ts';
import { xeFromEnvironment } from '../xen/environment.ts';
import type { XeOptions } from '../xen/xe.ts';
import type { Values } from './parse.ts';

/** One of the words that an option accepts. */
export function choice<const T extends string>(words: readonly T[], text: string, option: string): T {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new VdiStreamError('USAGE', `${option} accepts ${listed(words)}, not "${text}"${didYouMean(text, words)}`);
}

export function inflateChoice(values: Values): InflateChoice | undefined {
  const text = values.text('inflate');
  return text === undefined ? undefined : choice(INFLATES, text, '--inflate');
}

export function manifestMode(values: Values): ManifestMode | undefined {
  const text = values.text('manifest');
  return text === undefined ? undefined : choice(MANIFEST_MODES, text, '--manifest');
}

export function zeroPolicy(values: Values): ZeroPolicy | undefined {
  const text = values.text('zero');
  return text === undefined ? undefined : choice(ZERO_POLICIES, text, '--zero');
}

/** Each `--force` may list several. */
export const guards = (values: Values): Guard[] =>
  values
    .list('force')
    .flatMap((list) => list.split(','))
    .map((name) => choice(GUARDS, name, '--force'));

export function sha256Digits(values: Values): string | undefined {
  const text = values.text('sha256');
  if (text !== undefined && !/^[0-9a-f]{64}$/i.test(text)) throw new VdiStreamError('USAGE', '--sha256 expects 64 hexadecimal digits');
  return text;
}

/** Of a disk: a positive multiple of 512 bytes. */
export function virtualSize(values: Values): number | undefined {
  const text = values.text('virtual-size');
  if (text === undefined) return undefined;
  const size = Number(text);
  if (!/^\d+$/.test(text) || size === 0 || size % 512 !== 0 || size > Number.MAX_SAFE_INTEGER) {
    throw new VdiStreamError('USAGE', '--virtual-size expects bytes, a multiple of 512');
  }
  return size;
}

const UNITS = ['', 'K', 'M', 'G', 'T'];

/** Bytes, or a number with K, M, G or T: powers of 1024. */
export function cacheSize(values: Values): number {
  const text = values.text('cache-size');
  if (text === undefined) throw new VdiStreamError('USAGE', '--cache needs a limit: add --cache-size SIZE');
  const [, digits = '', unit = ''] = /^(\d{1,15})([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const size = Number(digits) * 1024 ** UNITS.indexOf(unit.toUpperCase());
  if (digits === '' || !Number.isSafeInteger(size)) {
    throw new VdiStreamError('USAGE', '--cache-size expects bytes, or a number with K, M, G or T');
  }
  return size;
}

/** Options come before the environment. */
export function xeOptions(values: Values): XeOptions {
  const { program, inventory, locks, records } = xeFromEnvironment();
  return { program: values.text('xe') ?? program, inventory, locks, records, timeout: xeTimeout(values) };
}

/** Milliseconds. */
function xeTimeout(values: Values): number | undefined {
  const text = values.text('xe-timeout');
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new VdiStreamError('USAGE', '--xe-timeout expects seconds, from 1 to 999999');
  return Number(text) * 1000;
}
