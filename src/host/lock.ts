/**
 * Lock: mutual exclusion between the processes of a host, in containers too, as long as they share the folder.
 *
 * A lock is a file with an open file description lock (fcntl_locking(2)), which the kernel releases when its holder ends, even if it is
 * killed; without the addon, with a lock of `portable-lock.ts`. The file belongs to the user of the process, and no other user can open it. It
 * has the owner text of its holder, who removes it before releasing the lock. Whoever then gets the lock of the removed file opens the path
 * again.
 */

import { constants, fstat, ftruncate, futimesSync, open as openRaw, write } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { messageOf, throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { orCancelled } from './cancel.ts';
import { codeOf, errnoOf, guarded } from './errno.ts';
import { native } from './native.ts';
import { isAt } from './open-file.ts';
import { ownerText, parseOwner, thisOwner } from './owner.ts';
import { effectiveUser, isOwn } from './user.ts';
import { createWakeup } from './wakeup.ts';

export interface LockOptions {
  /** Milliseconds to wait for a holder that shows no progress; 10 minutes by default. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with LOCK_WAIT after a second of waiting. */
  readonly onWarning?: OnWarning | undefined;
}

/** Woken when it has become the first. */
type Waiter = ReturnType<typeof createWakeup>;

/** On a descriptor without a FileHandle: `native()` closes it, and so releases its lock. */
const calls = { open: promisify(openRaw), fstat: promisify(fstat), truncate: promisify(ftruncate), write: promisify(write) };

/** The callers of this process that wait for or hold each lock, in the order of their calls. */
const queues = new Map<string, Waiter[]>();

/**
 * Runs `work` while holding the lock on the file `path`, whose folder exists. Within this process, callers get the lock in the order of their
 * calls. Work that takes longer than others wait calls `progress` now and then.
 *
 * Rejects with CANCELLED if the signal fires while waiting, with LOCK_TIMEOUT after `limit`, with LOCK_FILE if the file cannot be used,
 * otherwise as `work` does. Not reentrant: work that requests its own lock waits until the limit.
 */
export async function withLock<T>(path: string, work: (progress: () => void) => Promise<T>, options: LockOptions = {}): Promise<T> {
  const queue = queues.get(path) ?? [];
  queues.set(path, queue);
  const waiter = createWakeup();
  queue.push(waiter);
  try {
    const fd = await acquire(path, waiter, options);
    try {
      return await work(progressOn(fd));
    } finally {
      await release(path, fd);
    }
  } finally {
    queue.splice(queue.indexOf(waiter), 1);
    queue[0]?.wake();
    if (queue.length === 0) queues.delete(path);
  }
}

const LIMIT = 600_000;
/** Milliseconds of waiting before it is reported. */
const SILENT = 1000;
/** Milliseconds between two attempts: the first, and the longest. */
const SHORTEST = 2;
const LONGEST = 100;

/** Polls, because a thread that blocks in the kernel cannot be cancelled. */
async function acquire(path: string, waiter: Waiter, { limit = LIMIT, signal, onWarning }: LockOptions): Promise<number> {
  const began = performance.now();
  let unchanged = { state: '', since: began };
  let isReported = false;
  for (let delay = SHORTEST; ; delay = Math.min(2 * delay, LONGEST)) {
    throwIfCancelled(signal);
    const isFirst = queues.get(path)?.[0] === waiter;
    const fd = isFirst ? await tryAcquire(path) : undefined;
    if (fd !== undefined) return fd;
    const now = performance.now();
    const { holder, state } = await holderOf(path);
    if (state !== unchanged.state) unchanged = { state, since: now };
    if (now - unchanged.since > limit) throw lockTimeout(path, holder, limit);
    if (!isReported && now - began > SILENT) {
      isReported = true;
      onWarning?.({ code: 'LOCK_WAIT', message: `waiting for the lock ${path}, which ${holder} holds` });
    }
    await pause(delay, isFirst ? undefined : waiter, signal);
  }
}

/** Undefined if another process, or another copy of this library, holds the lock. */
async function tryAcquire(path: string): Promise<number | undefined> {
  for (;;) {
    const fd = await openLock(path);
    let isHeld = false;
    try {
      const locked = await guarded('LOCK_FILE', path, native().lock(fd));
      if (locked === 0) return undefined;
      isHeld = await isAt(path, fd);
      if (!isHeld) continue; // its last holder has removed it
      await writeHolder(fd);
      return fd;
    } finally {
      if (!isHeld) await native().close(fd);
    }
  }
}

async function writeHolder(fd: number): Promise<void> {
  try {
    await calls.truncate(fd, 0);
    await calls.write(fd, `${ownerText(thisOwner())}\n`, 0);
  } catch {
    // The file system is full: those who wait cannot say who holds the lock.
  }
}

/** Throws LOCK_FILE for a link, and for a file of another user, who could hold the lock as long as they want. */
async function openLock(path: string): Promise<number> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    fd = await calls.open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (cause) {
    throw lockFileError(path, cause);
  }
  const found = await calls.fstat(fd);
  if (found.isFile() && isOwn(found)) return fd;
  await native().close(fd);
  const what = found.isFile() ? `belongs to user ${found.uid}, not to user ${effectiveUser()}` : 'is not a regular file';
  throw new VdiStreamError('LOCK_FILE', `the lock file ${path} ${what}`);
}

