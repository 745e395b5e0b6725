/**
 * The life of the VDIs of an import. Each is recorded, created with its owner tag, attached, filled and detached; once all of them are, they are
 * untagged. If any step fails, all of them are removed, or the error lists what is left.
 */

import { messageOf, rejection, throwIfCancelled, VdiStreamError, withLeft } from '../errors.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { TargetOpener } from '../target/target.ts';
import type { OnWarning } from '../warnings.ts';
import { abandon, newOwnerTag, type OwnerTag } from './owner-tag.ts';
import { doubtOf } from './proof.ts';
import type { ImportRecord, Records } from './record.ts';
import { isOutcomeUnknown, isRefused } from './refusal.ts';
import { removeVdi } from './remove.ts';
import type { NewVdi, Toolstack } from './toolstack.ts';

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
  readonly records: Records;
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
export async function withVdis<T>(toolstack: Toolstack, work: (fill: FillVdi) => Promise<T>, options: VdiOptions): Promise<T> {
  const { records, signal, onWarning } = options;
  const unfinished: UnfinishedVdi[] = [];
  try {
    const result = await work(async (wanted, use) => {
      throwIfCancelled(signal);
      const vdi = unfinishedVdi(wanted, await toolstack.host(signal));
      unfinished.push(vdi);
      return fill(toolstack, vdi, use, options);
    });
    throwIfCancelled(signal);
    // Fails unless the tags are certain to be gone: otherwise a later clean-up would remove the VDIs as left-overs.
    await eachInParallel(unfinished, UNTAGGED_AT_A_TIME, (vdi) => removeTag(toolstack, vdi));
    for (const { tag } of unfinished) await forget(records, tag);
    return result;
  } catch (cause) {
    const error = rejection(cause, signal);
    const left: string[] = [];
    for (const vdi of unfinished.reverse()) left.push(...(await remove(toolstack, vdi, { records, cause, onWarning })));
    throw withLeft(error, left);
  }
}

interface UnfinishedVdi {
  readonly wanted: NewVdi;
  readonly tag: Required<OwnerTag>;
  readonly record: ImportRecord;
  /** Undefined before it is created. */
  uuid: string | undefined;
  isTagged: boolean;
}

/** `host`: uuid of this host. */
function unfinishedVdi(wanted: NewVdi, host: string): UnfinishedVdi {
  const tag = newOwnerTag(host);
  const { sr, name, size } = wanted;
  return { wanted, tag, record: { tag: tag.text, sr, name, size }, uuid: undefined, isTagged: true };
}

async function fill<T>(
  toolstack: Toolstack,
  unfinished: UnfinishedVdi,
  use: (attached: AttachedVdi) => Promise<T>,
  { readsZero, records, source, signal, onWarning }: VdiOptions,
): Promise<T> {
  const { wanted, tag, record } = unfinished;
  await records.add(tag.token, record);
  const vdi = await toolstack.createVdi(wanted, tag.text, signal);
  unfinished.uuid = vdi;
  await records.complete(tag.token, vdi);
  const size = await roundedSize(toolstack, vdi, wanted.size, signal);
  const attaching = toolstack.attach({ uuid: vdi, sr: wanted.sr, size, raw: wanted.raw, readsZero }, signal, onWarning);
  const { target, detach } = await attaching;
  const result = await use({ vdi, size, target });
  await detach(onWarning);
  if (source !== undefined) await toolstack.setSource(vdi, source, signal);
  return result;
}

async function removeTag(toolstack: Toolstack, unfinished: UnfinishedVdi): Promise<void> {
  const { uuid, tag } = unfinished;
  if (uuid === undefined) return;
  await toolstack.untag(uuid, tag.text);
  unfinished.isTagged = false;
}

interface Removal {
  readonly records: Records;
  /** Why it is removed. */
  readonly cause: unknown;
  readonly onWarning: OnWarning | undefined;
}

/** Resolves with a sentence for each thing left; never rejects. */
async function remove(toolstack: Toolstack, unfinished: UnfinishedVdi, { records, cause, onWarning }: Removal): Promise<string[]> {
  const { tag, record, uuid, isTagged } = unfinished;
  const left = await undo(toolstack, uuid, record, cause, onWarning);
  if (left.length === 0) await forget(records, tag);
  else abandon(tag);
  return isTagged ? left : left.map((sentence) => `${sentence}; it has no owner tag any more, so \`vdistream reap\` does not find it`);
}

/** A record that stays makes no difference: no VDI has its token, and a later reap removes it. */
const forget = (records: Records, { token }: Required<OwnerTag>): Promise<void> => records.remove(token).catch(() => {});

async function roundedSize(toolstack: Toolstack, vdi: string, wanted: number, signal: AbortSignal | undefined): Promise<number> {
  const size = await toolstack.vdiSize(vdi, signal);
  if (size >= wanted) return size;
  throw new VdiStreamError('XE_FAILED', `VDI ${vdi} was created with ${wanted} bytes, but its virtual-size is ${size}`);
}

/** Resolves with a sentence for each thing left; never rejects. */
async function undo(
  toolstack: Toolstack,
  vdi: string | undefined,
  record: ImportRecord,
  cause: unknown,
  onWarning: OnWarning | undefined,
): Promise<string[]> {
  if (vdi !== undefined) return removeVdi(toolstack, vdi, onWarning);
  // Even after an error, the VDI may exist although its uuid was never received; the tag finds it.
  const hint = '`vdistream reap` removes it if it appears later';
  try {
    const found = await toolstack.listTagged(record.tag);
    const [only] = found;
    if (only === undefined) return isOutcomeUnknown(cause) ? [`perhaps a VDI that xapi is still creating; ${hint}`] : [];
    const doubt = await doubtOf(toolstack, record, only, found);
    return doubt === undefined ? await removeVdi(toolstack, only, onWarning) : [`perhaps a VDI among ${found.join(', ')}: ${doubt}`];
  } catch (error) {
    return isRefused(cause) ? [] : [`perhaps a VDI: xapi does not answer (${messageOf(error)}); ${hint}`];
  }
}
