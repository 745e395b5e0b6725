/** VBD: a VDI attached to Dom0, from the plug to the unplug, with the retries that hosts of all ages need (DOMAIN 3). */

import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, VdiStreamError } from '../errors.ts';
import { withLock } from '../host/lock.ts';
import type { OnWarning } from '../warnings.ts';
import type { Host } from './host.ts';
import { isRefusal, isUnknown } from './refusal.ts';
import { uuidFrom } from './uuid.ts';
import type { Xe } from './xe.ts';

/** XenServer 6 breaks when a host plugs and unplugs several at once. */
const TURN = 'xapi plug';
const DETACH_TRIES = 30;
const PASSING: readonly string[] = ['DEVICE_DETACH_REJECTED', 'INTERNAL_ERROR', 'VM_MISSING_PV_DRIVERS'];

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

/**
 * A command that prints nothing and is done, whatever it says: after an error, and after words where there should be none (the client
 * prints its usage with exit status 0), what counts is what the toolstack then has.
 */
export async function done(command: string, work: Promise<string>, isDone: () => Promise<boolean>): Promise<void> {
  const failure = await work.then(
    (printed) => (printed.trim() === '' ? undefined : unexpected(command, printed)),
    (error: unknown) => error,
  );
  if (failure !== undefined && !(await isDone().catch(() => false))) throw failure;
}

const unexpected = (command: string, printed: string): VdiStreamError =>
  new VdiStreamError('XE_FAILED', `xe ${command} should print nothing, but says ${JSON.stringify(printed.slice(0, 100))}`);

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
  await withLock(TURN, () => done('vbd-plug', xe.run('vbd-plug', { uuid: vbd }, signal), () => isAttached(xe, vbd, signal)), signal);
  return vbd;
}

const isAttached = async (xe: Xe, vbd: string, signal?: AbortSignal): Promise<boolean> =>
  (await xe.list('vbd-list', { uuid: vbd, 'currently-attached': 'true' }, signal)).length > 0;

export const exists = async (xe: Xe, kind: 'vbd' | 'vdi', uuid: string): Promise<boolean> =>
  (await xe.list(`${kind}-list`, { uuid })).length > 0;

/**
 * Detaches a VBD and destroys it; one that is detached or gone already is fine. Not to be cancelled: it is what cancelling does. Whoever
 * waits for the detach is told so.
 */
export async function unplug(xe: Xe, vbd: string, warn?: OnWarning): Promise<void> {
  await detach(xe, vbd, warn);
  await destroy(xe, 'vbd', vbd);
}

async function detach(xe: Xe, vbd: string, warn: OnWarning | undefined): Promise<void> {
  const once = (): Promise<void> => done('vbd-unplug', xe.run('vbd-unplug', { uuid: vbd }), async () => !(await isAttached(xe, vbd)));
  for (let tries = 1; ; tries++) {
    try {
      return await withLock(TURN, once);
    } catch (error) {
      if (tries === DETACH_TRIES || !isRefusal(error, ...PASSING)) throw error;
      if (tries === 1)
        warn?.({ code: 'VBD_RETRY', message: `VBD ${vbd}: ${messageOf(error)}; trying again, ${DETACH_TRIES} times at most` });
      await sleep(xe.options.pause ?? 1000);
    }
  }
}

function destroy(xe: Xe, kind: 'vbd' | 'vdi', uuid: string): Promise<void> {
  const command = `${kind}-destroy`;
  return done(command, xe.run(command, { uuid }), async () => !(await exists(xe, kind, uuid)));
}

/**
 * Removes a VDI of ours, and the VBDs that attach it to Dom0, as far as that can be done. Gives what could not, in sentences; rejects
 * never. One that another machine has got hold of is left alone. VBDs that are detached go with their VDI (DOMAIN 3).
 */
export async function removeVdi(xe: Xe, { dom0 }: Host, vdi: string, warn?: OnWarning): Promise<string[]> {
  try {
    const ours = await xe.list('vbd-list', { 'vdi-uuid': vdi, 'vm-uuid': dom0 });
    const others = (await xe.list('vbd-list', { 'vdi-uuid': vdi })).filter((vbd) => !ours.includes(vbd));
    if (others.length > 0) return [`VDI ${vdi}: another machine has it attached, by VBD ${others.join(', ')}`];
    for (const vbd of ours) {
      await detach(xe, vbd, warn).catch((error: unknown) => {
        throw new VdiStreamError('VBD_DETACH', `VBD ${vbd} is still plugged: ${messageOf(error)}`, { cause: error });
      });
    }
    await destroy(xe, 'vdi', vdi);
    return [];
  } catch (error) {
    return [`VDI ${vdi}: ${messageOf(error)}`];
  }
}
