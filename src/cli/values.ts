/** From the text of an option to what the library expects. Throws USAGE. */

import { MAX_JOBS } from '../arguments.ts';
import { INFLATES, type InflateChoice } from '../codec/inflate.ts';
import { EXPORT_COMPRESSIONS } from '../engine/export-form.ts';
import type { ExportOptions } from '../engine/export-options.ts';
import { ZERO_POLICIES, type ZeroPolicy } from '../engine/plan.ts';
import type { UploadImageOptions } from '../engine/upload-options.ts';
import { GUARDS, type Guard, VdiStreamError } from '../errors.ts';
import { MANIFEST_MODES, type ManifestMode } from '../ova/member-digests.ts';
import { MAX_BLOCK, MIN_BLOCK } from '../vhd/encode.ts';
import { didYouMean, listed } from '../words.ts';
import { xeFromEnvironment } from '../xen/environment.ts';
import type { XeOptions } from '../xen/xe.ts';
import type { TextName } from './options.ts';
import type { Values } from './parse.ts';

/** One of the words that an option accepts. */
export function choice<const T extends string>(words: readonly T[], text: string, option: string): T {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new VdiStreamError('USAGE', `${option} accepts ${listed(words)}, not "${text}"${didYouMean(text, words)}`);
}

export const inflateChoice = (values: Values): InflateChoice | undefined => optionalChoice(INFLATES, values, 'inflate');

export const manifestMode = (values: Values): ManifestMode | undefined => optionalChoice(MANIFEST_MODES, values, 'manifest');

export const zeroPolicy = (values: Values): ZeroPolicy | undefined => optionalChoice(ZERO_POLICIES, values, 'zero');

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

/** `gzip:6` */
export function compression(values: Values): Pick<ExportOptions, 'compress' | 'level'> {
  const text = values.text('compress');
  if (text === undefined) return {};
  const [, word = text, level] = /^(gzip):([1-9])$/.exec(text) ?? [];
  return { compress: choice(EXPORT_COMPRESSIONS, word, '--compress'), ...(level !== undefined && { level: Number(level) }) };
}

/** One of the words, or undefined if the option is not given. */
export function optionalChoice<const T extends string>(words: readonly T[], values: Values, name: TextName): T | undefined {
  const text = values.text(name);
  return text === undefined ? undefined : choice(words, text, `--${name}`);
}

/** `KEY=VALUE`, each once. */
export function properties(values: Values): Record<string, string> {
  const pairs = values.list('property').map((text): [string, string] => {
    const equals = text.indexOf('=');
    if (equals < 1) throw new VdiStreamError('USAGE', `--property expects KEY=VALUE, not "${text}"`);
    return [text.slice(0, equals), text.slice(equals + 1)];
  });
  return Object.fromEntries(pairs);
}

/** Imports at a time. */
export function jobs(values: Values): number | undefined {
  const text = values.text('jobs');
  if (text === undefined) return undefined;
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= MAX_JOBS) return Number(text);
  throw new VdiStreamError('USAGE', `--jobs expects a number from 1 to ${MAX_JOBS}, not "${text}"`);
}

/** `qcow2,bare` */
export function glanceFormats(values: Values): Pick<UploadImageOptions, 'diskFormat' | 'containerFormat'> {
  const text = values.text('glance-formats');
  if (text === undefined) return {};
  const [, diskFormat, containerFormat] = /^([\w-]+),([\w-]+)$/.exec(text) ?? [];
  if (diskFormat === undefined || containerFormat === undefined)
    throw new VdiStreamError('USAGE', `--glance-formats expects two formats, such as qcow2,bare, not "${text}"`);
  return { diskFormat, containerFormat };
}

export function blockSize(values: Values): number | undefined {
  const text = values.text('block-size');
  if (text === undefined) return undefined;
  const bytes = Number(text);
  if (/^\d+$/.test(text) && Number.isInteger(Math.log2(bytes)) && bytes >= MIN_BLOCK && bytes <= MAX_BLOCK) return bytes;
  throw new VdiStreamError('USAGE', `--block-size expects bytes, a power of two from ${MIN_BLOCK} to ${MAX_BLOCK}`);
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
