import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { withLock } from '../../src/host/lock.ts';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import type { Warning } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { openFilesIn } from '../support/open-files.ts';
import { stagingProcesses } from '../support/staging-process.ts';

const startProcess = stagingProcesses();

const newLock = (): string => join(testFolder(), 'lock');

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
    const path = newLock();
    const log: string[] = [];
    const calls = Array.from({ length: 20 }, (_, index) =>
      withLock(path, async () => {
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
    const path = newLock();
    const broken = new Error('broken');
    const first = withLock(path, () => Promise.reject(broken));
    const second = withLock(path, async () => 'second');
    await expect(first).rejects.toBe(broken);
    expect(await second).toBe('second');
  });

  test('locks on other paths do not wait', async () => {
    const { passed, open } = gate();
    const first = withLock(newLock(), () => passed);
    expect(await withLock(newLock(), async () => 'other')).toBe('other');
    open();
    await first;
  });

  test('two paths to the same file are the same lock', async () => {
    const folder = testFolder();
    mkdirSync(join(folder, 'real'));
    symlinkSync('real', join(folder, 'link'));
    const { passed, open } = gate();
    const log: string[] = [];
    let isHeld = false;
    const first = withLock(join(folder, 'real', 'lock'), () => {
      isHeld = true;
      return passed.then(() => log.push('first'));
    });
    await vi.waitFor(() => expect(isHeld).toBe(true), 60_000);
    const second = withLock(join(folder, 'link', 'lock'), async () => log.push('second'));
    open();
    await Promise.all([first, second]);
    expect(log).toEqual(['first', 'second']);
  });

  test('a waiter that is cancelled is rejected immediately, and the others keep their order', async () => {
    const path = newLock();
    const { passed, open } = gate();
    const log: string[] = [];
    const first = withLock(path, () => passed.then(() => log.push('first')));
    const controller = new AbortController();
    const second = withLock(path, async () => log.push('second'), { signal: controller.signal });
    const third = withLock(path, async () => log.push('third'));
    controller.abort(new Error('enough'));
    expect(await failure(second)).toMatchObject({ code: 'CANCELLED' });
    expect(log).toEqual([]);
    open();
    await Promise.all([first, third]);
    expect(log).toEqual(['first', 'third']);
  });

  test('a signal that has already fired keeps the work from starting, and a signal that fires later is left to the work', async () => {
    const begun: string[] = [];
    const work = async (): Promise<unknown> => begun.push('begun');
    expect(await failure(withLock(newLock(), work, { signal: AbortSignal.abort() }))).toMatchObject({ code: 'CANCELLED' });
    expect(begun).toEqual([]);
    const controller = new AbortController();
    const finishing = async (): Promise<string> => {
      controller.abort();
      return 'finished';
    };
    expect(await withLock(newLock(), finishing, { signal: controller.signal })).toBe('finished');
  });
});

