/** Starting other programs: what they get, and what happens if they cannot be started. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { startChild } from '../../src/host/child.ts';
import { settleUdev } from '../../src/xen/device.ts';
import { createXe } from '../../src/xen/xe.ts';
import { testFolder } from '../support/folder.ts';

afterEach(() => vi.unstubAllEnvs());

describe('a child', () => {
  test('gets PATH and LC_ALL of the caller’s environment, and nothing else', async () => {
    vi.stubEnv('OS_TOKEN', 'secret');
    vi.stubEnv('HOME', '/root');
    vi.stubEnv('XZ_OPT', '--memlimit=1TiB');
    vi.stubEnv('LC_ALL', 'de_DE.UTF-8');
    const child = await startChild('env', []);
    expect((await text(child.stdout)).trim().split('\n').sort()).toEqual(['LC_ALL=C', `PATH=${process.env.PATH}`]);
    expect(await child.ended).toEqual({ status: 0, killedBy: null });
  });

  test('is not in the process group of the caller, so Ctrl-C does not reach it', async () => {
    const child = await startChild('ps', ['-o', 'pgid=', '-p', String(process.pid), '--ppid', String(process.pid)]);
    const groups = (await text(child.stdout)).trim().split(/\s+/);
    expect(new Set(groups).size).toBe(groups.length);
  });

  test('that exits early does not end the caller with EPIPE', async () => {
    const child = await startChild('true', []);
    for (let written = 0; written < 1 << 20; written += 65_536) child.stdin.write(Buffer.alloc(65_536));
    child.stdout.resume();
    child.stderr.resume();
    expect(await child.ended).toEqual({ status: 0, killedBy: null });
  });

  test('that is killed reports the signal', async () => {
    const child = await startChild('sleep', ['60']);
    child.kill();
    child.stdout.destroy();
    child.stderr.destroy();
    expect(await child.ended).toEqual({ status: null, killedBy: 'SIGKILL' });
  });
});

describe('a program that cannot be started', () => {
  const notExecutable = (): string => {
    const path = join(testFolder(), 'program');
    writeFileSync(path, '', { mode: 0o644 });
    return path;
  };
  // Node throws for an argument that is too long, as it does without memory.
  test.each([
    ['missing', 'ENOENT', () => ['/nowhere/program', []] as const],
    ['not executable', 'EACCES', () => [notExecutable(), []] as const],
    ['given too long an argument', 'E2BIG', () => ['true', ['x'.repeat(4 << 20)]] as const],
  ])('because it is %s is a rejection with %s', async (_, code, command) => {
    const [program, args] = command();
    await expect(startChild(program, args)).rejects.toMatchObject({ code });
  });

  test('is XE_MISSING or XE_FAILED for xe', async () => {
    await expect(createXe({ program: '/nowhere/xe' }).run('vdi-list', {})).rejects.toMatchObject({ code: 'XE_MISSING' });
    const long = { name: 'x'.repeat(4 << 20) };
    await expect(createXe({ program: 'true' }).run('vdi-list', long)).rejects.toMatchObject({ code: 'XE_FAILED' });
  });

  test('does not stop the wait for udev', async () => {
    vi.stubEnv('PATH', testFolder());
    await expect(settleUdev()).resolves.toBeUndefined();
  });
});
