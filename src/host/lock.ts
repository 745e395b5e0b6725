/**
 * Lock: work that only one process of a host does at a time.
 *
 * The holder of a lock listens on a unix socket with an abstract name, which is no file: the kernel gives a name to one process only, and
 * takes it back however that process ends. Whoever finds the name taken connects to it, and tries again when the connection ends.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfCancelled } from '../errors.ts';
import { orCancelled } from './cancel.ts';
import { codeOf } from './errno.ts';

/** The end of this process's queue for each lock: settled once everything in the queue is. */
const queues = new Map<string, Promise<unknown>>();

/**
 * Runs `work` while no other process of this host holds the lock `name`. Within this process, callers get the lock in the order of their
 * calls. Rejects with CANCELLED if the signal fires while it waits, else with what `work` rejects with. Not reentrant: work that asks for
 * the lock it runs under waits for ever.
 */
export function withLock<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const before = queues.get(name) ?? Promise.resolve();
  const mine = orCancelled(before, signal).then(() => locked(addressOf(name), work, signal));
  // A caller that gives up leaves the queue, and those after it still wait for those before it.
  const settled = Promise.allSettled([before, mine]).then(() => {
    if (queues.get(name) === settled) queues.delete(name);
  });
  queues.set(name, settled);
  return mine;
}

/**
 * A name of 107 bytes and a NUL fills `sun_path` (unix(7)), and is the same for every Node: up to 20 it fills shorter names up with NULs,
 * which belong to an abstract name, and later ones do not.
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

/** Undefined where another process holds the lock. */
function tryAcquire(address: string): Promise<Release | undefined> {
  const waiting = new Set<Socket>();
  const server = createServer((socket) => {
    waiting.add(socket.unref());
    socket.once('close', () => waiting.delete(socket));
    socket.on('error', () => {}); // it closes, too
    socket.resume(); // or the end of a waiter would go unnoticed
  });
  const release = async (): Promise<void> => {
    const closed = once(server, 'close');
    // The name first: waiters try again at once.
    server.close();
    for (const socket of waiting) socket.destroy();
    await closed;
  };
  return new Promise((resolve, reject) => {
    server.on('error', (error) => (codeOf(error) === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    // Workers of node:cluster would share the name otherwise.
    server.listen({ path: address, exclusive: true }, () => resolve(release)).unref();
  });
}

/** Milliseconds between two tries where there is no connection whose end could be waited for. */
const RETRY_DELAY = 10;

/** Resolves when it is worth another try. */
async function released(address: string, signal: AbortSignal | undefined): Promise<void> {
  const socket = connect({ path: address }).resume();
  try {
    await orCancelled(once(socket, 'close'), signal);
  } catch (error) {
    // The lock has just been released, or nobody listens on it yet, or more are waiting than the backlog of the socket holds.
    if (!TRANSIENT.has(codeOf(error))) throw error;
    await orCancelled(sleep(RETRY_DELAY), signal);
  } finally {
    socket.destroy();
  }
}

const TRANSIENT = new Set(['ECONNREFUSED', 'ECONNRESET', 'EAGAIN']);
