/**
 * The life of a VDI: made, marked as ours in the same call, attached to Dom0, filled, detached, and only then anybody's. Whatever goes
 * wrong on the way, it is gone afterwards, or the error says what is left.
 */

import { cancelledOr, messageOf, throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { deviceOf, settle } from './device.ts';
import type { Host } from './host.ts';
import { giveUp, type Mark, newMark } from './mark.ts';
import { isRefused, isUnknown } from './refusal.ts';
import { isUuid, uuidFrom } from './uuid.ts';
import { done, exists, plug, removeVdi, sure, unplug } from './vbd.ts';
import type { Xe } from './xe.ts';

export interface NewVdi {
  /** uuid of the SR. */
  readonly sr: string;
  /** name-label. */
  readonly name: string;
  /** Bytes; the SR rounds it up. */
  readonly size: number;
  /** A plain volume or file instead of a VHD. */
  readonly raw: boolean;
}

export interface PluggedVdi {
  readonly vdi: string;
  /** Bytes that it really has: the end behind the disk belongs to it too. */
  readonly size: number;
  /** Path of its block device. */
  readonly device: string;
}

export interface VdiOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of what takes its time: VBD_RETRY. */
  readonly onWarning?: OnWarning | undefined;
}

/**
 * Makes a VDI, plugs it and lets `use` fill it. Resolves once it is detached and no longer marked as unfinished. Rejects with the first
 * error, whose `left` tells what could not be removed; CANCELLED once `signal` has fired.
 */
export async function withVdi<T>(
  xe: Xe,
  host: Host,
  wanted: NewVdi,
  use: (plugged: PluggedVdi) => Promise<T>,
  { signal, onWarning: warn }: VdiOptions = {},
): Promise<T> {
  throwIfCancelled(signal);
  const mark = newMark(host.uuid);
  let vdi: string | undefined;
  try {
    vdi = await create(xe, wanted, mark, signal);
    const size = await sizeOf(xe, vdi, wanted.size, signal);
    const vbd = await plug(xe, host, vdi, signal);
    const shortcut = wanted.raw ? `/dev/sm/phy/${wanted.sr}/${vdi}` : undefined;
    const device = await deviceOf(xe, { vbd, size, shortcut }, signal);
    const result = await use({ vdi, size, device });
    await settle();
    await unplug(xe, vbd, warn);
    throwIfCancelled(signal);
    await unmark(xe, vdi, mark);
    return result;
  } catch (cause) {
    const error = cancelledOr(cause, signal);
    const left = await undo(xe, host, vdi, mark, cause, warn);
    if (left.length === 0) throw error;
    giveUp(mark);
    // Of another kind is what a callback of the caller throws; it has no place for what is left.
    const told = error instanceof VdiStreamError ? error : new VdiStreamError('XE_FAILED', messageOf(error), { cause: error });
    told.left.push(...left);
    throw told;
  }
}

async function create(xe: Xe, { sr, name, size, raw }: NewVdi, mark: Mark, signal: AbortSignal | undefined): Promise<string> {
  const creating = xe.run(
    'vdi-create',
    {
      'sr-uuid': sr,
      'name-label': name,
      'virtual-size': size,
      type: 'user',
      [`tags:${mark.text}`]: '',
      ...(raw ? { 'sm-config:type': 'raw' } : {}),
    },
    signal,
  );
  return uuidFrom('vdi-create', await sure(creating, async () => (await marked(xe, mark))[0]));
}

const marked = (xe: Xe, mark: Mark): Promise<string[]> => xe.list('vdi-list', { 'tags:contains': mark.text });

async function sizeOf(xe: Xe, vdi: string, wanted: number, signal: AbortSignal | undefined): Promise<number> {
  const printed = await xe.run('vdi-param-get', { uuid: vdi, 'param-name': 'virtual-size' }, signal);
  const size = Number(printed);
  if (/^\d+$/.test(printed) && Number.isSafeInteger(size) && size >= wanted) return size;
  throw new VdiStreamError('XE_FAILED', `VDI ${vdi} was made for ${wanted} bytes, but its virtual-size is ${JSON.stringify(printed)}`);
}

/** Should it not be known whether the mark is off, the VDI is no success: a later clean-up would take it for a left-over. */
async function unmark(xe: Xe, vdi: string, mark: Mark): Promise<void> {
  const removing = xe.run('vdi-param-remove', { uuid: vdi, 'param-name': 'tags', 'param-key': mark.text });
  await done('vdi-param-remove', removing, async () => (await exists(xe, 'vdi', vdi)) && !(await marked(xe, mark)).includes(vdi));
}

async function undo(
  xe: Xe,
  host: Host,
  vdi: string | undefined,
  mark: Mark,
  cause: unknown,
  warn: OnWarning | undefined,
): Promise<string[]> {
  if (vdi !== undefined) {
    await settle();
    return removeVdi(xe, host, vdi, warn);
  }
  // What nobody has told the uuid of may be there all the same, even after an error, and is found by its mark.
  const hint = '`vdistream reap` removes it should it still come';
  try {
    const found = (await marked(xe, mark)).filter(isUuid);
    if (found.length === 0) return isUnknown(cause) ? [`perhaps a VDI that xapi is still making; ${hint}`] : [];
    return (await Promise.all(found.map((one) => removeVdi(xe, host, one, warn)))).flat();
  } catch (error) {
    return isRefused(cause) ? [] : [`perhaps a VDI, since xapi does not answer (${messageOf(error)}); ${hint}`];
  }
}
