/** Imports of many images: a few at a time, and those that are on their storage repository already are skipped. */

import { checkOptions } from '../arguments.ts';
import { inputOf } from '../engine/input.ts';
import { identifySource } from '../engine/open.ts';
import type { DiskInput } from '../engine/options.ts';
import type { Progress } from '../engine/progress.ts';
import { rejection, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { SourceIdentity } from '../source/source.ts';
import type { OnWarning, Warning } from '../warnings.ts';
import { type Dom0Tools, type ImportResult, importTools, importWith } from './import.ts';
import type { ImportOptions } from './options.ts';
import { isOwnerTag } from './owner-tag.ts';
import { orCancellation } from './prepare.ts';
import { sourceDigest } from './source-digest.ts';
import type { Toolstack } from './toolstack.ts';
import { parseSrUuid } from './uuid.ts';

/** An image to import. Its options replace those of the call. */
export interface ImportItem extends Pick<ImportOptions, 'disk' | 'raw' | 'rawBase' | 'sha256' | 'virtualSize' | 'name' | 'rawVdi'> {
  readonly image: DiskInput;
  /** uuid of the storage repository for the VDI. */
  readonly sr: string;
}

export interface ImportImagesOptions extends Omit<ImportOptions, 'sr' | 'name' | 'sha256' | 'onProgress' | 'onWarning' | 'xapi'> {
  /** How many images are imported at a time, at most 16; 2 by default. */
  readonly jobs?: number | undefined;
  /** Import images that are on their SR already once more, instead of skipping them. */
  readonly again?: boolean | undefined;
  /** Called as each image ends. `index` is its place in the list, from 0. */
  readonly onOutcome?: ((outcome: ImportOutcome, index: number) => void) | undefined;
  readonly onProgress?: ((progress: Progress, index: number) => void) | undefined;
  readonly onWarning?: ((warning: Warning, index: number) => void) | undefined;
}

/** What has become of an image. A skipped one has been imported before, as this VDI. */
export type ImportOutcome =
  | { readonly status: 'imported'; readonly result: ImportResult }
  | { readonly status: 'skipped'; readonly vdi: string }
  | { readonly status: 'failed'; readonly error: unknown };

/**
 * Imports each image to a new VDI. An image is skipped if its SR has a VDI that an import filled from the same source, by path or address, size
 * and date or checksum, with the same options. An image that fails does not stop the others.
 *
 * Resolves with what has become of each, in the order of `items`. Rejects, before the first import, with USAGE and if the toolstack does not
 * work; and with CANCELLED, after those under way have ended: those that had not begun then have no outcome.
 */
export async function importImages(items: readonly ImportItem[], allOptions: ImportImagesOptions = {}): Promise<ImportOutcome[]> {
  checkOptions('importImages', allOptions);
  const { xe, jobs = 2, again = false, onOutcome, onProgress, onWarning, ...options } = allOptions;
  if (!Array.isArray(items)) throw new VdiStreamError('USAGE', 'importImages: the images must be an array');
  const checked = items.map(checkItem);
  const { signal } = options;
  throwIfCancelled(signal);
  const tools = importTools(xe);
  const importOne = importer(tools, again);
  const [first] = checked;
  if (first !== undefined) await orCancellation(probe(tools.toolstack, first.sr, signal), signal);

  const outcomes: ImportOutcome[] = [];
  await eachInParallel(checked.entries(), jobs, async ([index, { image, sr, name, sha256, ...own }]) => {
    throwIfCancelled(signal);
    const one: OneImport = {
      ...options,
      sr,
      name,
      sha256,
      disk: own.disk ?? options.disk,
      raw: own.raw ?? options.raw,
      rawBase: own.rawBase ?? options.rawBase,
      rawVdi: own.rawVdi ?? options.rawVdi,
      virtualSize: own.virtualSize ?? options.virtualSize,
      onProgress: onProgress && ((progress) => onProgress(progress, index)),
      onWarning: onWarning && ((warning) => onWarning(warning, index)),
    };
    const outcome = await importOne(image, one).catch(
      (error: unknown): ImportOutcome => ({ status: 'failed', error: rejection(error, signal) }),
    );
    outcomes[index] = outcome;
    onOutcome?.(outcome, index);
  });
  throwIfCancelled(signal);
  return outcomes;
}

function checkItem(item: ImportItem): ImportItem {
  const call = 'an image of importImages';
  if (typeof item !== 'object' || item === null) throw new VdiStreamError('USAGE', `${call} must be an object with image and sr`);
  const { image, ...own } = item;
  const input = inputOf(call, image);
  checkOptions(call, own);
  return { ...own, image: input, sr: parseSrUuid(own.sr) };
}

/** Rejects if no import can succeed, whatever its image. An SR that does not exist is an error of its images. */
async function probe(toolstack: Toolstack, sr: string, signal: AbortSignal | undefined): Promise<void> {
  await toolstack.host(signal);
  await toolstack.srType(sr, signal).catch((error: unknown) => {
    if (!(error instanceof VdiStreamError && error.code === 'XE_UUID')) throw error;
  });
}

type OneImport = Omit<ImportOptions, 'xe' | 'xapi'>;

function importer(tools: Dom0Tools, again: boolean): (image: DiskInput, options: OneImport) => Promise<ImportOutcome> {
  /** The last import from each source to each SR. */
  const last = new Map<string, Promise<unknown>>();
  const importAnew = async (image: DiskInput, options: OneImport): Promise<ImportOutcome> => ({
    status: 'imported',
    result: await importWith(tools, image, options),
  });
  return async (image, options) => {
    const { sr, signal } = options;
    const source = again ? undefined : await digestOf(image, options);
    if (source === undefined) return importAnew(image, options);
    const unlessThere = async (): Promise<ImportOutcome> => {
      throwIfCancelled(signal);
      const vdi = await findImported(tools.toolstack, source, sr, signal);
      return vdi === undefined ? importAnew(image, options) : { status: 'skipped', vdi };
    };
    // If the list has an image twice, the second time finds the VDI of the first.
    const key = `${sr} ${source}`;
    const previous = last.get(key) ?? Promise.resolve();
    const outcome = previous.then(unlessThere, unlessThere);
    last.set(key, outcome);
    return outcome;
  };
}

/** What the import would note in its VDI. */
async function digestOf(
  image: DiskInput,
  { disk, raw, rawBase, rawVdi, sha256, signal, onWarning }: OneImport,
): Promise<string | undefined> {
  // Whatever else there is to warn of, the import warns of.
  const onRetry: OnWarning = (warning) => warning.code === 'HTTP_RETRY' && onWarning?.(warning);
  const identities: (SourceIdentity | undefined)[] = [];
  for (const input of [image].flat()) identities.push(await identifySource(input, { signal, onWarning: onRetry }));
  return sourceDigest(identities, { disk, raw, rawBase, rawVdi, sha256 });
}

/** uuid of the VDI on an SR that an import has filled from a source. One that still has an owner tag is not finished. */
async function findImported(
  toolstack: Toolstack,
  source: string,
  sr: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  for (const vdi of await toolstack.listBySource(source, sr, signal)) {
    const tags = await toolstack.tagsOf(vdi, signal);
    if (!tags.some(isOwnerTag)) return vdi;
  }
  return undefined;
}