describe('between processes', () => {
  test('no two hold the lock at the same time, and all get it eventually', async () => {
    const path = newLock();
    const log = join(testFolder(), 'log');
    const task = { does: 'lock', path, times: 25, log };
    const processes = Array.from({ length: 4 }, () => startProcess(task));
    for (const { outcome } of processes) expect(await outcome()).toEqual({});
    const entries = readFileSync(log, 'utf8').trim().split(' ');
    expect(entries).toHaveLength(4 * 25 * 2);
    for (let at = 0; at < entries.length; at += 2) {
      const [begin = '', end = ''] = entries.slice(at, at + 2);
      expect([begin.charAt(0), end]).toEqual(['+', `-${begin.slice(1)}`]);
    }
    expect(existsSync(path)).toBe(false);
  });

  test('a holder that is killed releases the lock', async () => {
    const path = newLock();
    const holder = startProcess({ does: 'hold', path });
    await holder.said('holding');
    const waiter = withLock(path, async () => readFileSync(path, 'utf8'));
    await holder.kill();
    expect(await waiter).toBe(`${ownerText(thisOwner())}\n`);
    expect(existsSync(path)).toBe(false);
  });

  testWith('root')('processes in other network and pid namespaces share it', async () => {
    const path = newLock();
    const holder = startProcess({ does: 'hold', path }, ['unshare', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']);
    await holder.said('holding');
    expect(await failure(withLock(path, async () => {}, { limit: 100 }))).toMatchObject({
      code: 'LOCK_TIMEOUT',
      message: expect.stringMatching(/^process \d+ in another container has held the lock /),
    });
    holder.child.stdin?.write('go on');
    expect(await holder.outcome()).toEqual({});
    expect(await withLock(path, async () => 'free')).toBe('free');
  });

  test('a waiter that is cancelled leaves nothing open, and the holder is not disturbed', async () => {
    const path = newLock();
    const holder = startProcess({ does: 'hold', path });
    await holder.said('holding');
    const controller = new AbortController();
    const waiter = withLock(path, async () => 'mine', { signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, 20));
    controller.abort();
    expect(await failure(waiter)).toMatchObject({ code: 'CANCELLED' });
    expect(openFilesIn(join(path, '..'))).toEqual([]);
    holder.child.stdin?.write('go on');
    expect(await holder.outcome()).toEqual({});
  });

  test('a lock file that somebody removes is not taken for a free lock by the one who waits for the new one', async () => {
    const path = newLock();
    const { passed, open } = gate();
    const first = withLock(path, () => passed);
    await vi.waitFor(() => expect(readFileSync(path, 'utf8')).not.toBe(''), 60_000);
    rmSync(path);
    const holder = startProcess({ does: 'hold', path });
    await holder.said('holding');
    open();
    await first;
    // The first holder has left the file of the second one alone.
    expect(existsSync(path)).toBe(true);
    holder.child.stdin?.write('go on');
    expect(await holder.outcome()).toEqual({});
  });
});

describe('a wait', () => {
  test('of a second is reported once, with the process that holds the lock', async () => {
    const path = newLock();
    const holder = startProcess({ does: 'hold', path });
    await holder.said('holding');
    const warnings: Warning[] = [];
    const waiter = withLock(path, async () => 'mine', { onWarning: (warning) => warnings.push(warning) });
    const message = `waiting for the lock ${path}, which process ${holder.child.pid} holds`;
    await vi.waitFor(() => expect(warnings).toEqual([{ code: 'LOCK_WAIT', message }]), 60_000);
    holder.child.stdin?.write('go on');
    expect(await waiter).toBe('mine');
    expect(warnings).toHaveLength(1);
  });

  test('shorter than that is not reported, nor is one for this process shorter than that', async () => {
    const path = newLock();
    const onWarning = vi.fn();
    await Promise.all([withLock(path, async () => {}, { onWarning }), withLock(path, async () => {}, { onWarning })]);
    expect(onWarning).not.toHaveBeenCalled();
  });

  test('for a holder that is stopped ends at the limit, and the error names the process', async () => {
    const path = newLock();
    const holder = startProcess({ does: 'hold', path });
    await holder.said('holding');
    holder.child.kill('SIGSTOP');
    const message = `process ${holder.child.pid} has held the lock ${path} for 0 s without any progress`;
    expect(await failure(withLock(path, async () => {}, { limit: 200 }))).toMatchObject({ code: 'LOCK_TIMEOUT', message });
    expect(openFilesIn(join(path, '..'))).toEqual([]);
  });

  test('for another caller in this process ends at the limit too', async () => {
    const path = newLock();
    const { passed, open } = gate();
    const first = withLock(path, () => passed);
    const message = expect.stringMatching(/^this process has held/);
    expect(await failure(withLock(path, async () => {}, { limit: 200 }))).toMatchObject({ code: 'LOCK_TIMEOUT', message });
    open();
    await first;
  });

  test('does not end as long as the holder makes progress, or the lock goes from one to another', async () => {
    const path = newLock();
    const steps = Array.from({ length: 8 }, () => withLock(path, () => new Promise((resolve) => setTimeout(resolve, 150))));
    expect(await withLock(path, async () => 'mine', { limit: 600 })).toBe('mine');
    await Promise.all(steps);
    const slow = withLock(path, async (progress) => {
      for (let step = 0; step < 24; step++) {
        progress();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
    expect(await withLock(path, async () => 'mine', { limit: 1500 })).toBe('mine');
    await slow;
  });
});

describe('a lock file is refused', () => {
  const refused = (path: string): Promise<unknown> => failure(withLock(path, async () => {}));
  const error = (reason: string) => ({ code: 'LOCK_FILE', message: expect.stringContaining(reason) });

  test('if it is a symbolic link, whose target is not touched', async () => {
    const folder = testFolder();
    writeFileSync(join(folder, 'target'), 'data');
    symlinkSync('target', join(folder, 'lock'));
    expect(await refused(join(folder, 'lock'))).toMatchObject(error('it is a symbolic link'));
    expect(readFileSync(join(folder, 'target'), 'utf8')).toBe('data');
  });

  test('if it is not a file', async () => {
    const folder = testFolder();
    mkdirSync(join(folder, 'lock'));
    expect(await refused(join(folder, 'lock'))).toMatchObject(error(`${join(folder, 'lock')} cannot be used: EISDIR`));
  });

  testWith('root')('if it belongs to another user', async () => {
    const path = newLock();
    writeFileSync(path, '');
    chownSync(path, 65_534, 65_534);
    expect(await refused(path)).toMatchObject(error(`${path} belongs to user 65534, not to user 0`));
  });

  test('if its folder is missing', async () => {
    expect(await refused(join(testFolder(), 'none', 'lock'))).toMatchObject(error('ENOENT'));
  });
});

test('only its user can open a lock file, and nothing is left of it', async () => {
  const path = newLock();
  chmodSync(join(path, '..'), 0o755);
  await withLock(path, async () => expect(statSync(path).mode % 0o1000).toBe(0o600));
  expect(readdirSync(join(path, '..'))).toEqual([]);
});
