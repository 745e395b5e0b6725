/**
 * Turn: work that only one process of a host does at a time.
 *
 * Whose turn it is listens on a unix socket with an abstract name, which is no file: the kernel lets only one have it, and takes it back
 * however that one ends. Who finds the name taken connects to it, and the end of the connection tells that it is worth another try.
 */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfCancelled } from '../errors.ts';
import { orCancelled } from './cancel.ts';
import { codeOf } from './errno.ts';

/** What has to be over before the next one of the same name begins in this process. */
const last = new Map<string, Promise<unknown>>();

/**
 * Runs `work` while no other process of this host runs one of the same name. Within the process they run in the order of the calls. Rejects
 * with CANCELLED while it waits, if the signal fires; then with what `work` rejects with. Work that asks for its own name waits for ever.
 */
export function inTurn<T>(name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const before = last.get(name) ?? Promise.resolve();
  const mine = orCancelled(before, signal).then(() => alone(addressOf(name), work, signal));
  // Who gives up leaves the queue, and those behind still wait for those in front.
  const over = Promise.allSettled([before, mine]).then(() => {
    if (last.get(name) === over) last.delete(name);
  });
  last.set(name, over);
  return mine;
}

/**
 * A name of 107 bytes and a NUL fills `sun_path` (unix(7)), and is the same for every Node: up to 20 it fills shorter names up with NULs,
 * which belong to an abstract name, and later ones do not.
 */
const addressOf = (name: string): string => `\0vdistream-${createHash('sha256').update(name).digest('hex')}`.padEnd(107, '-').concat('\0');

async function alone<T>(address: string, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const release = await take(address, signal);
  try {
    return await work();
  } finally {
    await release();
  }
}

type Release = () => Promise<void>;

async function take(address: string, signal: AbortSignal | undefined): Promise<Release> {
  for (;;) {
    throwIfCancelled(signal);
    const release = await hold(address);
    if (release !== undefined) return release;
    await released(address, signal);
  }
}

/** Undefined where somebody has it. */
function hold(address: string): Promise<Release | undefined> {
  const waiting = new Set<Socket>();
  const server = createServer((socket) => {
    waiting.add(socket.unref());
    socket.once('close', () => waiting.delete(socket));
    socket.on('error', () => {}); // it closes, too
    socket.resume(); // or the end of who waits would not be seen
  });
  const release = async (): Promise<void> => {
    const closed = once(server, 'close');
    // The name first: who waits tries again at once.
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

/** Milliseconds. */
const MOMENT = 10;

/** Resolves when it is worth another try. */
async function released(address: string, signal: AbortSignal | undefined): Promise<void> {
  const socket = connect({ path: address }).resume();
  try {
    await orCancelled(once(socket, 'close'), signal);
  } catch (error) {
    // It has just been given up, or is not listened on yet, or more are waiting than the kernel keeps.
    if (!PASSING.has(codeOf(error))) throw error;
    await orCancelled(sleep(MOMENT), signal);
  } finally {
    socket.destroy();
  }
}

const PASSING = new Set(['ECONNREFUSED', 'ECONNRESET', 'EAGAIN']);
