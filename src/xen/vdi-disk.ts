/**
 * A VDI as a disk to export: recorded, attached to Dom0 read-only, read, detached, and only then is the record removed. The VDI belongs to
 * others: it gets no tag, and nothing of it is changed.
 */

import { checkOptions, checkText } from '../arguments.ts';
import { roundUp, SECTOR } from '../bytes.ts';
import type { DiskOpener, ReadableDisk } from '../disk/readable.ts';
import { afterCleanUp, leftOf, messageOf, rejection, throwIfCancelled, VdiStreamError, withLeft } from '../errors.ts';
import { deviceDisk } from '../source/device-disk.ts';
import type { OnWarning } from '../warnings.ts';
import { hostLock } from './host-lock.ts';
import { createVbdReaper } from './left-over-vbd.ts';
import { abandon, newOwnerTag, type OwnerTag } from './owner-tag.ts';
import { findExportVbd } from './proof.ts';
import { createRecords, type ExportRecord, type Records } from './record.ts';
import { isOutcomeUnknown, isRefused } from './refusal.ts';
import { removeVbd } from './remove.ts';
import type { StoredVdi, Toolstack } from './toolstack.ts';
import { parseVdiUuid } from './uuid.ts';
import type { XeOptions } from './xe.ts';
import { createXeToolstack } from './xe-toolstack.ts';

export interface VdiDiskOptions {
  readonly xe?: XeOptions | undefined;
}

/**
 * A VDI of this Xen host, by its uuid. While the disk is open, the VDI is attached to Dom0 read-only; closing detaches it. Opening rejects with
 * VDI_BUSY if something has it attached for writing: export a snapshot. If anything fails, the error's `left` lists what is still there.
 * Throws USAGE.
 */
export function vdiDisk(vdi: string, options: VdiDiskOptions = {}): DiskOpener {
  checkText('vdiDisk', 'the VDI', vdi);
  checkOptions('vdiDisk', options);
  const { xe } = options;
  const uuid = parseVdiUuid(vdi);
  return { name: `vdi:${uuid}`, open: ({ signal, onWarning }) => openVdi(uuid, xe, { signal, onWarning }) };
}

interface Opening {
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: OnWarning | undefined;
}

async function openVdi(uuid: string, xe: XeOptions | undefined, opening: Opening): Promise<ReadableDisk> {
  const { signal, onWarning } = opening;
  const toolstack = createXeToolstack(xe);
  try {
    const tag = newOwnerTag(await toolstack.host(signal));
    const vdi = await toolstack.storedVdi(uuid, signal);
    await reapQuietly(toolstack, xe, uuid, opening);
    await refuseWriters(toolstack, uuid, signal);
    const { path, detach } = await attachReadOnly(toolstack, { xe, vdi, tag }, opening);
    try {
      // It may have been attached meanwhile.
      await refuseWriters(toolstack, uuid, signal);
      const device = await deviceDisk(path).open({ signal, onWarning });
      return diskOn(device, vdi, detach);
    } catch (error) {
      throw await afterCleanUp(error, detach);
    }
  } catch (error) {
    throw rejection(error, signal);
  }
}

/** The disk has the size of the VDI; its device may be larger. */
function diskOn(device: ReadableDisk, { uuid, size }: StoredVdi, detach: () => Promise<void>): ReadableDisk {
  let open = true;
  return {
    name: `vdi:${uuid}`,
    size: roundUp(size, SECTOR),
    align: device.align,
    async read(into, offset) {
      await device.read(into, offset);
      if (offset + into.length > size) into.fill(0, Math.max(0, size - offset));
    },
    async *mayHold(signal) {
      for await (const { offset, length } of device.mayHold(signal)) {
        if (offset < size) yield { offset, length: Math.min(length, size - offset) };
      }
    },
    version: () => device.version(),
    sharesBytesWith: (path) => device.sharesBytesWith(path),
    async close() {
      if (!open) return;
      open = false;
      await device.close();
      await detach();
    },
  };
}

/** What cannot be removed of earlier exports does not prevent this one. */
async function reapQuietly(toolstack: Toolstack, xe: XeOptions | undefined, vdi: string, { signal, onWarning }: Opening): Promise<void> {
  const reapVbds = createVbdReaper(toolstack, xe);
  const left = await reapVbds({ vdi, dryRun: false, signal, onWarning }).then(
    (leftOvers) => leftOvers.flatMap((leftOver) => leftOver.left),
    (error: unknown) => [messageOf(error)],
  );
  throwIfCancelled(signal);
  for (const message of left) onWarning?.({ code: 'REAP_LEFT', message });
}

