/** The command line of one run, and the options of the library calls that it means. */

import { CONTAINERS, EXPORT_FORMATS } from '../engine/export-form.ts';
import type { OnProgress } from '../engine/progress.ts';
import { VdiStreamError } from '../errors.ts';
import { VISIBILITIES } from '../glance/record.ts';
import type { OnWarning } from '../warnings.ts';
import type { Values } from './parse.ts';
import { glanceService, type Input } from './sources.ts';
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

export interface Invocation {
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

/** Of the commands that read an image. */
export const imageOptions = ({ values, signal, onProgress }: Invocation) => ({
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
export const diskOptions = (call: Invocation) => ({
  ...imageOptions(call),
  strict: call.values.flag('strict'),
  staging: call.values.text('staging'),
  virtualSize: virtualSize(call.values),
  force: guards(call.values),
  onWarning: call.onWarning,
});

export const writeOptions = (call: Invocation) => ({
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

export const exportOptions = (call: Invocation) => ({ ...formOptions(call), verify: call.values.flag('verify') });

export const uploadOptions = (call: Invocation) => ({
  ...formOptions(call),
  ...glanceService(call.values),
  ...glanceFormats(call.values),
  properties: properties(call.values),
  visibility: optionalChoice(VISIBILITIES, call.values, 'visibility'),
  store: call.values.text('store'),
  asIs: call.values.flag('as-is'),
});

export function srOptions(call: Invocation) {
  const { values } = call;
  const sr = values.text('sr');
  if (sr === undefined) throw new VdiStreamError('USAGE', 'import needs a destination: add --sr UUID, or --device PATH');
  return { ...importOptions(call), name: values.text('name'), sr };
}

export const deviceOptions = (call: Invocation) => ({ ...importOptions(call), sr: call.values.text('sr') });

export function deviceOf({ values }: Invocation): string {
  if (values.text('name') !== undefined) throw new VdiStreamError('USAGE', '--name has no effect with --device, which creates no VDI');
  return values.text('device') ?? '';
}
