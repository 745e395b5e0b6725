/** What each command does with its values, and what it shows of the result. */

import { check } from '../engine/check.ts';
import { info } from '../engine/info.ts';
import type { OnProgress } from '../engine/progress.ts';
import { verifyDisk } from '../engine/verify.ts';
import { type WriteResult, writeDisk } from '../engine/write.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { importImage, importToDevice } from '../xen/import.ts';
import { reap } from '../xen/reap.ts';
import type { CommandName } from './commands.ts';
import type { Values } from './parse.ts';
import { type Input, namesOf } from './sources.ts';
import { checkTable, importSummary, infoTable, reapFailures, reapTable, verifySummary, writeSummary } from './tables.ts';
import { guards, manifestMode, sha256Digits, virtualSize, xeOptions, zeroPolicy } from './values.ts';

interface Invocation {
  readonly values: Values;
  readonly inputs: readonly Input[];
  readonly target: string;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  readonly onWarning: OnWarning;
}

/** For people; with --json the result takes its place. */
interface Shown {
  readonly stdout?: string;
  readonly stderr?: string;
  /** The work succeeded and found something that is worth exit status 1. */
  readonly failed?: boolean;
}

export interface Outcome extends Shown {
  readonly result: object;
}

type Action = (call: Invocation) => Promise<Outcome>;

const action =
  <R extends object>(work: (call: Invocation) => Promise<R>, show: (result: R, call: Invocation) => Shown): Action =>
  async (call) => {
    const result = await work(call);
    return { result, ...show(result, call) };
  };

const isQuiet = ({ values }: Invocation): boolean => values.flag('quiet');

const showWritten = (result: WriteResult, call: Invocation): Shown => (isQuiet(call) ? {} : { stdout: writeSummary(result) });

const importToSr = action(
  async (call) => {
    const { values, inputs } = call;
    const sr = values.text('sr');
    if (sr === undefined) throw new VdiStreamError('USAGE', 'import needs a destination: add --sr UUID, or --device PATH');
    return importImage(inputs, { ...importOptions(call), name: values.text('name'), sr });
  },
  // The UUID is the result: on stdout alone, a script can read it.
  (result, call) => ({ stdout: `${result.vdi}\n`, ...(!isQuiet(call) && { stderr: importSummary(result) }) }),
);

const importToOwnDevice = action(async (call) => {
  const { values, inputs } = call;
  const device = values.text('device') ?? '';
  if (values.text('name') !== undefined) throw new VdiStreamError('USAGE', '--name has no effect with --device, which creates no VDI');
  if (device === '') throw new VdiStreamError('USAGE', 'the path of --device is missing');
  return importToDevice(inputs, device, { ...importOptions(call), sr: values.text('sr') });
}, showWritten);

export const ACTIONS: Readonly<Record<CommandName, Action>> = {
  info: action(
    async (call) =>
      info(call.inputs, {
        ...imageOptions(call),
        strict: call.values.flag('strict'),
        quick: call.values.flag('quick'),
        onWarning: call.onWarning,
      }),
    (result, { inputs }) => ({ stdout: infoTable(namesOf(inputs), result) }),
  ),

  check: action(
    async (call) => check(call.inputs, imageOptions(call)),
    (result, { inputs, values }) => ({
      stdout: checkTable(namesOf(inputs), result),
      failed: !result.ok || (values.flag('strict') && result.findings.length > 0),
    }),
  ),

  write: action(
    async (call) =>
      writeDisk(call.inputs, call.target, {
        ...diskOptions(call),
        zero: zeroPolicy(call.values),
        zeroTail: call.values.flag('zero-tail'),
        verify: call.values.flag('verify'),
      }),
    showWritten,
  ),

  verify: action(
    async (call) => verifyDisk(call.inputs, call.target, diskOptions(call)),
    (result, call) => (isQuiet(call) ? {} : { stdout: verifySummary(result) }),
  ),

  import: (call) => (call.values.text('device') === undefined ? importToSr(call) : importToOwnDevice(call)),

  reap: action(
    async ({ values, signal }) => reap({ sr: values.text('sr'), dryRun: values.flag('dry-run'), signal, xe: xeOptions(values) }),
    (result, call) => ({
      ...(isQuiet(call) ? { stderr: reapFailures(result) } : { stdout: reapTable(result) }),
      failed: result.failed > 0,
    }),
  ),
};

/** Of the commands that read an image. */
const imageOptions = ({ values, signal, onProgress }: Invocation) => ({
  disk: values.text('disk'),
  raw: values.flag('raw'),
  manifest: manifestMode(values),
  sha256: sha256Digits(values),
  signal,
  onProgress,
});

/** Of those that read one disk in it. */
const diskOptions = (call: Invocation) => ({
  ...imageOptions(call),
  strict: call.values.flag('strict'),
  staging: call.values.text('staging'),
  virtualSize: virtualSize(call.values),
  force: guards(call.values),
  onWarning: call.onWarning,
});

const importOptions = (call: Invocation) => ({
  ...diskOptions(call),
  zero: zeroPolicy(call.values),
  verify: call.values.flag('verify'),
  rawVdi: call.values.flag('raw-vdi'),
  xe: xeOptions(call.values),
});
