/** VBDs through xe: plugs and unplugs a VDI in Dom0, with the retries that old and new hosts need. */

import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, VdiStreamError } from '../errors.ts';
import { deviceTarget } from '../target/device.ts';
import type { OnWarning } from '../warnings.ts';
import { confirmResult } from './confirm.ts';
import { deviceNumber, settleUdev, volumePath, waitForDevice } from './device.ts';
import type { HostLock } from './host-lock.ts';
import { isRefusedWith } from './refusal.ts';
import type { Attachment, StoredVdi, Vbds, Vdi } from './toolstack.ts';
import { isUuid } from './uuid.ts';
import type { Xe } from './xe.ts';
import { confirmDone, destroy } from './xe-confirm.ts';
import { printedUuid } from './xe-output.ts';
import { isRaw } from './xe-vdi.ts';

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

export async function attach(xe: Xe, vdi: Vdi, options: PlugOptions): Promise<Attachment> {
  const { dom0, lock, pause, signal } = options;
  const find = async (): Promise<string | undefined> => (await xe.list('vbd-list', { 'vdi-uuid': vdi.uuid, 'vm-uuid': dom0 }, signal))[0];
  const vbd = await createVbd(xe, { vdi: vdi.uuid, dom0, mode: 'RW' }, find, signal);
  const path = await plug(xe, vbd, vdi, options);
  return {
    target: deviceTarget(path, { attached: true, readsZero: vdi.readsZero }),
    detach: async (onDetachWarning) => {
      await unplug(xe, vbd, { lock, pause }, onDetachWarning);
      await destroy(xe, 'vbd', vbd);
    },
  };
}

/** Resolves with the path of the device. */
export async function plug(
  xe: Xe,
  vbd: string,
  vdi: StoredVdi,
  { lock, signal, onWarning }: Omit<PlugOptions, 'dom0' | 'pause'>,
): Promise<string> {
  let isSent = false;
  const once = (): Promise<void> => {
    isSent = true;
    return confirmDone('vbd-plug', xe.run('vbd-plug', { uuid: vbd }, signal), () => isPlugged(xe, vbd, signal));
  };
  try {
    await lock(once, { signal, onWarning });
  } catch (error) {
    // It is certain to be unplugged, so the clean-up need not wait for the lock to unplug it.
    if (!isSent) await destroy(xe, 'vbd', vbd).catch(() => {});
    throw error;
  }
  return waitForDevice(await devicePath(xe, vbd, signal), vdi, signal);
}

interface NewVbd {
  readonly vdi: string;
  readonly dom0: string;
  readonly mode: 'RO' | 'RW';
}

/** `find` looks for the VBD if the response is lost. */
async function createVbd(
  xe: Xe,
  { vdi, dom0, mode }: NewVbd,
  find: () => Promise<string | undefined>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const creating = xe.run(
    'vbd-create',
    {
      'vm-uuid': dom0,
      'vdi-uuid': vdi,
      device: 'autodetect',
      // Means nothing in Dom0, so it distinguishes the VBD of an export from any that others create there.
      bootable: String(mode === 'RO'),
      mode,
      type: 'Disk',
      unpluggable: 'true',
    },
    signal,
  );
  return printedUuid('vbd-create', await confirmResult(creating, find));
}

interface ReadOnlyVbd {
  readonly vdi: string;
  readonly dom0: string;
  /** uuids of the VBDs that the VDI has in Dom0. */
  readonly before: readonly string[];
}

export function createReadOnlyVbd(xe: Xe, { vdi, dom0, before }: ReadOnlyVbd, signal: AbortSignal | undefined): Promise<string> {
  // If another one has appeared meanwhile, which was created is not certain.
  const find = async (): Promise<string | undefined> => {
    const found = await readOnlyVbds(xe, { vdi, dom0, unused: true }, signal);
    const [only, ...more] = found.filter((vbd) => !before.includes(vbd));
    return more.length === 0 ? only : undefined;
  };
  return createVbd(xe, { vdi, dom0, mode: 'RO' }, find, signal);
}

interface VbdSearch {
  readonly vdi: string;
  readonly dom0: string;
  readonly unused: boolean;
}

export async function readOnlyVbds(xe: Xe, { vdi, dom0, unused }: VbdSearch, signal: AbortSignal | undefined): Promise<string[]> {
  const filters = unused ? { 'currently-attached': 'false', bootable: 'true' } : {};
  const found = await xe.list('vbd-list', { 'vdi-uuid': vdi, 'vm-uuid': dom0, mode: 'RO', ...filters }, signal);
  if (!unused) return found;
  // xapi and other tools mark theirs when they create them (xen-api: ocaml/xapi/attach_helpers.ml).
  const configs = await Promise.all(found.map((vbd) => xe.run('vbd-param-get', { uuid: vbd, 'param-name': 'other-config' }, signal)));
  return found.filter((_, index) => configs[index]?.trim() === '');
}

export const writersOf = (xe: Xe, vdi: string, signal: AbortSignal | undefined): Promise<string[]> =>
  xe.list('vbd-list', { 'vdi-uuid': vdi, 'currently-attached': 'true', mode: 'RW' }, signal);

export async function labelVbd(xe: Xe, vbd: string, label: string, signal: AbortSignal | undefined): Promise<void> {
  await xe.run('vbd-param-set', { uuid: vbd, 'other-config:vdistream': label }, signal);
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
