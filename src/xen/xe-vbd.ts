/** VBDs through xe: plugs and unplugs a VDI in Dom0, with the retries that old and new hosts need. */

import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, VdiStreamError } from '../errors.ts';
import { deviceTarget } from '../target/device.ts';
import type { OnWarning } from '../warnings.ts';
import { deviceNumber, settleUdev, volumePath, waitForDevice } from './device.ts';
import type { HostLock } from './host-lock.ts';
import { isRefusedWith } from './refusal.ts';
import type { Attachment, Vbds, Vdi } from './toolstack.ts';
import { isUuid } from './uuid.ts';
import type { Xe } from './xe.ts';
import { confirmDone, confirmResult, destroy } from './xe-confirm.ts';
import { parseMap, printedUuid } from './xe-output.ts';

const UNPLUG_TRIES = 30;
/** These go away once the device is closed, or the host is less busy. Nova's `unplug_vbd` retries the same codes. */
const RETRYABLE: readonly string[] = ['DEVICE_DETACH_REJECTED', 'INTERNAL_ERROR', 'VM_MISSING_PV_DRIVERS'];

/** How VBDs of this host are plugged. `pause`: milliseconds between attempts to unplug. */
interface Plugging {
  readonly lock: HostLock;
  readonly pause: number;
}

/** `dom0`: uuid of the control domain's VM. */
interface PlugOptions extends Plugging {
  readonly dom0: string;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: OnWarning | undefined;
}

export async function attach(xe: Xe, vdi: Vdi, { dom0, lock, pause, signal, onWarning }: PlugOptions): Promise<Attachment> {
  const vbd = await createVbd(xe, vdi.uuid, dom0, signal);
  let isSent = false;
  const plug = (): Promise<void> => {
    isSent = true;
    return confirmDone('vbd-plug', xe.run('vbd-plug', { uuid: vbd }, signal), () => isPlugged(xe, vbd, signal));
  };
  try {
    await lock(plug, { signal, onWarning });
  } catch (error) {
    // It is certain to be unplugged, so the clean-up need not wait for the lock to unplug it.
    if (!isSent) await destroy(xe, 'vbd', vbd).catch(() => {});
    throw error;
  }
  const path = await waitForDevice(await devicePath(xe, vbd, signal), vdi, signal);
  return {
    target: deviceTarget(path, { attached: true, readsZero: vdi.readsZero }),
    detach: async (onDetachWarning) => {
      await unplug(xe, vbd, { lock, pause }, onDetachWarning);
      await destroy(xe, 'vbd', vbd);
    },
  };
}

async function createVbd(xe: Xe, vdi: string, dom0: string, signal: AbortSignal | undefined): Promise<string> {
  const creating = xe.run(
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
  const find = async (): Promise<string | undefined> => (await xe.list('vbd-list', { 'vdi-uuid': vdi, 'vm-uuid': dom0 }, signal))[0];
  return printedUuid('vbd-create', await confirmResult(creating, find));
}

const isPlugged = async (xe: Xe, vbd: string, signal?: AbortSignal): Promise<boolean> =>
  (await xe.list('vbd-list', { uuid: vbd, 'currently-attached': 'true' }, signal)).length > 0;

/** Throws DEVICE_MISSING. `device` keeps its value after an unplug, so only that of a plugged VBD counts. */
async function devicePath(xe: Xe, vbd: string, signal: AbortSignal | undefined): Promise<string> {
  const [device] = await xe.list('vbd-list', { uuid: vbd, 'currently-attached': 'true', params: 'device' }, signal);
  if (device !== undefined && isBelowDev(device)) return `/dev/${device}`;
  throw new VdiStreamError('DEVICE_MISSING', `the toolstack reports no valid device for VBD ${vbd}: ${JSON.stringify(device ?? '')}`);
}

const isBelowDev = (device: string): boolean => /^[\w.:+@-]+(?:\/[\w.:+@-]+)*$/.test(device) && !device.split('/').includes('..');

/** Has no signal, because cancelling calls it. */
export async function unplug(xe: Xe, vbd: string, { lock, pause }: Plugging, onWarning?: OnWarning): Promise<void> {
  const once = (): Promise<void> => confirmDone('vbd-unplug', xe.run('vbd-unplug', { uuid: vbd }), async () => !(await isPlugged(xe, vbd)));
  await settleUdev();
  for (let tries = 1; ; tries++) {
    try {
      return await lock(once, { onWarning });
    } catch (error) {
      if (tries === UNPLUG_TRIES || !isRefusedWith(error, RETRYABLE)) throw error;
      if (tries === 1)
        onWarning?.({ code: 'VBD_RETRY', message: `VBD ${vbd}: ${messageOf(error)}; retrying, at most ${UNPLUG_TRIES} times` });
      await sleep(pause);
    }
  }
}

export async function vbdsOf(xe: Xe, vdi: string, dom0: string): Promise<Vbds> {
  const ours = await xe.list('vbd-list', { 'vdi-uuid': vdi, 'vm-uuid': dom0 });
  const others = (await xe.list('vbd-list', { 'vdi-uuid': vdi })).filter((vbd) => !ours.includes(vbd));
  return { ours, others };
}

/** Compares numbers, since a device has many names. `device` is that of waitForDevice: of the VBD, or on LVM, of the volume. */
export async function isAttached(xe: Xe, device: number, dom0: string, signal: AbortSignal | undefined): Promise<boolean> {
  const plugged = { 'vm-uuid': dom0, 'currently-attached': 'true', mode: 'RW' };
  for (const name of await xe.list('vbd-list', { ...plugged, params: 'device' }, signal)) {
    if (isBelowDev(name) && (await deviceNumber(`/dev/${name}`)) === device) return true;
  }
  for (const vdi of await xe.list('vbd-list', { ...plugged, params: 'vdi-uuid' }, signal)) {
    if (!isUuid(vdi)) continue; // an empty drive
    const [sr = ''] = await xe.list('vdi-list', { uuid: vdi, params: 'sr-uuid' }, signal);
    if ((await deviceNumber(volumePath(sr, vdi))) === device) return isRaw(xe, vdi, signal);
  }
  return false;
}

/** As the storage manager records it: `aio` is raw (sm: VDI_TYPE_RAW in drivers/vhdutil.py). */
async function isRaw(xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<boolean> {
  const [printed = ''] = await xe.list('vdi-list', { uuid: vdi, params: 'sm-config' }, signal);
  return parseMap(printed).get('vdi_type') === 'aio';
}
