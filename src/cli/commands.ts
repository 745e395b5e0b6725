/** The commands: what each takes and what it prints. */

import { check } from '../engine/check.ts';
import { info } from '../engine/info.ts';
import { ZERO_POLICIES } from '../engine/plan.ts';
import { verifyDisk } from '../engine/verify.ts';
import { writeDisk } from '../engine/write.ts';
import { VdiStreamError } from '../errors.ts';
import { type ImportOptions, importImage, importToDevice } from '../xen/import.ts';
import { reap } from '../xen/reap.ts';
import { HELP } from './help.ts';
import { COMMON, diskOptions, imageOptions, ONE_DISK, oneOf, operands, parse, seconds, sourcesAndTarget } from './options.ts';
import { type Reporter, reporter } from './reporter.ts';
import { inputsFrom, namesOf } from './sources.ts';
import { unprinted } from './story.ts';
import { checkTable, importSummary, infoTable, reapFailures, reapTable, verifySummary, writeSummary } from './tables.ts';

export interface Command {
  readonly help: string;
  /** Resolves with the exit status. */
  run(argv: readonly string[], signal: AbortSignal): Promise<number>;
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  info: {
    help: HELP.info,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, { ...COMMON, quick: { type: 'boolean' } });
      const inputs = inputsFrom(operands(positionals, ['SRC']), values);
      const out = reporter(values);
      const options = { ...imageOptions(values), quick: values.quick };
      const result = await info(inputs, { ...options, signal, onProgress: out.progress, onWarning: out.warn }).finally(out.close);
      // --quiet is about warnings here: the table is what was asked for.
      return print({ ...out, quiet: false }, result, () => infoTable(namesOf(inputs), result));
    },
  },

  check: {
    help: HELP.check,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, COMMON);
      const inputs = inputsFrom(operands(positionals, ['SRC']), values);
      const out = reporter(values);
      const { strict, ...options } = imageOptions(values);
      const result = await check(inputs, { ...options, signal, onProgress: out.progress }).finally(out.close);
      const lost = await print({ ...out, quiet: false }, result, () => checkTable(namesOf(inputs), result));
      return result.ok && !(strict && result.findings.length > 0) ? lost : 1;
    },
  },

  write: {
    help: HELP.write,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, {
        ...ONE_DISK,
        zero: { type: 'string' },
        'zero-tail': { type: 'boolean' },
        verify: { type: 'boolean' },
      });
      const { sources, target } = sourcesAndTarget(positionals);
      const { zero, 'zero-tail': zeroTail, verify } = values;
      const out = reporter(values);
      const options = { ...diskOptions(values), zero: oneOf(ZERO_POLICIES, zero, '--zero'), zeroTail, verify };
      const told = { signal, onProgress: out.progress, onWarning: out.warn };
      const result = await writeDisk(inputsFrom(sources, values), target, { ...options, ...told }).finally(out.close);
      return print(out, result, () => writeSummary(result));
    },
  },

  verify: {
    help: HELP.verify,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, ONE_DISK);
      const { sources, target } = sourcesAndTarget(positionals);
      const out = reporter(values);
      const told = { signal, onProgress: out.progress, onWarning: out.warn };
      const result = await verifyDisk(inputsFrom(sources, values), target, { ...diskOptions(values), ...told }).finally(out.close);
      return print(out, result, () => verifySummary(result));
    },
  },

  import: {
    help: HELP.import,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, {
        ...ONE_DISK,
        sr: { type: 'string' },
        name: { type: 'string' },
        'raw-vdi': { type: 'boolean' },
        device: { type: 'string' },
        zero: { type: 'string' },
        verify: { type: 'boolean' },
        xe: { type: 'string' },
        'xe-timeout': { type: 'string' },
      });
      const inputs = inputsFrom(operands(positionals, ['SRC']), values);
      const { sr, name, device, verify, zero, 'raw-vdi': rawVdi } = values;
      const out = reporter(values);
      const told = { signal, onProgress: out.progress, onWarning: out.warn };
      const how = { zero: oneOf(ZERO_POLICIES, zero, '--zero'), verify, name, rawVdi, xe: toolstack(values) };
      const options: Omit<ImportOptions, 'sr'> = { ...diskOptions(values), ...how, ...told };
      if (device !== undefined) {
        if (name !== undefined) throw new VdiStreamError('USAGE', '--name is for a new VDI, and --device makes none');
        operands([device], ['the path of --device']);
        const result = await importToDevice(inputs, device, { ...options, sr }).finally(out.close);
        return print(out, result, () => writeSummary(result));
      }
      if (sr === undefined) throw new VdiStreamError('USAGE', 'where to? Give --sr UUID, or --device PATH');
      const result = await importImage(inputs, { ...options, sr }).finally(out.close);
      // The uuid is the result, and goes where a script finds it alone.
      if (!out.json && !out.quiet) process.stderr.write(importSummary(result));
      return print({ ...out, quiet: false }, result, () => `${result.vdi}\n`);
    },
  },

  reap: {
    help: HELP.reap,
    async run(argv, signal) {
      const { values, positionals } = parse(argv, {
        json: { type: 'boolean' },
        quiet: { type: 'boolean', short: 'q' },
        sr: { type: 'string' },
        'dry-run': { type: 'boolean' },
        xe: { type: 'string' },
        'xe-timeout': { type: 'string' },
      });
      if (positionals.length > 0) throw new VdiStreamError('USAGE', 'reap takes no operand');
      const { sr, 'dry-run': dryRun } = values;
      const out = reporter(values);
      const result = await reap({ sr, dryRun, signal, xe: toolstack(values) }).finally(out.close);
      const lost = await print(out, result, () => reapTable(result));
      if (out.quiet && !out.json) process.stderr.write(reapFailures(result));
      return result.failed > 0 ? 1 : lost;
    },
  },
};

/** The environment is for tests and for hosts that keep these elsewhere. */
function toolstack({ xe, 'xe-timeout': timeout }: { xe?: string | undefined; 'xe-timeout'?: string | undefined }): ImportOptions['xe'] {
  const { VDISTREAM_XE, VDISTREAM_INVENTORY } = process.env;
  return { program: xe ?? VDISTREAM_XE, inventory: VDISTREAM_INVENTORY, timeout: seconds(timeout, '--xe-timeout') };
}

/** Resolves with the exit status. A result that is lost is no success: a script would go on without it. */
async function print(out: Reporter, result: object, human: () => string): Promise<0 | 1> {
  const text = out.json ? `${JSON.stringify(result)}\n` : out.quiet ? '' : human();
  if (text === '') return 0;
  const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => process.stdout.write(text, resolve));
  // A reader that goes away has what it wanted.
  if (!error || error.code === 'EPIPE') return 0;
  process.stderr.write(unprinted(error, out.json));
  return 1;
}