function lockFileError(path: string, cause: unknown): VdiStreamError {
  const reason = codeOf(cause) === 'ELOOP' ? 'it is a symbolic link' : messageOf(cause);
  return new VdiStreamError('LOCK_FILE', `the lock file ${path} cannot be used: ${reason}`, { errno: errnoOf(cause), cause });
}

async function release(path: string, fd: number): Promise<void> {
  try {
    // Somebody may have removed it, and then the path is the lock of another holder.
    if (await isAt(path, fd)) await unlink(path);
  } catch {
    // The next holder uses the same file.
  } finally {
    await native().close(fd);
  }
}

/** Sets the modification time of the lock file, at most once a second. */
function progressOn(fd: number): () => void {
  let next = 0;
  return () => {
    if (performance.now() < next) return;
    next = performance.now() + SILENT;
    const now = Date.now() / 1000;
    try {
      futimesSync(fd, now, now);
    } catch {
      // Those who wait may give up earlier.
    }
  };
}

interface Holding {
  /** For people. */
  readonly holder: string;
  /** Differs for each holder, and after each of its signs of progress. */
  readonly state: string;
}

async function holderOf(path: string): Promise<Holding> {
  try {
    // Another user may have put something else there, which is refused when the lock is opened.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const text = await file.readFile('latin1');
      const { ino, mtimeMs } = await file.stat();
      return { holder: described(text.trim()), state: `${text} ${ino} ${mtimeMs}` };
    } finally {
      await file.close();
    }
  } catch {
    return { holder: 'another process', state: '' };
  }
}

function described(text: string): string {
  const owner = parseOwner(text);
  if (owner === undefined) return 'another process';
  const { namespace, pid } = thisOwner();
  if (owner.namespace !== namespace) return `process ${owner.pid} in another container`;
  return owner.pid === pid ? 'this process' : `process ${owner.pid}`;
}

function lockTimeout(path: string, holder: string, limit: number): VdiStreamError {
  const seconds = Math.round(limit / 1000);
  return new VdiStreamError('LOCK_TIMEOUT', `${holder} has held the lock ${path} for ${seconds} s without any progress`);
}

/** Resolves after `delay`, or when the waiter becomes the first of this process. */
async function pause(delay: number, waiter: Waiter | undefined, signal: AbortSignal | undefined): Promise<void> {
  const stop = new AbortController();
  const slept = sleep(delay, undefined, { signal: stop.signal }).catch(() => {});
  try {
    await orCancelled(waiter === undefined ? slept : Promise.race([slept, waiter.woken()]), signal);
  } finally {
    stop.abort(); // or the timer would keep the process running
  }
}
