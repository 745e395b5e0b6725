/** `import --list`: many images, a line for each as it ends, and an exit status that says how many failed. */

import type { OnProgress } from '../engine/progress.ts';
import { VdiStreamError } from '../errors.ts';
import { cancellable } from '../host/cancel.ts';
import { isUrl, redactUrl } from '../http/url.ts';
import type { OnWarning } from '../warnings.ts';
import { type ImportImagesOptions, type ImportItem, type ImportOutcome, importImages } from '../xen/import-list.ts';
import { errorText, outputErrorText } from './error-text.ts';
import { inLine, type ListedImage, parseList } from './list-file.ts';
import { createListProgress } from './list-progress.ts';
import type { RunEnd } from './log.ts';
import type { TextName } from './options.ts';
import { toStderr, toStdout } from './output.ts';
import type { Values } from './parse.ts';
import { inputsFrom, readText } from './sources.ts';
import { jobs } from './values.ts';

interface ListCall {
  readonly values: Values;
  /** The command line, from the name of the command on. */
  readonly argv: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  readonly onWarning: OnWarning;
  /** Removes the progress bar from the terminal before something else is printed. */
  readonly clear: () => void;
}

/** Throws USAGE for options that need the other form of `import`. */
export function importsMany(values: Values): boolean {
  if (values.text('list') === undefined) {
    const needless = values.text('jobs') !== undefined ? '--jobs' : values.flag('again') ? '--again' : undefined;
    if (needless !== undefined) throw new VdiStreamError('USAGE', `${needless} has no effect without --list`);
    return false;
  }
  const refuse = (option: TextName, advice: string): void => {
    if (values.text(option) !== undefined) throw new VdiStreamError('USAGE', `--${option} cannot be used with --list: ${advice}`);
  };
  refuse('name', 'put "name" into the JSON objects of the list');
  refuse('sha256', 'put "sha256" into the JSON objects of the list');
  refuse('device', 'it is one device, and the list creates VDIs');
  refuse('xapi', 'import the images one by one');
  for (const [option, reason] of [
    ['dry-run', 'it checks one image'],
    ['all-disks', 'it reads one archive'],
  ] as const) {
    if (values.flag(option)) throw new VdiStreamError('USAGE', `--${option} cannot be used with --list: ${reason}`);
  }
  return true;
}

/** The exit status is this, plus the number of failed images: the statuses of a shell for commands that a signal ended are below it. */
const FAILED = 200;
const MAX_COUNTED = 50;

/** Resolves once everything has been printed. */
export async function importList(
  call: ListCall,
  options: Omit<ImportImagesOptions, 'jobs' | 'again' | 'onOutcome' | 'onProgress' | 'onWarning'>,
): Promise<RunEnd> {
  const { values, signal } = call;
  const file = values.text('list') ?? '';
  const images = parseList(await readList(file, signal), file === '-' ? 'the list' : file, values.text('sr'));
  const items = images.map((image) => itemOf(image, file, values));
  const report = createReport(call, images);
  const progress = createListProgress(items.length, options.verify === true, call.onProgress);
  try {
    await importImages(items, {
      ...options,
      jobs: jobs(values),
      again: values.flag('again'),
      onProgress: progress.update,
      onWarning: report.onWarning,
      onOutcome(outcome, index) {
        progress.ended(index);
        report.onOutcome(outcome, index);
      },
    });
  } finally {
    report.summarize();
  }
  return { result: report.counts, status: await report.exitStatus() };
}

