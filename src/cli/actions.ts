/** What each command does with its values, and what it shows of the result. */

import { check } from '../engine/check.ts';
import { dryRunWrite } from '../engine/dry-run.ts';
import { exportDisk } from '../engine/export.ts';
import { CONTAINERS, EXPORT_FORMATS } from '../engine/export-form.ts';
import { info } from '../engine/info.ts';
import type { OnProgress } from '../engine/progress.ts';
import { uploadImage } from '../engine/upload.ts';
import { verifyDisk } from '../engine/verify.ts';
import { writeDisk } from '../engine/write.ts';
import { VdiStreamError } from '../errors.ts';
import { VISIBILITIES } from '../glance/record.ts';
import type { OnWarning } from '../warnings.ts';
import { dryRunImport, dryRunImportToDevice } from '../xen/dry-run.ts';
import { importImage, importToDevice } from '../xen/import.ts';
import { reap } from '../xen/reap.ts';
import type { XapiOptions } from '../xen/xapi-options.ts';
import { importAllDisks } from './all-disks.ts';
import type { CommandName } from './commands.ts';
import { deviceDryRunTable, importDryRunTable, writeDryRunTable } from './dry-run-tables.ts';
import { withCliAdvice } from './error-text.ts';
import { stdoutColumns } from './output.ts';
import type { Values } from './parse.ts';
import { comparedTarget, disksFrom, glanceService, type Input, imageFrom, namesOf, sinkFrom } from './sources.ts';
import {
  checkTable,
  exportSummary,
  importSummary,
  infoTable,
  reapFailures,
  reapTable,
  uploadSummary,
  verifySummary,
  writeSummary,
} from './tables.ts';
import {
  blockSize,
  compression,
  glanceFormats,
  guards,
  inflateChoice,
  manifestMode,
  optionalChoice,
  properties,
  sha256Digits,
  virtualSize,
  xeOptions,
  zeroPolicy,
} from './values.ts';
import { xapiOptions } from './xapi.ts';

interface Invocation {
  readonly values: Values;
  /** As given. */
  readonly sources: readonly string[];
  /** Of a command that reads images. */
  readonly inputs: readonly Input[];
  readonly target: string;
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  readonly onWarning: OnWarning;
}

/** Lines for people; with --json the result takes its place. */
interface Shown {
  readonly stdout?: readonly string[];
  readonly stderr?: readonly string[];
  /** The work succeeded and found something that is worth exit status 1. */
  readonly failed?: boolean;
}

export interface Outcome extends Shown {
  readonly result: object;
  /** Standard output holds an image, so nothing else is printed there. */
  readonly toImage?: boolean;
}

type Action = (call: Invocation) => Promise<Outcome>;

const action =
  <R extends object>(work: (call: Invocation) => Promise<R>, show: (result: R, call: Invocation) => Shown): Action =>
  async (call) => {
    const result = await work(call);
    return { result, ...show(result, call) };
  };

const isQuiet = ({ values }: Invocation): boolean => values.flag('quiet');

const unlessQuiet =
  <R>(text: (result: R) => readonly string[]) =>
  (result: R, call: Invocation): Shown =>
    isQuiet(call) ? {} : { stdout: text(result) };

const showWritten = unlessQuiet(writeSummary);

const importToSr = (xapi: XapiOptions | undefined): Action =>
  action(
    async (call) => importImage(call.inputs, { ...srOptions(call), xapi }),
    // The UUID is the result: on stdout alone, a script can read it.
    (result, call) => ({ stdout: [result.vdi], ...(!isQuiet(call) && { stderr: importSummary(result) }) }),
  );

const importToOwnDevice = action(async (call) => importToDevice(call.inputs, deviceOf(call), deviceOptions(call)), showWritten);

const dryRunToSr = action(async (call) => dryRunImport(call.inputs, srOptions(call)), unlessQuiet(importDryRunTable));

const dryRunToOwnDevice = action(
  async (call) => dryRunImportToDevice(call.inputs, deviceOf(call), deviceOptions(call)),
  unlessQuiet(deviceDryRunTable),
);

const write = action(async (call) => writeDisk(call.inputs, call.target, writeOptions(call)), showWritten);

const dryRunToTarget = action(async (call) => dryRunWrite(call.inputs, call.target, writeOptions(call)), unlessQuiet(writeDryRunTable));

