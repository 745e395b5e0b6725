/** A block device, a logical volume or a regular file as a target. */

import { checkOptions, checkPath } from '../arguments.ts';
import { type Guard, VdiStreamError } from '../errors.ts';
import { guarded } from '../host/errno.ts';
import { lockFile } from '../host/file-lock.ts';
import { type Native, native } from '../host/native.ts';
import type { Opened } from '../host/opened.ts';
import { type TargetPath, targetPath } from '../host/target-path.ts';
import { claimed, rangeReader, reopened } from './claim.ts';
import { fileTarget, warnIfBuffered } from './file.ts';
import { refuseContent, refuseSmall, refuseType, refuseUsed, vhdRefusal } from './guards.ts';
import { ioOf } from './io.ts';
import { newFile } from './new-file.ts';
import type { Target, TargetOpener, TargetOptions } from './target.ts';
import { noteWrite } from './unfinished.ts';

export interface DeviceOptions {
  /** The toolstack attached the device for this caller: a tapdisk that has it open serves no guest, and what it holds is an old owner's. */
  readonly attached?: boolean | undefined;
  /** Everything that was never written reads as zero. */
  readonly readsZero?: boolean | undefined;
}

/**
 * Opening runs the guards in this order: type, busy, size, vhd, content, all before a byte is written or anything is opened for writing.
 * Throws their errors (exit status 3) or TARGET_OPEN. A file that does not exist appears when the target is closed, whole.
 */
export function deviceTarget(path: string, options: DeviceOptions = {}): TargetOpener {
  checkPath('deviceTarget', 'the path', path);
  checkOptions('deviceTarget', options);
  return { name: path, path, open: (how) => openTarget(path, options, how) };
}

async function openTarget(path: string, device: DeviceOptions, options: TargetOptions): Promise<Target> {
  const { size, force, onWarning, purpose = 'write' } = options;
  const addon = native();
  const target = await targetPath(path);
  const forced = (guard: Guard): boolean => force?.includes(guard) === true;
  refuseType(target, forced('type'));
  if (target.kind === 'missing') {
    if (purpose === 'compare') throw new VdiStreamError('TARGET_OPEN', `${path} does not exist`, { device: path, errno: 2 });
    return newFile(addon, path, { size, dryRun: purpose === 'dry-run', onWarning });
  }

  const claim = await claimed(addon, target, purpose !== 'compare' && !forced('busy'));
  try {
    if (purpose !== 'compare') await runGuards(addon, target, claim, { wanted: size, attached: device.attached === true, forced });
    else if (!forced('size')) refuseSmall(path, claim.size, size);
    if (claim.kind === 'file') warnIfBuffered(path, claim, onWarning);
  } catch (error) {
    await addon.close(claim.fd).catch(() => {});
    throw error;
  }
  // From here on the claim is theirs, and they close it even if they fail.
  if (claim.kind === 'file') return fileTarget(addon, claim, { path, wanted: size, purpose, shared: forced('busy') });
  return blockTarget(addon, claim, { path, purpose, attached: device.attached === true, readsZero: device.readsZero === true });
}

interface GuardOptions {
  /** Bytes of the disk. */
  readonly wanted: number;
  readonly attached: boolean;
  readonly forced: (guard: Guard) => boolean;
}

async function runGuards(addon: Native, target: TargetPath, claim: Opened, { wanted, attached, forced }: GuardOptions): Promise<void> {
  const { path } = target;
  const { kind, size } = claim;
  if (!forced('busy')) {
    await refuseUsed(target, attached);
    if (kind === 'file') await lockFile(addon, path, claim.fd);
  }
  // A file can grow, a device cannot.
  if (!forced('size') && kind !== 'file') refuseSmall(path, size, wanted);
  const read = rangeReader(addon, path, claim);
  const refusal = await vhdRefusal(target, size, attached ? undefined : read);
  if (refusal !== undefined && !forced('vhd')) throw refusal;
  // A VHD is the business of its own guard, so that one force is enough; on a device of its own the caller finds what an old owner left.
  if (refusal === undefined && !attached && !forced('content')) await refuseContent(target, claim, read);
}

interface BlockOptions extends Pick<Required<TargetOptions>, 'purpose'> {
  readonly path: string;
  readonly attached: boolean;
  readonly readsZero: boolean;
}

/** The claim stays open next to the descriptor for writing, so that no other writer can come between the two. */
async function blockTarget(addon: Native, claim: Opened, { path, purpose, attached, readsZero }: BlockOptions): Promise<Target> {
  let opened = claim;
  try {
    if (purpose === 'write') opened = await reopened(addon, path, claim);
  } catch (error) {
    await addon.close(claim.fd).catch(() => {});
    throw error;
  }
  const note = purpose === 'write' && !attached ? await noteWrite(claim) : undefined;
  const { io, shut } = ioOf(addon, path, opened);
  let open = true;
  async function close(): Promise<void> {
    if (!open) return;
    open = false;
    await shut();
    try {
      if (opened !== claim) await guarded('TARGET_SYNC', path, addon.close(opened.fd));
    } finally {
      await guarded('TARGET_SYNC', path, addon.close(claim.fd));
    }
  }
  return {
    name: path,
    size: opened.size,
    align: opened.sector,
    readsZero,
    direct: opened.direct,
    ...io,
    async close() {
      if (!open) return;
      await close();
      note?.remove();
    },
    abandon: () => close().catch(() => {}),
  };
}
