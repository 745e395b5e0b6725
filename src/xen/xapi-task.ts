/** The task of a transfer: XAPI reports there how the transfer ends. */

import { setTimeout as sleep } from 'node:timers/promises';
import { VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import { xapiRefusal } from './xapi-client.ts';
import type { XapiSession } from './xapi-session.ts';
import { textField, textsField, toRecord, toText } from './xapi-values.ts';

export interface TransferTask {
  readonly ref: string;
  /** Shows how far it is, from 0 to 1, which also keeps the session and the task: XAPI removes those that show no sign of life for a day. */
  report(fraction: number): Promise<void>;
  /**
   * Resolves once the task has ended with success. Throws its error, and XAPI_FAILED if it was cancelled or has not ended after so many
   * milliseconds.
   */
  succeeded(limit: number, signal?: AbortSignal): Promise<void>;
  /** Removes a task that has ended, or that ends once its connection is closed. Never rejects. */
  drop(): Promise<void>;
  /** Removes a task of which no host has heard. Never rejects. */
  discard(): Promise<void>;
}

/** `pause`: milliseconds between two looks at it. */
export async function createTask(session: XapiSession, label: string, pause: number, signal?: AbortSignal): Promise<TransferTask> {
  const ref = toText(await session.call('task.create', [label, ''], signal), 'task');
  /** The state does not matter: XAPI removes the task after a day at the latest. */
  const quietly = (method: string, ...params: readonly unknown[]): Promise<unknown> =>
    session.call(method, [ref, ...params]).catch(() => {});
  return {
    ref,
    async report(fraction) {
      await session.call('task.set_progress', [ref, fraction]);
    },
    async succeeded(limit, cancel) {
      for (const end = performance.now() + limit; ; await orCancelled(sleep(pause), cancel)) {
        const record = toRecord(await session.call('task.get_record', [ref], cancel), 'task');
        const status = textField(record, 'status');
        if (status === 'success') return;
        if (status === 'failure') throw taskFailure(textsField(record, 'error_info'));
        if (status !== 'pending') throw new VdiStreamError('XAPI_FAILED', `the transfer was cancelled on the host: its task is ${status}`);
        if (performance.now() > end) throw new VdiStreamError('XAPI_FAILED', `the host did not end the transfer within ${limit / 1000} s`);
      }
    },
    async drop() {
      await quietly('task.cancel');
      await quietly('task.destroy');
    },
    async discard() {
      // Otherwise it would stay pending, and destroying a pending task only marks it.
      await quietly('task.set_status', 'cancelled');
      await quietly('task.destroy');
    },
  };
}

const taskFailure = ([code = 'UNKNOWN', ...params]: readonly string[]): VdiStreamError =>
  xapiRefusal(code, `the transfer failed on the host: ${[code, ...params].join(', ')}`);
