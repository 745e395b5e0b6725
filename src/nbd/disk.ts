/**
 * An export of an NBD server as a disk that can be read at any place. Where the server says which parts read as zero, those are not read. A
 * dropped connection is made again, and what was not answered is requested again.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { checkOptions, checkText } from '../arguments.ts';
import { GiB, MiB, roundDown, roundUp, SECTOR } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import type { DiskOpener, ReadableDisk } from '../disk/readable.ts';
import { hasRemedy, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { pauseAfter, RETRIES } from '../host/backoff.ts';
import { orCancelled } from '../host/cancel.ts';
import { descriptorUse } from '../host/descriptor-use.ts';
import { eachInParallel } from '../host/parallel.ts';
import type { OnWarning } from '../warnings.ts';
import type { NbdExport } from './handshake.ts';
import type { NbdLinkOptions } from './link.ts';
import { type NbdSession, openSession } from './session.ts';
import { type NbdAddress, parseNbdUri } from './uri.ts';

export interface NbdOptions {
  /** PEM certificates to trust in addition to Node's own. Verification cannot be turned off. */
  readonly ca?: string | undefined;
  /** Milliseconds allowed for connecting, and for the TLS handshake; 10 s by default. */
  readonly connectTimeout?: number | undefined;
  /** Milliseconds to wait for the next byte of an answer; 60 s by default. */
  readonly idleTimeout?: number | undefined;
  /** Connections to make after a dropped one, in a row without an answer; 5 by default. */
  readonly retries?: number | undefined;
}

/** `nbd://HOST[:PORT]/EXPORT`, `nbds://` with TLS, or `nbd+unix:///EXPORT?socket=PATH`. Throws USAGE. */
export function nbdDisk(uri: string, options: NbdOptions = {}): DiskOpener {
  checkText('nbdDisk', 'the URI', uri);
  checkOptions('nbdDisk', options);
  const { ca, connectTimeout = 10_000, idleTimeout = 60_000, retries = RETRIES } = options;
  const address = parseNbdUri(uri);
  return {
    name: address.name,
    async open({ signal, onWarning }) {
      const closing = new AbortController();
      const signals = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);
      const link = { ca, connectTimeout, idleTimeout, signal: signals };
      const session = await openSession(address, link);
      if (session.served.size === 0) {
        await session.close();
        throw new VdiStreamError('DISK_EMPTY', `${address.name} is empty`, { device: address.name });
      }
      const sessions = reconnecting(session, { address, link, retries, onWarning });
      return diskOf(sessions, { name: address.name, served: session.served, close: () => closing.abort(), onWarning });
    },
  };
}

/** As much as one request reads, if the server allows it. */
const LARGEST_READ = 2 * MiB;
/** Requests in flight for each buffer. */
const READS = 8;
/** As much as one request asks the status of. */
const LARGEST_STATUS = GiB;

interface DiskParts {
  readonly name: string;
  readonly served: NbdExport;
  /** Ends all connections. */
  readonly close: () => void;
  readonly onWarning: OnWarning | undefined;
}

function diskOf(sessions: Sessions, { name, served, close, onWarning }: DiskParts): ReadableDisk {
  const { size: bytes, smallest, largest, allocation } = served;
  const size = roundUp(bytes, SECTOR);
  if (size > bytes) {
    const message = `the last sector has only ${bytes % SECTOR} bytes; it is padded with zeros`;
    onWarning?.({ code: 'RAW_PADDED', message, offset: size - SECTOR });
  }
  const align = Math.max(SECTOR, smallest);
  const step = roundDown(Math.min(LARGEST_READ, largest), align);
  const { during, end } = descriptorUse(() => new VdiStreamError('USAGE', `${name}: the disk is closed`, { device: name }));

  async function read(into: Uint8Array, offset: number): Promise<void> {
    const length = Math.min(into.length, Math.max(0, bytes - offset));
    into.fill(0, length);
    await eachInParallel(requestsFor(length, step), READS, (piece) => {
      const part = into.subarray(piece.offset, piece.offset + piece.length);
      return sessions.attempt((session) => session.read(part, offset + piece.offset));
    });
  }

  async function* mayHold(signal?: AbortSignal): AsyncGenerator<Range> {
    if (allocation === undefined) yield { offset: 0, length: bytes };
    for (let at = allocation === undefined ? bytes : 0; at < bytes; ) {
      throwIfCancelled(signal);
      const from = at;
      const runs = await sessions.attempt((session) => session.status(from, Math.min(LARGEST_STATUS, bytes - from)));
      for (const { length, isZero } of runs) {
        const present = Math.min(length, bytes - at);
        if (!isZero && present > 0) yield { offset: at, length: present };
        at += present;
      }
    }
  }

  return {
    name,
    size,
    align,
    read: (into, offset) => during(() => read(into, offset)),
    mayHold,
    // Others may write to the export, and nothing in the protocol says so.
    version: async () => undefined,
    sharesBytesWith: async () => false,
    async close() {
      await sessions.close();
      close();
      await end();
    },
  };
}

function* requestsFor(length: number, step: number): Generator<Range> {
  for (let offset = 0; offset < length; offset += step) yield { offset, length: Math.min(step, length - offset) };
}

interface Sessions {
  /** Runs `work`, again with a new session as long as the connection drops. Throws what connecting and `work` throw. */
  attempt<T>(work: (session: NbdSession) => Promise<T>): Promise<T>;
  /** Ends the current session. */
  close(): Promise<void>;
}

interface Reconnecting {
  readonly address: NbdAddress;
  readonly link: NbdLinkOptions;
  readonly retries: number;
  readonly onWarning: OnWarning | undefined;
}

function reconnecting(first: NbdSession, { address, link, retries, onWarning }: Reconnecting): Sessions {
  const { name } = address;
  let session = Promise.resolve(first);
  /** Since the last answer. */
  let failures = 0;
  let waiting = 0;

  async function reconnect(dropped: unknown): Promise<NbdSession> {
    for (let cause = dropped; ; ) {
      if (!hasRemedy(cause, 'source', 'again') || failures === retries) throw cause;
      const pause = pauseAfter(++failures);
      onWarning?.({ code: 'NBD_RETRY', message: `${cause.message}; connecting again in ${pause / 1000} s` });
      await orCancelled(sleep(pause, undefined, { signal: link.signal }), link.signal);
      try {
        const opened = await openSession(address, link);
        if (isSame(opened.served, first.served)) return opened;
        await opened.close();
      } catch (error) {
        cause = error;
        continue;
      }
      throw new VdiStreamError('EXPORT_CHANGED', `${name}: after the connection dropped, the server has another export of this name`);
    }
  }

  async function attempt<T>(work: (session: NbdSession) => Promise<T>): Promise<T> {
    for (;;) {
      const current = session;
      const connected = await current;
      try {
        const result = await work(connected);
        failures = 0;
        return result;
      } catch (error) {
        if (!hasRemedy(error, 'source', 'again')) throw error;
        if (session === current) {
          session = reconnect(error);
          session.catch(() => {}); // each request gets the error
        }
      }
    }
  }

  return {
    async attempt(work) {
      waiting++;
      return attempt(work).finally(() => {
        waiting--;
      });
    },
    async close() {
      // While requests wait, there may be no session, or one without an answer; the signal ends both.
      if (waiting === 0) await session.then((last) => last.close()).catch(() => {});
    },
  };
}

const isSame = (a: NbdExport, b: NbdExport): boolean =>
  a.size === b.size &&
  a.smallest === b.smallest &&
  a.largest === b.largest &&
  (a.allocation === undefined) === (b.allocation === undefined);
