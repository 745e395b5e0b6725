/**
 * Lock: mutual exclusion between the processes of a host.
 *
 * The holder of a lock listens on a unix socket with an abstract name, which is not a file. The kernel lets only one process bind a name, and
 * frees the name when that process ends, even if it is killed. A process that finds the name in use connects to the socket, and tries again
 * when the connection closes.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfCancelled } from '../errors.ts';
import { orCancelled } from './cancel.ts';
import { codeOf } from './errno.ts';

/** The tail of this process's queue for each lock. It settles when everything in the queue has settled. */
const queues = new Map<string, Promise<unknown>>();

/**
 * Runs `work` while holding the lock `name`. Within this process, callers get the lock in the order of their calls. Rejects with CANCELLED
 * if the signal fires while waiting, otherwise as `work` does. Not reentrant: work that requests its own lock never ends.
 */
export function withLock<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const before = queues.get(name) ?? Promise.resolve();
  const result = orCancelled(before, signal).then(() => locked(addressOf(name), work, signal));
  // If this caller gives up, those after it still wait for those before it.
  const settled = Promise.allSettled([before, result]).then(() => {
    if (queues.get(name) === settled) queues.delete(name);
  });
  queues.set(name, settled);
  return result;
}

/**
 * With 107 bytes and a NUL, the name fills `sun_path` (unix(7)), so every version of Node binds the same one. Node 20 and older pad shorter
 * names with NULs, which are part of an abstract name; newer versions do not.
 */
const addressOf = (name: string): string => `\0vdistream-${createHash('sha256').update(name).digest('hex')}`.padEnd(107, '-').concat('\0');

async function locked<T>(address: string, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const release = await acquire(address, signal);
  try {
    return await work();
  } finally {
    await release();
  }
}

type Release = () => Promise<void>;

async function acquire(address: string, signal: AbortSignal | undefined): Promise<Release> {
  for (;;) {
    throwIfCancelled(signal);
    const release = await tryAcquire(address);
    if (release !== undefined) return release;
    await released(address, signal);
  }
}

/** Undefined if another process holds the lock. */
function tryAcquire(address: string): Promise<Release | undefined> {
  const waiting = new Set<Socket>();
  const server = createServer((socket) => {
    waiting.add(socket.unref());
    socket.once('close', () => waiting.delete(socket));
    socket.on('error', () => {}); // it is closed too
    socket.resume(); // to notice when a waiter disconnects
  });
  const release = async (): Promise<void> => {
    const closed = once(server, 'close');
    // Free the name first: waiters try again as soon as they are disconnected.
    server.close();
    for (const socket of waiting) socket.destroy();
    await closed;
  };
  return new Promise((resolve, reject) => {
    server.on('error', (error) => (codeOf(error) === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    // Without `exclusive`, workers of node:cluster would share the name.
    server.listen({ path: address, exclusive: true }, () => resolve(release)).unref();
  });
}

/** Milliseconds between attempts if there is no connection to wait for. */
const RETRY_DELAY = 10;

/** Resolves when it is time for another attempt. */
async function released(address: string, signal: AbortSignal | undefined): Promise<void> {
  const socket = connect({ path: address }).resume();
  try {
    await orCancelled(once(socket, 'close'), signal);
  } catch (error) {
    // The lock was just released, its holder is not listening yet, or the backlog of the socket is full.
    if (!TRANSIENT.has(codeOf(error))) throw error;
    await orCancelled(sleep(RETRY_DELAY), signal);
  } finally {
    socket.destroy();
  }
}

const TRANSIENT = new Set(['ECONNREFUSED', 'ECONNRESET', 'EAGAIN']);