async function readList(file: string, signal: AbortSignal): Promise<string> {
  if (file !== '-') return readText(file);
  const parts: Uint8Array[] = [];
  for await (const part of cancellable(process.stdin, signal)) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

/** Throws USAGE for a source that cannot be opened with these options. */
function itemOf({ line, image, ...own }: ListedImage, file: string, values: Values): ImportItem {
  return inLine(file === '-' ? 'the list' : file, line, () => {
    if (image === '-' && file === '-') throw new VdiStreamError('USAGE', 'standard input is the list, so it cannot be an image too');
    const [input = image] = inputsFrom([image], values);
    return { ...own, image: input };
  });
}

interface ListReport {
  onOutcome(outcome: ImportOutcome, index: number): void;
  onWarning: NonNullable<ImportImagesOptions['onWarning']>;
  /** Call it once nothing runs any more. */
  summarize(): void;
  /** Images, by how they ended. */
  readonly counts: object;
  exitStatus(): Promise<number>;
}

function createReport({ values, argv, onWarning, clear }: ListCall, images: readonly ListedImage[]): ListReport {
  const json = values.flag('json');
  const counts = { imported: 0, skipped: 0, failed: 0, cancelled: 0 };
  const printing: Promise<NodeJS.ErrnoException | undefined>[] = [];
  const entryOf = (index: number) => {
    const { line = 0, image = '', sr = '' } = images[index] ?? {};
    // The query of a URL may hold a secret.
    const shown = isUrl(image) ? redactUrl(image) : image;
    return { line, image: shown, sr, place: `line ${line}, ${shown}` };
  };

  function onOutcome(outcome: ImportOutcome, index: number): void {
    const { place, ...entry } = entryOf(index);
    const { kind, failure, stdout, result } = shownOf(outcome, entry.image);
    counts[kind]++;
    clear();
    if (json) {
      const error = failure === undefined ? {} : jsonOf(failure, argv);
      printing.push(toStdout({ json: { ...entry, ...result, ...error } }));
      return;
    }
    printing.push(toStdout(stdout));
    // That the others were cancelled is said once.
    const isSilent = kind === 'cancelled' && failure instanceof VdiStreamError && failure.left.length === 0;
    if (failure !== undefined && !isSilent) toStderr(errorText(failure, false, argv, `${place}: `));
  }

  return {
    counts,
    onOutcome,
    onWarning(warning, index) {
      const { line, image, place } = entryOf(index);
      const member = warning.member === undefined ? place : `${place}: ${warning.member}`;
      onWarning(json ? { ...warning, ...{ line, image } } : { ...warning, member });
    },
    summarize() {
      if (json || values.flag('quiet')) return;
      const begun = counts.imported + counts.skipped + counts.failed + counts.cancelled;
      const rows = Object.entries({ ...counts, 'not started': images.length - begun });
      const parts = rows.filter(([name, count]) => count > 0 || name === 'imported').map(([name, count]) => `${count} ${name}`);
      toStderr([parts.join(', ')]);
    },
    async exitStatus() {
      const broken = (await Promise.all(printing)).find((error) => error !== undefined && error.code !== 'EPIPE');
      if (broken !== undefined) toStderr(outputErrorText(broken, json));
      if (counts.failed > 0) return FAILED + Math.min(counts.failed, MAX_COUNTED);
      return broken === undefined ? 0 : 1;
    },
  };
}

interface ShownOutcome {
  readonly kind: 'imported' | 'skipped' | 'failed' | 'cancelled';
  readonly stdout: readonly string[];
  /** Fields of the JSON. */
  readonly result: object;
  readonly failure?: unknown;
}

function shownOf(outcome: ImportOutcome, image: string): ShownOutcome {
  if (outcome.status === 'imported') {
    return { kind: 'imported', stdout: [`${outcome.result.vdi}  ${image}`], result: outcome.result };
  }
  if (outcome.status === 'skipped') {
    const { vdi } = outcome;
    return { kind: 'skipped', stdout: [`${vdi}  ${image}  (skipped: imported before)`], result: { skipped: true, vdi } };
  }
  const { error } = outcome;
  const isCancelled = error instanceof VdiStreamError && error.code === 'CANCELLED';
  return { kind: isCancelled ? 'cancelled' : 'failed', stdout: [], result: {}, failure: error };
}

function jsonOf(error: unknown, argv: readonly string[]): object {
  const printed = errorText(error, true, argv);
  return 'json' in printed ? printed.json : {};
}
