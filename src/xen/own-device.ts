/** A device that the caller has attached, as a target. */

import { messageOf, throwIfCancelled } from '../errors.ts';
import { deviceTarget } from '../target/device.ts';
import type { TargetOpener } from '../target/target.ts';
import { deviceNumber } from './device.ts';
import type { Toolstack } from './toolstack.ts';

export interface OwnDevice {
  readonly target: TargetOpener;
  /** Whether the toolstack says that it is plugged into this Dom0 for writing. */
  readonly attached: boolean;
}

interface OwnDeviceOptions {
  /** Everything that was never written reads as zero. */
  readonly readsZero: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks the toolstack whether the device is attached. If it is not, or the toolstack cannot be asked, the device is guarded like any other,
 * and the target warns of that when it is opened. Throws CANCELLED.
 */
export async function ownDevice(toolstack: Toolstack, path: string, { readsZero, signal }: OwnDeviceOptions): Promise<OwnDevice> {
  const number = await deviceNumber(path);
  // Only a block device can belong to a VBD.
  if (number === undefined) return { target: deviceTarget(path, { readsZero }), attached: false };
  const reason = await whyNotAttached(toolstack, path, number, signal);
  throwIfCancelled(signal);
  if (reason === undefined) return { target: deviceTarget(path, { attached: true, readsZero }), attached: true };
  const { open, ...guarded } = deviceTarget(path, { readsZero });
  const message = `${reason.summary}, so it is guarded like any other device${reason.detail}`;
  return {
    attached: false,
    target: {
      ...guarded,
      open(how) {
        how.onWarning?.({ code: 'DEVICE_NOT_ATTACHED', message });
        return open(how);
      },
    },
  };
}

async function whyNotAttached(
  toolstack: Toolstack,
  path: string,
  number: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly summary: string; readonly detail: string } | undefined> {
  try {
    if (await toolstack.isAttached(number, signal)) return undefined;
    return { summary: `${path} belongs to no VBD that is plugged into Dom0 for writing`, detail: '' };
  } catch (error) {
    return { summary: `cannot find out whether ${path} is attached to Dom0`, detail: `: ${messageOf(error)}` };
  }
}
