/**
 * A VDI of a pool as a target: its bytes are sent to one of the hosts, in any order, as records (xen-api: ocaml/vhd-tool/src/chunked.ml):
 *
 *   offset u64, length u32, little-endian, then the bytes; the end is 12 zeros
 *
 * The host writes them one after another, so whole blocks of a VHD are best. A record without bytes would end the transfer.
 */

import { MiB, roundDown, SECTOR } from '../bytes.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { Target, TargetOpener } from '../target/target.ts';
import { COMMAND_TIMEOUT, type Vdi } from './toolstack.ts';
import { openPut, type PutBody } from './xapi-put.ts';
import type { XapiSession } from './xapi-session.ts';
import { createTask, type TransferTask } from './xapi-task.ts';

/** The block of a VHD, and what the host writes with one call. */
const BLOCK = 2 * MiB;
const HEADER = 12;
/** Milliseconds between two reports of the progress. */
const REPORT = 5000;

interface TransferOptions {
  /** Of the host that attaches the VDI. */
  readonly url: URL;
  readonly timeout?: number | undefined;
  /** Milliseconds. */
  readonly pause: number;
  readonly signal?: AbortSignal | undefined;
}

export const xapiTarget = (session: XapiSession, vdi: Vdi, options: TransferOptions): TargetOpener => {
  const name = `vdi:${vdi.uuid}`;
  return {
    name,
    async open() {
      const { url, timeout = COMMAND_TIMEOUT, pause, signal } = options;
      const ref = String(await session.call('VDI.get_by_uuid', [vdi.uuid], signal));
      const task = await createTask(session, `vdistream: import to VDI ${vdi.uuid}`, pause, signal);
      const query = new URLSearchParams({ session_id: session.ref, task_id: task.ref, vdi: ref, format: 'raw', chunked: 'true' });
      try {
        const put = await openPut(url, `/import_raw_vdi?${query}`, { trust: session.trust, timeout, signal });
        return transferTarget(name, vdi, { put, task, timeout, signal });
      } catch (error) {
        const cause = await reasonFor(error, { task, timeout, signal });
        await task.discard();
        throw cause;
      }
    },
  };
};

interface Transfer {
  readonly put: PutBody;
  readonly task: TransferTask;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

function transferTarget(name: string, { size, readsZero }: Vdi, { put, task, timeout, signal }: Transfer): Target {
  const records = recordSender(name, size, put);
  const reporting = setInterval(() => void task.report(records.reached() / size).catch(() => {}), REPORT);
  reporting.unref();
  let isOpen = true;
  let finished: Promise<void> | undefined;

  const orReason = <T>(work: Promise<T>): Promise<T> =>
    work.catch(async (error: unknown) => {
      throw await reasonFor(error, { task, timeout, signal });
    });
  /** The host has synced the VDI once its task succeeds. */
  async function finish(): Promise<void> {
    const text = await orReason(records.end());
    clearInterval(reporting);
    await task.succeeded(timeout, signal);
    if (/^HTTP\/1\.\d [45]/.test(text)) throw new VdiStreamError('XAPI_FAILED', `${name}: the host reports ${text.slice(0, 100)}`);
  }
  const confirm = (): Promise<void> => {
    finished ??= finish();
    return finished;
  };
  async function end(): Promise<void> {
    isOpen = false;
    clearInterval(reporting);
    put.close();
    await task.drop();
  }
  const ifOpen = async (work: () => Promise<void>): Promise<void> => {
    if (!isOpen || finished !== undefined) throw new VdiStreamError('USAGE', `${name} is closed`);
    await orReason(work());
  };
  return {
    name,
    size,
    align: SECTOR,
    readsZero,
    direct: true,
    writeOnly: true,
    write: (bytes, offset) => ifOpen(() => records.send(offset, bytes)),
    zero: (offset, length, _, cancel) => ifOpen(() => records.sendZeros(offset, length, cancel)),
    async read() {
      throw new VdiStreamError('TARGET_READ', `${name} can only be written`);
    },
    sync: confirm,
    async close() {
      if (!isOpen) return;
      await confirm();
      await end();
    },
    async abandon() {
      if (isOpen) await end();
    },
  };
}

/** What the host says of a lost connection, if it says it soon. */
async function reasonFor(error: unknown, { task, timeout, signal }: Omit<Transfer, 'put'>): Promise<unknown> {
  if (signal?.aborted || !(error instanceof VdiStreamError) || error.code !== 'XAPI_CONNECTION') return error;
  const reason = await task.succeeded(Math.min(timeout, WAIT_FOR_REASON), signal).catch((found: unknown) => found);
  return reason instanceof VdiStreamError && reason.xapi !== undefined ? reason : error;
}

/** Milliseconds. */
const WAIT_FOR_REASON = 10_000;

interface RecordSender {
  send(offset: number, bytes: Uint8Array): Promise<void>;
  sendZeros(offset: number, length: number, signal: AbortSignal | undefined): Promise<void>;
  /** Resolves as `PutBody.end`. */
  end(): Promise<string>;
  /** The end of the last record. */
  reached(): number;
}

function recordSender(name: string, size: number, put: PutBody): RecordSender {
  let last: Promise<unknown> = Promise.resolve();
  let reached = 0;
  let zeros: Uint8Array | undefined;
  /** One after another, in the order of the calls. */
  function queued<T>(work: () => Promise<T>): Promise<T> {
    const result = last.then(work);
    last = result.catch(() => {});
    return result;
  }
  /** Records end where blocks do. */
  async function each(offset: number, length: number, bytesOf: (from: number, to: number) => Uint8Array): Promise<void> {
    if (offset % SECTOR !== 0 || length % SECTOR !== 0 || offset + length > size) {
      throw new VdiStreamError('TARGET_WRITE', `${name}: ${length} bytes at ${offset} are no sectors of the VDI`, { device: name, offset });
    }
    for (let from = 0; from < length; ) {
      const to = Math.min(length, roundDown(offset + from, BLOCK) + BLOCK - offset);
      await put.send(recordHeader(offset + from, to - from), bytesOf(from, to));
      from = to;
      reached = Math.max(reached, offset + to);
    }
  }
  return {
    send: (offset, bytes) => queued(() => each(offset, bytes.length, (from, to) => bytes.subarray(from, to))),
    sendZeros: (offset, length, signal) =>
      queued(() => {
        zeros ??= new Uint8Array(BLOCK);
        const block = zeros;
        return each(offset, length, (from, to) => {
          throwIfCancelled(signal);
          return block.subarray(0, to - from);
        });
      }),
    end: () =>
      queued(async () => {
        await put.send(new Uint8Array(HEADER));
        return put.end();
      }),
    reached: () => reached,
  };
}

function recordHeader(offset: number, length: number): Uint8Array {
  const header = Buffer.alloc(HEADER);
  header.writeBigUInt64LE(BigInt(offset), 0);
  header.writeUInt32LE(length, 8);
  return header;
}
