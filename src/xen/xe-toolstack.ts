/** The toolstack of this host, through xe in Dom0. */

import { loadAddon } from '../host/native.ts';
import { hostLock } from './host-lock.ts';
import type { Toolstack } from './toolstack.ts';
import { createXe, type XeOptions } from './xe.ts';
import { destroy, exists } from './xe-confirm.ts';
import { findHost, type Host } from './xe-host.ts';
import { listBySource, setSource } from './xe-source.ts';
import { freeSpace, srConfig, srType } from './xe-sr.ts';
import { attach, createReadOnlyVbd, isAttached, labelVbd, plug, readOnlyVbds, unplug, vbdsOf, writersOf } from './xe-vbd.ts';
import { createVdi, listTagged, listTags, storedVdi, tagsOf, untag, vdiFacts, vdiSize } from './xe-vdi.ts';

/** Throws NATIVE_MISSING before anything is created on the host: a VDI is attached as a block device. */
export function createXeToolstack(options: XeOptions = {}): Toolstack {
  loadAddon();
  const { program, timeout, grace, pause = 1000, inventory = '/etc/xensource-inventory' } = options;
  const xe = createXe({ program, timeout, grace });
  const lock = hostLock('plug', options);
  let found: Host | undefined;
  const here = async (signal?: AbortSignal): Promise<Host> => {
    found ??= await findHost(xe, inventory, signal);
    return found;
  };
  return {
    host: async (signal) => (await here(signal)).uuid,
    checkHost: async (_, signal) => void (await here(signal)),
    srType: (sr, signal) => srType(xe, sr, signal),
    srConfig: (sr, signal) => srConfig(xe, sr, signal),
    freeSpace: async (sr, signal) => freeSpace(xe, sr, (await here(signal)).uuid, signal),

    createVdi: (vdi, tag, signal) => createVdi(xe, vdi, tag, signal),
    vdiSize: (vdi, signal) => vdiSize(xe, vdi, signal),
    vdiFacts: (vdi, signal) => vdiFacts(xe, vdi, signal),
    destroyVdi: (vdi) => destroy(xe, 'vdi', vdi),

    attach: async (vdi, signal, onWarning) => attach(xe, vdi, { dom0: (await here(signal)).dom0, lock, pause, signal, onWarning }),
    vbdsOf: async (vdi) => vbdsOf(xe, vdi, (await here()).dom0),
    storedVdi: (vdi, signal) => storedVdi(xe, vdi, signal),
    writersOf: (vdi, signal) => writersOf(xe, vdi, signal),
    createReadOnlyVbd: async (vdi, before, signal) => createReadOnlyVbd(xe, { vdi, dom0: (await here(signal)).dom0, before }, signal),
    labelVbd: (vbd, label, signal) => labelVbd(xe, vbd, label, signal),
    readOnlyVbds: async (vdi, { unused }, signal) => readOnlyVbds(xe, { vdi, dom0: (await here(signal)).dom0, unused }, signal),
    vbdExists: (vbd, signal) => exists(xe, 'vbd', vbd, signal),
    plug: (vbd, vdi, signal, onWarning) => plug(xe, vbd, vdi, { lock, signal, onWarning }),
    destroyVbd: (vbd) => destroy(xe, 'vbd', vbd),
    isAttached: async (device, signal) => isAttached(xe, device, (await here(signal)).dom0, signal),
    unplug: (vbd, onWarning) => unplug(xe, vbd, { lock, pause }, onWarning),

    setSource: (vdi, source, signal) => setSource(xe, vdi, source, signal),
    listBySource: (source, sr, signal) => listBySource(xe, source, sr, signal),
    tagsOf: (vdi, signal) => tagsOf(xe, vdi, signal),
    untag: (vdi, tag) => untag(xe, vdi, tag),
    listTags: (sr, signal) => listTags(xe, sr, signal),
    listTagged: (tag, sr, signal) => listTagged(xe, tag, sr, signal),
  };
}
