/** What each command does with its values, and what it shows of the result. */

import { check } from '../engine/check.ts';
import { dryRunWrite } from '../engine/dry-run.ts';
import { exportDisk } from '../engine/export.ts';
import { info } from '../engine/info.ts';
import { uploadImage } from '../engine/upload.ts';
import { verifyDisk } from '../engine/verify.ts';
import { writeDisk } from '../engine/write.ts';
import { dryRunImport, dryRunImportToDevice } from '../xen/dry-run.ts';
import { importImage, importToDevice } from '../xen/import.ts';
import { reap } from '../xen/reap.ts';
import type { XapiOptions } from '../xen/xapi-options.ts';
import { importAllDisks } from './all-disks.ts';
import type { CommandName } from './commands.ts';
import { deviceDryRunTable, importDryRunTable, writeDryRunTable } from './dry-run-tables.ts';
import { withCliAdvice } from './error-text.ts';
import {
  deviceOf,
  deviceOptions,
  diskOptions,
  exportOptions,
  type Invocation,
  imageOptions,
  srOptions,
  uploadOptions,
  writeOptions,
} from './invocation.ts';
import { stdoutColumns } from './output.ts';
import { comparedTarget, disksFrom, imageFrom, namesOf, sinkFrom } from './sources.ts';
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
import { xeOptions } from './values.ts';
import { xapiOptions } from './xapi.ts';

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
    if (call.values.flag('all-disks')) return importAllDisks(call);
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
