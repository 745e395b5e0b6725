/**
 * The life of a VDI: made, with its owner tag in the same call, attached, filled, detached, and only then untagged. If anything goes
 * wrong on the way, it is gone afterwards, or the error says what is left.
 */

import { cancelledOr, messageOf, throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { TargetOpener } from '../target/target.ts';
import type { OnWarning } from '../warnings.ts';
import { abandon, newOwnerTag, type OwnerTag } from './owner-tag.ts';
import { isOutcomeUnknown, isRefused } from './refusal.ts';
import { removeVdi } from './remove.ts';
import type { NewVdi, Toolstack } from './toolstack.ts';

interface AttachedVdi {
  readonly vdi: string;
  /** Bytes that it really has, all of which have to be filled: the SR may have rounded the size up. */
  readonly size: number;
  /** Opens what is to be written to. */
  readonly target: TargetOpener;
}

interface VdiOptions {
  /** What has not been written to it can be relied on to read as zero. */
  readonly readsZero: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called with VBD_RETRY when a detach takes its time. */
  readonly onWarning?: OnWarning | undefined;
}

/**
 * Makes a VDI, attaches it and lets `use` fill it. Resolves once it is detached and no longer tagged as unfinished. Rejects with the first
 * error, whose `left` lists what could not be removed; CANCELLED once `signal` has fired.
 */
export async function withVdi<T>(
  toolstack: Toolstack,
  wanted: NewVdi,
  use: (attached: AttachedVdi) => Promise<T>,
  { readsZero, signal, onWarning }: VdiOptions,
): Promise<T> {
  throwIfCancelled(signal);
  const tag = newOwnerTag(await toolstack.host(signal));
  let vdi: string | undefined;
  try {
    vdi = await toolstack.createVdi(wanted, tag.text, signal);
    const size = await roundedSize(toolstack, vdi, wanted.size, signal);
    const { target, detach } = await toolstack.attach({ uuid: vdi, sr: wanted.sr, size, raw: wanted.raw, readsZero }, signal);
    const result = await use({ vdi, size, target });
    await detach(onWarning);
    throwIfCancelled(signal);
    // If it is not known whether the tag is off, this is no success: a later clean-up would take the VDI for a left-over.
    await toolstack.untag(vdi, tag.text);
    return result;
  } catch (cause) {
    const error = cancelledOr(cause, signal);
    const left = await undo(toolstack, vdi, tag, cause, onWarning);
    if (left.length === 0) throw error;
    abandon(tag);
    // What a callback of the caller throws may be of any kind, and then has no `left`.
    const typed = error instanceof VdiStreamError ? error : new VdiStreamError('XE_FAILED', messageOf(error), { cause: error });
    typed.left.push(...left);
    throw typed;
  }
}

async function roundedSize(toolstack: Toolstack, vdi: string, wanted: number, signal: AbortSignal | undefined): Promise<number> {
  const size = await toolstack.vdiSize(vdi, signal);
  if (size >= wanted) return size;
  throw new VdiStreamError('XE_FAILED', `VDI ${vdi} was made for ${wanted} bytes, but its virtual-size is ${size}`);
}

/** Resolves with what is left, in sentences; never rejects. */
async function undo(
  toolstack: Toolstack,
  vdi: string | undefined,
  tag: OwnerTag,
  cause: unknown,
  onWarning: OnWarning | undefined,
): Promise<string[]> {
  if (vdi !== undefined) return removeVdi(toolstack, vdi, onWarning);
  // A VDI whose uuid was never learnt may be there all the same, even after an error, and is found by its tag.
  const hint = '`vdistream reap` removes it should it still come';
  try {
    const found = await toolstack.listTagged(tag.text);
    if (found.length === 0) return isOutcomeUnknown(cause) ? [`perhaps a VDI that xapi is still making; ${hint}`] : [];
    return (await Promise.all(found.map((one) => removeVdi(toolstack, one, onWarning)))).flat();
  } catch (error) {
    return isRefused(cause) ? [] : [`perhaps a VDI, since xapi does not answer (${messageOf(error)}); ${hint}`];
  }
}