/**
 * A disk that is written meanwhile would be a mix of two states. xapi lets Dom0 plug it nevertheless (xen-api:
 * ocaml/xapi/xapi_vbd_helpers.ml), but once it is attached read-only, nobody can attach it for writing.
 */
async function refuseWriters(toolstack: Toolstack, vdi: string, signal: AbortSignal | undefined): Promise<void> {
  const writers = await toolstack.writersOf(vdi, signal);
  if (writers.length === 0) return;
  throw new VdiStreamError('VDI_BUSY', `VDI ${vdi} is attached for writing, by VBD ${writers.join(', ')}`);
}

interface ReadOnlyAttachment {
  /** Of the device. */
  readonly path: string;
  /** Close the device first. The `left` of its error lists what is still there. */
  detach(): Promise<void>;
}

interface Attaching {
  readonly xe: XeOptions | undefined;
  readonly vdi: StoredVdi;
  readonly tag: Required<OwnerTag>;
}

async function attachReadOnly(
  toolstack: Toolstack,
  { xe, vdi, tag }: Attaching,
  { signal, onWarning }: Opening,
): Promise<ReadOnlyAttachment> {
  const records = createRecords(xe?.records);
  const lock = hostLock('export', xe ?? {});
  let record: ExportRecord | undefined;

  async function create(): Promise<string> {
    const { ours: before } = await toolstack.vbdsOf(vdi.uuid);
    const recorded = { tag: tag.text, sr: vdi.sr, vdi: vdi.uuid, before };
    await records.addExport(tag.token, recorded);
    record = recorded;
    const vbd = await toolstack.createReadOnlyVbd(vdi.uuid, before, signal);
    record = { ...recorded, vbd };
    await records.completeExport(tag.token, vbd);
    return vbd;
  }

  /** The record stays with what could not be removed. */
  async function settle(left: readonly string[]): Promise<void> {
    if (left.length > 0) abandon(tag);
    else await records.remove(tag.token).catch(() => {});
  }

  try {
    const vbd = await lock(create, { signal, onWarning });
    // For operators; nothing depends on it.
    await toolstack.labelVbd(vbd, tag.text, signal).catch(() => {});
    const path = await toolstack.plug(vbd, vdi, signal, onWarning);
    return {
      path,
      async detach() {
        const removing = removeVbd(toolstack, vbd, vdi.uuid, onWarning);
        await settle(await removing.then(() => [], leftOf));
        await removing;
      },
    };
  } catch (cause) {
    const made = record;
    if (made === undefined) {
      await settle([]);
      throw cause;
    }
    const undoing = (): Promise<string[]> => undo(toolstack, records, made, cause, onWarning);
    // While the VBD is not known, no other export may create one.
    const left = await (made.vbd === undefined ? lock(undoing).catch(orSentence(vdi.uuid)) : undoing());
    await settle(left);
    throw withLeft(cause, left);
  }
}

/** Removes the VBD of an export that could not attach it. Resolves with a sentence for what is left; never rejects. */
async function undo(
  toolstack: Toolstack,
  records: Records,
  record: ExportRecord,
  cause: unknown,
  onWarning: OnWarning | undefined,
): Promise<string[]> {
  const { vdi } = record;
  const remove = (vbd: string): Promise<string[]> =>
    removeVbd(toolstack, vbd, vdi, onWarning).then(
      () => [],
      (error) => [...leftOf(error)],
    );
  if (record.vbd !== undefined) {
    // One that was never plugged is gone already.
    const isThere = await toolstack.vbdExists(record.vbd).catch(() => true);
    return isThere ? remove(record.vbd) : [];
  }
  // Even after an error, the VBD may exist although its uuid was never received.
  try {
    const { vbd, doubt } = await findExportVbd(toolstack, records, record);
    if (vbd !== undefined) return await remove(vbd);
    if (doubt !== undefined) return [`perhaps a VBD of VDI ${vdi}: ${doubt}`];
    return isOutcomeUnknown(cause) ? [`perhaps a VBD of VDI ${vdi} that xapi is still creating; ${HINT}`] : [];
  } catch (error) {
    return isRefused(cause) ? [] : orSentence(vdi)(error);
  }
}

const HINT = '`vdistream reap` removes it if it appears later';

const orSentence =
  (vdi: string) =>
  (error: unknown): string[] => [`perhaps a VBD of VDI ${vdi}: it cannot be looked up (${messageOf(error)}); ${HINT}`];