export const ACTIONS: Readonly<Record<CommandName, Action>> = {
  info: action(
    async (call) =>
      info(call.inputs, {
        ...imageOptions(call),
        strict: call.values.flag('strict'),
        quick: call.values.flag('quick'),
        onWarning: call.onWarning,
      }),
    (result, { inputs }) => ({ stdout: infoTable(namesOf(inputs), result, stdoutColumns()) }),
  ),

  check: action(
    async (call) => withCliAdvice(await check(call.inputs, imageOptions(call))),
    (result, { inputs, values }) => ({
      stdout: checkTable(namesOf(inputs), result),
      failed: !result.ok || (values.flag('strict') && result.findings.length > 0),
    }),
  ),

  write: (call) => (call.values.flag('dry-run') ? dryRunToTarget(call) : write(call)),

  verify: action(
    async (call) => verifyDisk(call.inputs, comparedTarget(call.target, call.values), diskOptions(call)),
    unlessQuiet(verifySummary),
  ),

  import(call) {
    const [xapi, isDryRun] = [xapiOptions(call.values), call.values.flag('dry-run')];
    if (call.values.flag('all-disks')) return importAllDisks(call, () => srOptions(call));
    if (call.values.text('device') === undefined) return isDryRun ? dryRunToSr(call) : importToSr(xapi)(call);
    return isDryRun ? dryRunToOwnDevice(call) : importToOwnDevice(call);
  },

  async export(call) {
    const result = await exportDisk(disksFrom(call.sources, call.values), sinkFrom(call.values), exportOptions(call));
    return { result, toImage: call.values.text('output') === '-', ...(!isQuiet(call) && { stdout: exportSummary(result) }) };
  },

  upload: action(
    async (call) => {
      const { disks, id } = imageFrom(call.sources, call.values);
      return uploadImage(disks, id, uploadOptions(call));
    },
    // As for `import`, the id is the result.
    (result, call) => ({ stdout: [result.image], ...(!isQuiet(call) && { stderr: uploadSummary(result) }) }),
  ),

  reap: action(
    async ({ values, signal, onWarning }) =>
      reap({ sr: values.text('sr'), dryRun: values.flag('dry-run'), signal, onWarning, xe: xeOptions(values) }),
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
  rawBase: values.flag('raw-base'),
  manifest: manifestMode(values),
  inflate: inflateChoice(values),
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

const writeOptions = (call: Invocation) => ({
  ...diskOptions(call),
  zero: zeroPolicy(call.values),
  zeroTail: call.values.flag('zero-tail'),
  verify: call.values.flag('verify'),
});

export const importOptions = (call: Invocation) => ({
  ...diskOptions(call),
  zero: zeroPolicy(call.values),
  verify: call.values.flag('verify'),
  rawVdi: call.values.flag('raw-vdi'),
  xe: xeOptions(call.values),
});

/** Of the commands that make an image. */
const formOptions = (call: Invocation) => ({
  format: optionalChoice(EXPORT_FORMATS, call.values, 'format'),
  container: optionalChoice(CONTAINERS, call.values, 'container'),
  ...compression(call.values),
  blockSize: blockSize(call.values),
  align: optionalChoice(['512', '4096'], call.values, 'align') === '4096' ? (4096 as const) : undefined,
  singlePass: call.values.flag('single-pass'),
  raw: call.values.flag('raw'),
  rawBase: call.values.flag('raw-base'),
  name: call.values.text('name'),
  force: guards(call.values),
  signal: call.signal,
  onProgress: call.onProgress,
  onWarning: call.onWarning,
});

const exportOptions = (call: Invocation) => ({ ...formOptions(call), verify: call.values.flag('verify') });

const uploadOptions = (call: Invocation) => ({
  ...formOptions(call),
  ...glanceService(call.values),
  ...glanceFormats(call.values),
  properties: properties(call.values),
  visibility: optionalChoice(VISIBILITIES, call.values, 'visibility'),
  store: call.values.text('store'),
  asIs: call.values.flag('as-is'),
});

function srOptions(call: Invocation) {
  const { values } = call;
  const sr = values.text('sr');
  if (sr === undefined) throw new VdiStreamError('USAGE', 'import needs a destination: add --sr UUID, or --device PATH');
  return { ...importOptions(call), name: values.text('name'), sr };
}

const deviceOptions = (call: Invocation) => ({ ...importOptions(call), sr: call.values.text('sr') });

function deviceOf({ values }: Invocation): string {
  if (values.text('name') !== undefined) throw new VdiStreamError('USAGE', '--name has no effect with --device, which creates no VDI');
  return values.text('device') ?? '';
}
