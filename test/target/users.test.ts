import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, vi } from 'vitest';
import { deviceTarget, type TargetOptions } from '../../src/index.ts';
import { userOf } from '../../src/target/users.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { withServer } from '../support/server-process.ts';

const MIB = 1 << 20;
const child = fileURLToPath(new URL('../support/write-once.mjs', import.meta.url));
const O_PATH = 0o10000000;

/** An image of 8 MiB. */
function image(): string {
  const path = join(testFolder(), 'image.vhd');
  writeFileSync(path, dynamicVhd({ size: 8 * MIB, blocks: new Map([[1, Buffer.alloc(2 * MIB, 'data')]]) }));
  return path;
}

/** Opens and closes immediately, to see whether it is allowed. */
async function tryOpen(path: string, options: Partial<TargetOptions> = {}): Promise<void> {
  await (await deviceTarget(path).open({ size: MIB, ...options })).close();
}

testWith('loop').each(['tapdisk', 'tapdisk2', 'qemu-system-x86_64'])('a device that %s has open for a guest is refused', async (name) => {
  await withLoop({ size: 8 * MIB }, async ({ path }) => {
    await withLoop({ size: 8 * MIB }, async ({ path: another }) => {
      await withServer(name, path, async (pid) => {
        const message = `${path} is in use by ${name.slice(0, 15)}, process ${pid}`;
        expect(await failure(tryOpen(path))).toMatchObject({ code: 'TARGET_BUSY', guard: 'busy', device: path, message });
        await tryOpen(path, { force: ['busy'] });
        await tryOpen(path, { purpose: 'compare' });
        await (await deviceTarget(path, { attached: true }).open({ size: MIB })).close(); // where it serves the one who has attached it
        await tryOpen(another);
      });
      await tryOpen(path);
    });
  });
});

/** As the kernel announces a device that it has just created. */
const numbersOf = (path: string): string[] =>
  readFileSync(`/sys/class/block/${basename(path)}/dev`, 'latin1')
    .trim()
    .split(':');

testWith('loop')(
  'a disk is refused if a guest has a partition of it, and a partition if a guest has its disk, but not if a guest has another partition',
  async () => {
    await withLoop({ size: 8 * MIB, parts: true }, async ({ path }) => {
      const parts = [1, 2].map((number) => `${path}p${number}`) as [string, string];
      execFileSync('addpart', [path, '1', '2048', '4096']);
      execFileSync('addpart', [path, '2', '8192', '4096']);
      const made = parts.filter((part) => !existsSync(part)); // a container is not given nodes
      for (const part of made) execFileSync('mknod', [part, 'b', ...numbersOf(part)]);
      try {
        await withServer('tapdisk', parts[0], async () => {
          for (const refused of [path, parts[0]]) expect(await failure(tryOpen(refused))).toMatchObject({ code: 'TARGET_BUSY' });
          await tryOpen(parts[1]);
        });
        await withServer('tapdisk', path, async () => {
          for (const refused of parts) expect(await failure(tryOpen(refused))).toMatchObject({ code: 'TARGET_BUSY' });
        });
        for (const free of [path, ...parts]) await tryOpen(free);
      } finally {
        for (const part of made) unlinkSync(part);
        for (const number of ['1', '2']) execFileSync('delpart', [path, number]);
      }
    });
  },
);

