/** The commands: what each takes and what it prints. */

import { parseArgs } from 'node:util';
import { check } from '../engine/check.ts';
import { info } from '../engine/info.ts';
import { ZERO_POLICIES } from '../engine/plan.ts';
import { verifyDisk, writeDisk } from '../engine/write.ts';
import { ERRORS, type Guard, VdiStreamError } from '../errors.ts';
import { MANIFEST_MODES } from '../ova/package.ts';
import { HELP } from './help.ts';
import { type Reporter, reporter } from './reporter.ts';
import { checkTable, infoTable, verifySummary, writeSummary } from './tables.ts';

export interface Command {
  readonly help: string;
  /** Resolves with the exit status. */
  run(argv: readonly string[], signal: AbortSignal): Promise<number>;
}

const COMMON = {
  json: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  disk: { type: 'string' },
  raw: { type: 'boolean' },
  manifest: { type: 'string' },
  strict: { type: 'boolean' },
  sha256: { type: 'string' },
} as const;

const WITH_TARGET = {
  ...COMMON,
  'virtual-size': { type: 'string' },
  staging: { type: 'string' },
  force: { type: 'string', multiple: true },
} as const;

export const COMMANDS: Readonly<Record<string, Command>> = {
  info: {
    help: HELP.info,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, { ...COMMON, quick: { type: 'boolean' } });
      const sources = operands(positionals, ['SRC']);
      const out = reporter(values);
      const options = { ...imageOptions(values), quick: values.quick };
      const result = await info(sources, { ...options, signal, onProgress: out.progress, onWarning: out.warn }).finally(out.close);
      // --quiet is about warnings here: the table is what was asked for.
      print({ ...out, quiet: false }, result, () => infoTable(sources.join(' '), result));
      return 0;
    },
  },

  check: {
    help: HELP.check,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, COMMON);
      const sources = operands(positionals, ['SRC']);
      const out = reporter(values);
      const { strict, ...options } = imageOptions(values);
      const result = await check(sources, { ...options, signal, onProgress: out.progress }).finally(out.close);
      print({ ...out, quiet: false }, result, () => checkTable(sources.join(' '), result));
      return result.ok && !(strict && result.findings.length > 0) ? 0 : 1;
    },
  },

  write: {
    help: HELP.write,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, {
        ...WITH_TARGET,
        zero: { type: 'string' },
        'zero-tail': { type: 'boolean' },
        verify: { type: 'boolean' },
      });
      const { sources, target } = sourcesAndTarget(positionals);
      const { zero, 'zero-tail': zeroTail, verify } = values;
      const out = reporter(values);
      const options = { ...diskOptions(values), zero: oneOf(ZERO_POLICIES, zero, '--zero'), zeroTail, verify };
      const told = { signal, onProgress: out.progress, onWarning: out.warn };
      const result = await writeDisk(sources, target, { ...options, ...told }).finally(out.close);
      print(out, result, () => writeSummary(result));
      return 0;
    },
  },

  verify: {
    help: HELP.verify,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, WITH_TARGET);
      const { sources, target } = sourcesAndTarget(positionals);
      const out = reporter(values);
      const told = { signal, onProgress: out.progress, onWarning: out.warn };
      const result = await verifyDisk(sources, target, { ...diskOptions(values), ...told }).finally(out.close);
      print(out, result, () => verifySummary(result));
      return 0;
    },
  },
};

function print(out: Reporter, result: object, human: () => string): void {
  if (out.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else if (!out.quiet) process.stdout.write(human());
}

type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

function parse<T extends Options>(argv: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new VdiStreamError('USAGE', cause instanceof Error ? (cause.message.split('. ')[0] ?? '') : String(cause));
  }
}

/** At least the operands that are named; more of the first one are a chain. */
function operands(given: readonly string[], names: readonly string[]): readonly string[] {
  const missing = names[given.length];
  if (missing !== undefined) throw new VdiStreamError('USAGE', `${missing} is missing`);
  return given;
}

function sourcesAndTarget(given: readonly string[]): { readonly sources: readonly string[]; readonly target: string } {
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

function imageOptions({ disk, raw, manifest, strict, sha256 }: ImageValues) {
  return { disk, raw, strict, manifest: oneOf(MANIFEST_MODES, manifest, '--manifest'), sha256: checksum(sha256) };
}

interface DiskValues extends ImageValues {
  readonly 'virtual-size'?: string | undefined;
  readonly staging?: string | undefined;
  readonly force?: readonly string[] | undefined;
}

function diskOptions(values: DiskValues) {
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

function checksum(sha256: string | undefined): string | undefined {
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw new VdiStreamError('USAGE', '--sha256 takes 64 hexadecimal digits');
  }
  return sha256;
}

function oneOf<const T extends string>(known: readonly T[], name: string | undefined, option: string): T | undefined {
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
