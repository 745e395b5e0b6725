/**
 * The life of a VDI: recorded, created with its owner tag, attached, filled, detached, and only then untagged. If any step fails, the VDI is
 * removed, or the error lists what is left.
 */

import { messageOf, rejection, throwIfCancelled, VdiStreamError, withLeft } from '../errors.ts';
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

/**
 * Creates a VDI, attaches it and lets `use` fill it. Resolves once it is detached and its owner tag removed. Rejects with the first error,
 * whose `left` lists what could not be removed; with CANCELLED once `signal` has fired.
 */
export async function withVdi<T>(
  toolstack: Toolstack,
  wanted: NewVdi,
  use: (attached: AttachedVdi) => Promise<T>,
  { readsZero, records, source, signal, onWarning }: VdiOptions,
): Promise<T> {
  throwIfCancelled(signal);
  const tag = newOwnerTag(await toolstack.host(signal));
  const record: ImportRecord = { tag: tag.text, sr: wanted.sr, name: wanted.name, size: wanted.size };
  let vdi: string | undefined;
  try {
    await records.add(tag.token, record);
    vdi = await toolstack.createVdi(wanted, tag.text, signal);
    await records.complete(tag.token, vdi);
    const size = await roundedSize(toolstack, vdi, wanted.size, signal);
    const attaching = toolstack.attach({ uuid: vdi, sr: wanted.sr, size, raw: wanted.raw, readsZero }, signal, onWarning);
    const { target, detach } = await attaching;
    const result = await use({ vdi, size, target });
    await detach(onWarning);
    if (source !== undefined) await toolstack.setSource(vdi, source, signal);
    throwIfCancelled(signal);
    // Fails unless the tag is certain to be gone: otherwise a later clean-up would remove the VDI as a left-over.
    await toolstack.untag(vdi, tag.text);
    await forget(records, tag);
    return result;
  } catch (cause) {
    const error = rejection(cause, signal);
    const left = await undo(toolstack, vdi, record, cause, onWarning);
    if (left.length === 0) {
      await forget(records, tag);
      throw error;
    }
    abandon(tag);
    throw withLeft(error, left);
  }
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
