/**
 * Confirms that a command took effect: after an ambiguous error or unexpected output, it reads the toolstack's state back. xapi may queue a
 * call for a long time, so a command that timed out may still have taken effect.
 */

import { VdiStreamError } from '../errors.ts';
import { confirmEffect } from './confirm.ts';
import type { Xe } from './xe.ts';

/** For a command that prints nothing. Resolves if it succeeds, or if it fails but `isDone` reports its effect. */
export async function confirmDone(command: string, running: Promise<string>, isDone: () => Promise<boolean>): Promise<void> {
  const silent = running.then((printed) => {
    if (printed.trim() !== '') throw unexpected(command, printed);
  });
  await confirmEffect(silent, isDone);
}

const unexpected = (command: string, printed: string): VdiStreamError =>
  new VdiStreamError('XE_FAILED', `xe ${command} printed unexpected output: ${JSON.stringify(printed.slice(0, 100))}`);

type Kind = 'vbd' | 'vdi';

export const exists = async (xe: Xe, kind: Kind, uuid: string, signal?: AbortSignal): Promise<boolean> =>
  (await xe.list(`${kind}-list`, { uuid }, signal)).length > 0;

/** Succeeds if the object is already gone. */
export function destroy(xe: Xe, kind: Kind, uuid: string): Promise<void> {
  const command = `${kind}-destroy`;
  return confirmDone(command, xe.run(command, { uuid }), async () => !(await exists(xe, kind, uuid)));
}
