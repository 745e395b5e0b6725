import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { withLock } from '../../src/host/lock.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { stagingProcesses } from '../support/staging-process.ts';

const startProcess = stagingProcesses();

/** Of this run of the tests only. */
let names = 0;
const newName = (): string => `test ${process.pid} ${++names}`;

/** The abstract addresses that sockets of this name have, as the kernel lists them, with `@` for a NUL. */
function addresses(name: string): string[] {
  const hash = createHash('sha256').update(name).digest('hex');
  const lines = readFileSync('/proc/net/unix', 'latin1').split('\n');
  return lines.filter((line) => line.includes(hash)).map((line) => line.slice(line.indexOf('@')));
}

/** Something to wait for, and to make happen. */
function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => {};
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

describe('within one process', () => {
  test('holders take the lock in the order of their calls, one at a time', async () => {
    const name = newName();
    const log: string[] = [];
    const calls = Array.from({ length: 20 }, (_, index) =>
      withLock(name, async () => {
        log.push(`${index} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`${index} ends`);
        return index * 2;
      }),
    );
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 20 }, (_, index) => index * 2));
    expect(log).toEqual(Array.from({ length: 20 }, (_, index) => [`${index} begins`, `${index} ends`]).flat());
  });

  test('work that fails rejects for its own caller, and the next caller gets the lock', async () => {
    const name = newName();
    const broken = new Error('broken');
    const first = withLock(name, () => Promise.reject(broken));
    const second = withLock(name, async () => 'second');
    await expect(first).rejects.toBe(broken);
    expect(await second).toBe('second');
  });

  test('locks of other names do not wait', async () => {
    const { passed, open } = gate();
    const first = withLock(newName(), () => passed);
    expect(await withLock(newName(), async () => 'other')).toBe('other');
    open();
    await first;
  });

  test('a waiter that is cancelled is rejected immediately, and the others keep their order', async () => {
    const name = newName();
    const { passed, open } = gate();
    const log: string[] = [];
    const first = withLock(name, () => passed.then(() => log.push('first')));
    const controller = new AbortController();
    const second = withLock(name, async () => log.push('second'), controller.signal);
    const third = withLock(name, async () => log.push('third'));
    controller.abort(new Error('enough'));
    expect(await failure(second)).toMatchObject({ code: 'CANCELLED', cause: new Error('enough') });
    expect(log).toEqual([]);
    open();
    await Promise.all([first, third]);
    expect(log).toEqual(['first', 'third']);
  });

  test('a signal that has already fired keeps the work from starting, and a signal that fires later is left to the work', async () => {
    const begun: string[] = [];
    expect(await failure(withLock(newName(), async () => begun.push('begun'), AbortSignal.abort()))).toMatchObject({ code: 'CANCELLED' });
    expect(begun).toEqual([]);
    const controller = new AbortController();
    const work = withLock(
      newName(),
      async () => {
        controller.abort();
        return 'finished';
      },
      controller.signal,
    );
    expect(await work).toBe('finished');
  });
});

describe('between processes', () => {
  test('no two hold the lock at the same time, and all get it eventually', async () => {
    const log = join(testFolder(), 'log');
    const task = { does: 'lock', name: newName(), times: 25, log };
    const processes = Array.from({ length: 4 }, () => startProcess(task));
    for (const { outcome } of processes) expect(await outcome()).toEqual({});
    const entries = readFileSync(log, 'utf8').trim().split(' ');
    expect(entries).toHaveLength(4 * 25 * 2);
    for (let at = 0; at < entries.length; at += 2) {
      const [begin = '', end = ''] = entries.slice(at, at + 2);
      expect([begin.charAt(0), end]).toEqual(['+', `-${begin.slice(1)}`]);
    }
  });

  test('a holder that is killed releases the lock', async () => {
    const name = newName();
    const holder = startProcess({ does: 'hold', name });
    await holder.said('holding');
    const waiter = withLock(name, async () => 'mine');
    await vi.waitFor(() => expect(connected(name)).toBe(1), 60_000);
    await holder.kill();
    expect(await waiter).toBe('mine');
  });

  test('a stopped holder is waited for, and the lock passes on when it dies without having accepted a connection', async () => {
    const name = newName();
    const holder = startProcess({ does: 'hold', name });
    await holder.said('holding');
    holder.child.kill('SIGSTOP');
    const order: string[] = [];
    const waiting = startProcess({ does: 'hold', name });
    const waiter = withLock(name, async () => order.push('mine'));
    await vi.waitFor(() => expect(addresses(name).length).toBe(3), 60_000);
    const second = waiting.said('holding').then(() => {
      order.push('theirs');
      waiting.child.stdin?.write('go on');
    });
    expect(order).toEqual([]);
    await holder.kill();
    await Promise.all([waiter, second]);
    expect(order.sort()).toEqual(['mine', 'theirs']);
  });

  test('a waiter that is cancelled leaves no connection behind, and the holder is not disturbed', async () => {
    const name = newName();
    const holder = startProcess({ does: 'hold', name });
    await holder.said('holding');
    const controller = new AbortController();
    const waiter = withLock(name, async () => 'mine', controller.signal);
    await vi.waitFor(() => expect(connected(name)).toBe(1), 60_000);
    controller.abort();
    expect(await failure(waiter)).toMatchObject({ code: 'CANCELLED' });
    await vi.waitFor(() => expect(connected(name)).toBe(0), 60_000);
    holder.child.stdin?.write('go on');
    expect(await holder.outcome()).toEqual({});
  });

  test('a process that has released the lock can exit, even while others are connected to it', async () => {
    const name = newName();
    const holder = startProcess({ does: 'hold', name });
    await holder.said('holding');
    // It never reads, and never closes its side on its own.
    const stranger = connect({ path: `${addresses(name)[0]?.replace(/@/g, '\0')}`, allowHalfOpen: true });
    onTestFinished(() => void stranger.destroy());
    await once(stranger, 'connect');
    holder.child.stdin?.write('go on');
    expect(await holder.outcome()).toEqual({});
  });
});

test('every version of Node understands the address in the same way: it fills the whole sun_path', async () => {
  const name = newName();
  await withLock(name, async () => {
    const [address = ''] = addresses(name);
    expect(address).toMatch(/^@vdistream-[0-9a-f]{64}-+@$/);
    expect(address).toHaveLength(108); // sizeof sun_path, unix(7)
  });
  expect(addresses(name)).toEqual([]);
});

/** Sockets of this name that are connections; one line is the listening socket. */
const connected = (name: string): number => addresses(name).length - 1;
