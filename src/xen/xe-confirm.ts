/**
 * Commands that change something, carried out for sure: after an error that leaves it open, and after words where there should be none,
 * what the toolstack then has is what counts. xapi itself may queue a call for a long time, so one that timed out may have been done.
 */

import { VdiStreamError } from '../errors.ts';
import { isOutcomeUnknown } from './refusal.ts';
import type { Xe } from './xe.ts';

/** What a command prints, or what `find` finds that it has made. `find` gives undefined for nothing. */
export async function confirmResult<T>(running: Promise<T>, find: () => Promise<T | undefined>): Promise<T> {
  try {
    return await running;
  } catch (error) {
    const found = isOutcomeUnknown(error) ? await find().catch(() => undefined) : undefined;
    if (found === undefined) throw error;
    return found;
  }
}

/** For a command that prints nothing. Resolves if it succeeds, or if `isDone` although it does not. */
export async function confirmDone(command: string, running: Promise<string>, isDone: () => Promise<boolean>): Promise<void> {
  const failure = await running.then(
    (printed) => (printed.trim() === '' ? undefined : unexpected(command, printed)),
    (error: unknown) => error,
  );
  if (failure !== undefined && !(await isDone().catch(() => false))) throw failure;
}

const unexpected = (command: string, printed: string): VdiStreamError =>
  new VdiStreamError('XE_FAILED', `xe ${command} should print nothing, but says ${JSON.stringify(printed.slice(0, 100))}`);

type Kind = 'vbd' | 'vdi';

export const exists = async (xe: Xe, kind: Kind, uuid: string): Promise<boolean> => (await xe.list(`${kind}-list`, { uuid })).length > 0;

/** Fine for what is gone already. */
export function destroy(xe: Xe, kind: Kind, uuid: string): Promise<void> {
  const command = `${kind}-destroy`;
  return confirmDone(command, xe.run(command, { uuid }), async () => !(await exists(xe, kind, uuid)));
}
