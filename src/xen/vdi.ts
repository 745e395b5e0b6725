/**
 * The life of the VDIs of an import. Each is owned, created with its owner tag, attached, filled and detached; once all of them are, they are
 * untagged. If any step fails, all of them are removed, or the error lists what is left.
 */

import { messageOf, rejection, throwIfCancelled, VdiStreamError, withLeft } from '../errors.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { TargetOpener } from '../target/target.ts';
import type { OnWarning } from '../warnings.ts';
import type { Ownership, TakeOwnership } from './ownership.ts';
import { doubtOf } from './proof.ts';
import { isOutcomeUnknown, isRefused } from './refusal.ts';
import { removeVdi } from './remove.ts';
import type { ImportToolstack, NewVdi } from './toolstack.ts';

interface AttachedVdi {
  readonly vdi: string;
  /** Bytes to fill: its actual size, which the SR may have rounded up. */
  readonly size: number;
  readonly target: TargetOpener;
}

/** Creates a VDI, attaches it, lets `use` fill it, and detaches it. Call it once the VDI before it has been detached. */
type FillVdi = <T>(wanted: NewVdi, use: (attached: AttachedVdi) => Promise<T>) => Promise<T>;

interface VdiOptions {
  /** Whether unwritten parts are certain to read as zero. */
  readonly readsZero: boolean;
  readonly takeOwnership: TakeOwnership;
  /** The digest of what `use` fills the VDI from, which is noted in it once it is filled. */
  readonly source?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with LOCK_WAIT, and with VBD_RETRY when a VBD cannot be unplugged yet. */
  readonly onWarning?: OnWarning | undefined;
}

/** The more tags are removed at a time, the less likely it is that a kill leaves some of them. */
const UNTAGGED_AT_A_TIME = 8;

/**
 * Lets `work` fill any number of VDIs. Resolves once the owner tags of all of them are removed. Rejects with the first error, whose `left` lists
 * what could not be removed; with CANCELLED once `signal` has fired.
 */
export async function withVdis<T>(toolstack: ImportToolstack, work: (fill: FillVdi) => Promise<T>, options: VdiOptions): Promise<T> {
  const { takeOwnership, signal, onWarning } = options;
  const unfinished: UnfinishedVdi[] = [];
  try {
    const result = await work(async (wanted, use) => {
      throwIfCancelled(signal);
      const vdi: UnfinishedVdi = { wanted, ownership: await takeOwnership(wanted, signal), uuid: undefined, isTagged: true };
      unfinished.push(vdi);
      return fill(toolstack, vdi, use, options);
    });
    throwIfCancelled(signal);
    // Fails unless the tags are certain to be gone: otherwise a later clean-up would remove the VDIs as left-overs.
    await eachInParallel(unfinished, UNTAGGED_AT_A_TIME, (vdi) => removeTag(toolstack, vdi));
    for (const { ownership } of unfinished) await ownership.end();
    return result;
  } catch (cause) {
    const error = rejection(cause, signal);
    const left: string[] = [];
    for (const vdi of unfinished.reverse()) left.push(...(await remove(toolstack, vdi, cause, onWarning)));
    throw withLeft(error, left);
  }
}

interface UnfinishedVdi {
  readonly wanted: NewVdi;
  readonly ownership: Ownership;
  /** Undefined before it is created. */
  uuid: string | undefined;
  isTagged: boolean;
}

async function fill<T>(
  toolstack: ImportToolstack,
  unfinished: UnfinishedVdi,
  use: (attached: AttachedVdi) => Promise<T>,
  { readsZero, source, signal, onWarning }: VdiOptions,
): Promise<T> {
  const { wanted, ownership } = unfinished;
  const vdi = await toolstack.createVdi(wanted, ownership.tag, signal);
  unfinished.uuid = vdi;
  await ownership.created(vdi);
  const size = await roundedSize(toolstack, vdi, wanted.size, signal);
  const attaching = toolstack.attach({ uuid: vdi, sr: wanted.sr, size, raw: wanted.raw, readsZero }, signal, onWarning);
  const { target, detach } = await attaching;
  const result = await use({ vdi, size, target });
  await detach(onWarning);
  if (source !== undefined) await toolstack.setSource(vdi, source, signal);
  return result;
}

async function removeTag(toolstack: ImportToolstack, unfinished: UnfinishedVdi): Promise<void> {
  const { uuid, ownership } = unfinished;
  if (uuid === undefined) return;
  await toolstack.untag(uuid, ownership.tag);
  unfinished.isTagged = false;
}

/** `cause`: why it is removed. Resolves with a sentence for each thing left; never rejects. */
async function remove(
  toolstack: ImportToolstack,
  unfinished: UnfinishedVdi,
  cause: unknown,
  onWarning: OnWarning | undefined,
): Promise<string[]> {
  const { ownership, uuid, isTagged } = unfinished;
  const undone = uuid === undefined ? undoCreation(toolstack, unfinished, cause, onWarning) : removeVdi(toolstack, uuid, onWarning);
  const left = await undone;
  if (left.length === 0) await ownership.end();
  else ownership.abandon();
  return isTagged ? left : left.map((sentence) => `${sentence}; it has no owner tag any more, so \`vdistream reap\` does not find it`);
}

async function roundedSize(toolstack: ImportToolstack, vdi: string, wanted: number, signal: AbortSignal | undefined): Promise<number> {
  const size = await toolstack.vdiSize(vdi, signal);
  if (size >= wanted) return size;
  throw new VdiStreamError('XE_FAILED', `VDI ${vdi} was created with ${wanted} bytes, but its virtual-size is ${size}`);
}

/** Even after an error, the VDI may exist although its uuid was never received; the tag finds it. */
async function undoCreation(
  toolstack: ImportToolstack,
  { wanted: { sr, name, size }, ownership: { tag, hint } }: UnfinishedVdi,
  cause: unknown,
  onWarning: OnWarning | undefined,
): Promise<string[]> {
  try {
    const found = await toolstack.listTagged(tag);
    const [only] = found;
    if (only === undefined) return isOutcomeUnknown(cause) ? [`perhaps a VDI that xapi is still creating; ${hint}`] : [];
    const doubt = await doubtOf(toolstack, { tag, sr, name, size }, only, found);
    return doubt === undefined ? await removeVdi(toolstack, only, onWarning) : [`perhaps a VDI among ${found.join(', ')}: ${doubt}`];
  } catch (error) {
    return isRefused(cause) ? [] : [`perhaps a VDI: xapi does not answer (${messageOf(error)}); ${hint}`];
  }
}
