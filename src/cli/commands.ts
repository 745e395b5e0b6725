/** The commands: what each takes and what it prints. */

import { parseArgs } from 'node:util';
import { info } from '../engine/info.ts';
import { ZERO_POLICIES, type ZeroPolicy } from '../engine/plan.ts';
import { verifyDisk, writeDisk } from '../engine/write.ts';
import { ERRORS, type Guard, VdiStreamError } from '../errors.ts';
import { HELP } from './help.ts';
import { type Reporter, reporter } from './reporter.ts';
import { infoTable, verifySummary, writeSummary } from './tables.ts';

export interface Command {
  readonly help: string;
  run(argv: readonly string[], signal: AbortSignal): Promise<void>;
}

const COMMON = {
  json: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  disk: { type: 'string' },
  sha256: { type: 'string' },
} as const;

const WITH_TARGET = { ...COMMON, force: { type: 'string', multiple: true } } as const;

export const COMMANDS: Readonly<Record<string, Command>> = {
  info: {
    help: HELP.info,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, { ...COMMON, quick: { type: 'boolean' } });
      const [source] = operands(positionals, ['SRC']);
      const { disk, sha256, quick } = values;
      const out = reporter(values);
      const result = await info(source, { disk, sha256: checksum(sha256), quick, signal, onWarning: out.warn });
      // --quiet is about warnings here: the table is what was asked for.
      print({ ...out, quiet: false }, result, () => infoTable(source, result));
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
      const [source, target] = operands(positionals, ['SRC', 'TARGET']);
      const { disk, sha256, force, zero, 'zero-tail': zeroTail, verify } = values;
      const out = reporter(values);
      const options = { disk, sha256: checksum(sha256), force: guards(force), zero: zeroPolicy(zero), zeroTail, verify };
      try {
        const result = await writeDisk(source, target, { ...options, signal, onProgress: out.progress, onWarning: out.warn });
        out.close();
        print(out, result, () => writeSummary(result));
      } finally {
        out.close();
      }
    },
  },

  verify: {
    help: HELP.verify,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, WITH_TARGET);
      const [source, target] = operands(positionals, ['SRC', 'TARGET']);
      const { disk, sha256, force } = values;
      const out = reporter(values);
      const options = { disk, sha256: checksum(sha256), force: guards(force) };
      try {
        const result = await verifyDisk(source, target, { ...options, signal, onProgress: out.progress, onWarning: out.warn });
        out.close();
        print(out, result, () => verifySummary(result));
      } finally {
        out.close();
      }
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

/** Exactly the operands that are named. */
function operands<const N extends readonly string[]>(given: readonly string[], names: N): { [K in keyof N]: string } {
  const missing = names[given.length];
  if (missing !== undefined) throw new VdiStreamError('USAGE', `${missing} is missing`);
  const extra = given[names.length];
  if (extra !== undefined) throw new VdiStreamError('USAGE', `"${extra}" is one operand too many`);
  // The lengths agree, which a mapped tuple type cannot be told.
  return given as unknown as { [K in keyof N]: string };
}

function checksum(sha256: string | undefined): string | undefined {
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw new VdiStreamError('USAGE', '--sha256 takes 64 hexadecimal digits');
  }
  return sha256;
}

function zeroPolicy(name: string | undefined): ZeroPolicy | undefined {
  const policy = ZERO_POLICIES.find((known) => known === name);
  if (name !== undefined && policy === undefined) throw new VdiStreamError('USAGE', `--zero takes ${ZERO_POLICIES.join(', ')}`);
  return policy;
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