testWith('loop')('a served device is refused even if there are more processes than this one may open files', async () => {
  const crowd = spawn('sh', ['-c', 'for i in $(seq 300); do sleep 1000 & done; echo; wait'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(crowd, 'close');
  onTestFinished(async () => {
    process.kill(-(crowd.pid ?? 0), 'SIGKILL');
    await ended;
  });
  await once(crowd.stdout, 'data');
  await withLoop({ size: 8 * MIB }, async ({ path }) => {
    await withServer('tapdisk', path, async () => {
      const { stdout } = await promisify(execFile)('prlimit', ['--nofile=200', process.execPath, child, image(), path, '{}']);
      expect(JSON.parse(stdout)).toMatchObject({ code: 'TARGET_BUSY' });
    });
  });
});

testWith('root')('a network block device does not count as served to a guest by its own qemu-nbd', async () => {
  const node = join(testFolder(), 'dev', 'nbd0');
  mkdirSync(dirname(node));
  execFileSync('mknod', [node, 'b', '43', '0']); // no such driver is needed to know whose it is
  const nbd = statSync(node);
  await withServer('qemu-nbd', node, async () => expect(await userOf(node, nbd, false)).toBeUndefined(), O_PATH);
  await withServer('qemu-dm', node, async (pid) => expect(await userOf(node, nbd, false)).toBe(`qemu-dm, process ${pid}`), O_PATH);
});

testWith(
  'loop',
  'fuse',
  'vhdimount',
)('the check does not wait for a file server that is gone, even if a guest has an image on it', async () => {
  const folder = join(testFolder(), 'mount');
  mkdirSync(folder);
  const file = join(folder, 'vhdi1');
  const remote = spawn('vhdimount', ['-v', '-X', 'attr_timeout=0', image(), folder], { stdio: 'ignore' });
  const ended = once(remote, 'exit');
  onTestFinished(async () => {
    remote.kill('SIGCONT');
    spawnSync('umount', ['--lazy', folder]);
    remote.kill();
    await ended;
  });
  await vi.waitFor(() => expect(existsSync(file)).toBe(true), 60_000);
  await withLoop({ size: 8 * MIB }, async ({ path }) => {
    const gone = async (): Promise<void> => {
      remote.kill('SIGSTOP');
      await tryOpen(path);
    };
    await withServer('tapdisk', file, gone, 'r').finally(() => remote.kill('SIGCONT'));
  });
});

describe('a regular file in use is refused', () => {
  /** An empty file of 8 MiB. */
  function emptyFile(): string {
    const path = join(testFolder(), 'disk.raw');
    writeFileSync(path, '');
    truncateSync(path, 8 * MIB);
    return path;
  }

  async function expectBusy(path: string, user: string): Promise<void> {
    const refusal = { code: 'TARGET_BUSY', exitCode: 3, guard: 'busy', device: path, message: `${path} is in use by ${user}` };
    expect(await failure(tryOpen(path))).toMatchObject(refusal);
    expect(await failure(tryOpen(path, { purpose: 'dry-run' }))).toMatchObject(refusal);
    await tryOpen(path, { force: ['busy'] });
    await tryOpen(path, { purpose: 'compare' });
  }

  testWith('loop')('if it backs a loop device, also under another name', async () => {
    const path = emptyFile();
    const other = join(testFolder(), 'other name');
    linkSync(path, other);
    const loop = execFileSync('losetup', ['--find', '--show', path], { encoding: 'utf8' }).trim();
    try {
      for (const name of [path, other]) await expectBusy(name, loop);
    } finally {
      execFileSync('losetup', ['--detach', loop]);
    }
    await tryOpen(path);
  });

  testWith('loop')('as a device that backs one is', async () => {
    await withLoop({ size: 8 * MIB }, async ({ path }) => {
      const loop = execFileSync('losetup', ['--find', '--show', path], { encoding: 'utf8' }).trim();
      try {
        await expectBusy(path, loop);
      } finally {
        execFileSync('losetup', ['--detach', loop]);
      }
    });
  });

  testWith('root').each(['tapdisk', 'qemu-system-x86_64', 'qemu-nbd'])('if %s has it open, also under another name', async (name) => {
    const path = emptyFile();
    const other = join(testFolder(), 'other name');
    linkSync(path, other);
    await withServer(name, path, async (pid) => {
      for (const each of [path, other]) await expectBusy(each, `${name.slice(0, 15)}, process ${pid}`);
    });
    await tryOpen(path);
  });

  testWith('root')('if it is swapped on', async () => {
    const path = join(testFolder(), 'a swap file');
    writeFileSync(path, Buffer.alloc(8 * MIB));
    chmodSync(path, 0o600);
    execFileSync('mkswap', [path], { stdio: 'ignore' });
    execFileSync('swapon', [path]);
    try {
      expect(await failure(tryOpen(path))).toMatchObject({ code: 'TARGET_BUSY', message: `${path} is in use by the kernel as swap space` });
    } finally {
      execFileSync('swapoff', [path]);
    }
  });
});
