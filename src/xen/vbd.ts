/** VBD: a VDI attached to Dom0, from the plug to the unplug, with the retries that hosts of all ages need (DOMAIN 3). */

import { setTimeout as sleep } from 'node:timers/promises';
import { VdiStreamError } from '../errors.ts';
import { inTurn } from '../io/turn.ts';
import type { Host } from './host.ts';
import { isRefusal, isUnknown } from './refusal.ts';
import { uuidFrom } from './uuid.ts';
import type { Xe } from './xe.ts';

/** XenServer 6 breaks when a host plugs and unplugs several at once. */
const TURN = 'xapi plug';
const DETACH_TRIES = 30;
const PASSING: readonly string[] = ['DEVICE_DETACH_REJECTED', 'INTERNAL_ERROR', 'VM_MISSING_PV_DRIVERS'];
const GONE: readonly string[] = ['UUID_INVALID', 'HANDLE_INVALID'];

/** What a command does, or has done all the same although nobody said so. `reread` gives undefined where it has not. */
export async function sure<T>(work: Promise<T>, reread: () => Promise<T | undefined>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const found = isUnknown(error) ? await reread().catch(() => undefined) : undefined;
    if (found === undefined) throw error;
    return found;
  }
}

/** The same for a command that prints nothing. */
export const done = (work: Promise<unknown>, isDone: () => Promise<boolean>): Promise<unknown> =>
  sure(work, async () => ((await isDone()) ? true : undefined));

/** Attaches a VDI to Dom0, and gives the VBD. What of it fails in the middle is found by its VDI. */
export async function plug(xe: Xe, { dom0 }: Host, vdi: string, signal?: AbortSignal): Promise<string> {
  const create = xe.run(
    'vbd-create',
    {
      'vm-uuid': dom0,
      'vdi-uuid': vdi,
      device: 'autodetect',
      bootable: 'false',
      mode: 'RW',
      type: 'Disk',
      unpluggable: 'true',
    },
    signal,
  );
  const printed = await sure(create, async () => (await xe.list('vbd-list', { 'vdi-uuid': vdi, 'vm-uuid': dom0 }, signal))[0]);
  const vbd = uuidFrom('vbd-create', printed);
  const plugOne = async (): Promise<unknown> => {
    const plugging = xe.run('vbd-plug', { uuid: vbd }, signal).catch((error: unknown) => {
      if (!isRefusal(error, 'DEVICE_ALREADY_ATTACHED')) throw error;
    });
    return done(plugging, () => isAttached(xe, vbd, signal));
  };
  await inTurn(TURN, plugOne, signal);
  return vbd;
}

const isAttached = async (xe: Xe, vbd: string, signal?: AbortSignal): Promise<boolean> =>
  (await xe.list('vbd-list', { uuid: vbd, 'currently-attached': 'true' }, signal)).length > 0;

const exists = async (xe: Xe, kind: 'vbd' | 'vdi', uuid: string): Promise<boolean> => (await xe.list(`${kind}-list`, { uuid })).length > 0;

/** Detaches a VBD and destroys it; one that is detached or gone already is fine. Not to be cancelled: it is what cancelling does. */
export async function unplug(xe: Xe, vbd: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      const unplugOne = (): Promise<unknown> => done(xe.run('vbd-unplug', { uuid: vbd }), async () => !(await isAttached(xe, vbd)));
      await inTurn(TURN, unplugOne);
      break;
    } catch (error) {
      if (isRefusal(error, ...GONE)) return;
      if (isRefusal(error, 'DEVICE_ALREADY_DETACHED')) break;
      if (tries === DETACH_TRIES || !isRefusal(error, ...PASSING)) throw error;
      await sleep(xe.options.pause ?? 1000);
    }
  }
  await destroy(xe, 'vbd', vbd);
}

async function destroy(xe: Xe, kind: 'vbd' | 'vdi', uuid: string): Promise<void> {
  try {
    await done(xe.run(`${kind}-destroy`, { uuid }), async () => !(await exists(xe, kind, uuid)));
  } catch (error) {
    if (!isRefusal(error, ...GONE)) throw error;
  }
}

/**
 * Removes a VDI of ours, and the VBDs that attach it to Dom0, as far as that can be done. Gives what could not, in sentences; rejects
 * never. One that another machine has got hold of is left alone.
 */
export async function removeVdi(xe: Xe, { dom0 }: Host, vdi: string): Promise<string[]> {
  try {
    const ours = await xe.list('vbd-list', { 'vdi-uuid': vdi, 'vm-uuid': dom0 });
    const others = (await xe.list('vbd-list', { 'vdi-uuid': vdi })).filter((vbd) => !ours.includes(vbd));
    if (others.length > 0) return [`VDI ${vdi}: another machine has it attached, by VBD ${others.join(', ')}`];
    for (const vbd of ours) {
      await unplug(xe, vbd).catch((error: unknown) => {
        throw new VdiStreamError('VBD_DETACH', `VBD ${vbd} is still plugged: ${messageOf(error)}`, { cause: error });
      });
    }
    await destroy(xe, 'vdi', vdi);
    return [];
  } catch (error) {
    return [`VDI ${vdi}: ${messageOf(error)}`];
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
