import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { deviceTarget, type Target, writeDisk } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { loopDevice } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;
const child = fileURLToPath(new URL('../support/write-once.mjs', import.meta.url));

const vhd = dynamicVhd({ size: 8 * MIB, blocks: new Map([[1, Buffer.alloc(2 * MIB, 'data')]]) });

/** The disk in `vhd`. */
function disk(): Buffer {
  const model = Buffer.alloc(8 * MIB);
  model.fill('data', 2 * MIB, 4 * MIB);
  return model;
}

function imageIn(folder: string): string {
  const path = join(folder, 'image.vhd');
  writeFileSync(path, vhd);
  return path;
}

const open = (path: string, size = 8 * MIB): Promise<Target> => deviceTarget(path).open({ size });

/** A stream of the image that stalls near its end until `go` is called. */
function stalling(): { stream: AsyncGenerator<Uint8Array>; go: () => void } {
  let go = (): void => {};
  const wait = new Promise<void>((resolve) => {
    go = resolve;
  });
  async function* stream(): AsyncGenerator<Uint8Array> {
    yield vhd.subarray(0, -512);
    await wait;
    yield vhd.subarray(-512);
  }
  return { stream: stream(), go };
}

/** A file system on a loop device, mounted until the test ends. */
function mounted(format: readonly string[], mountProgram: string): string {
  const mount = join(testFolder(), 'mount');
  mkdirSync(mount);
  const device = loopDevice({ size: 64 * MIB });
  onTestFinished(device.detach);
  execFileSync(format[0] ?? '', [...format.slice(1), device.path], { stdio: 'ignore' });
  execFileSync(mountProgram, [device.path, mount], { stdio: 'ignore' });
  onTestFinished(() => void execFileSync('umount', [mount]));
  const folder = join(mount, 'disks');
  mkdirSync(folder);
  return folder;
}

const ext4 = (): string => mounted(['mkfs.ext4', '-q', '-O', '^has_journal'], 'fuse2fs');
const exfat = (): string => mounted(['mkfs.exfat'], 'mount.exfat-fuse');

describe.each([
  ['a file system with unnamed files', testFolder, testWith()],
  ['a file system without unnamed files', ext4, testWith('loop', 'fuse', 'fuse2fs', 'mkfs.ext4')],
  ['a file system without unnamed files and hard links', exfat, testWith('loop', 'fuse', 'mount.exfat-fuse', 'mkfs.exfat')],
] as const)('a new file on %s', (_what, folderOf, run) => {
  run('does not bear its name before the disk is complete', async () => {
    const folder = folderOf();
    const path = join(folder, 'disk.raw');
    const { stream, go } = stalling();
    let moved = 0;
    const end = writeDisk(stream, path, {
      onProgress(progress) {
        moved = progress.moved;
      },
    });
    await vi.waitFor(() => expect(moved).toBe(2 * MIB), 60_000);
    expect(existsSync(path)).toBe(false);
    go();
    expect(await end).toMatchObject({ bytesWritten: 2 * MIB });
    expect(readFileSync(path).equals(disk())).toBe(true);
    expect(readdirSync(folder)).toEqual(['disk.raw']);
  });

  run('has one writer: the second is refused, and the first finishes', async () => {
    const folder = folderOf();
    const path = join(folder, 'disk.raw');
    const first = await open(path);
    expect(await failure(writeDisk(imageIn(testFolder()), path))).toMatchObject({ code: 'TARGET_BUSY', exitCode: 3, device: path });
    await (await open(join(folder, 'another.raw'))).close();
    await first.close();
    expect(readdirSync(folder).sort()).toEqual(['another.raw', 'disk.raw']);
    expect(statSync(path).size).toBe(8 * MIB);
  });

  run('never replaces a file that another program creates meanwhile, and is discarded', async () => {
    const folder = folderOf();
    const path = join(folder, 'disk.raw');
    const target = await open(path);
    writeFileSync(path, 'of another program');
    expect(await failure(target.close())).toMatchObject({ code: 'TARGET_BUSY', device: path });
    await target.abandon();
    expect(readFileSync(path, 'utf8')).toBe('of another program');
    expect(readdirSync(folder)).toEqual(['disk.raw']);
  });

  run('leaves nothing if it is abandoned, even after it was closed', async () => {
    const folder = folderOf();
    const path = join(folder, 'disk.raw');
    const target = await open(path);
    await target.abandon();
    await target.close();
    expect(readdirSync(folder)).toEqual([]);
    const kept = await open(path);
    await kept.close();
    await kept.abandon();
    expect(readdirSync(folder)).toEqual(['disk.raw']);
  });

  run('does not appear under its name after a kill, and the next writer to the folder removes what is left of it', async () => {
    const folder = folderOf();
    const path = join(folder, 'disk.raw');
    const writer = spawn(process.execPath, [child, '-', path], { stdio: ['pipe', 'ignore', 'inherit'] });
    const ended = once(writer, 'exit');
    writer.stdin.on('error', () => {});
    writer.stdin.write(vhd.subarray(0, -512));
    await vi.waitFor(() => expect(readdirSync(folder)).toHaveLength(1), 60_000);
    writer.kill('SIGKILL');
    await ended;
    expect(existsSync(path)).toBe(false);
    await writeDisk(imageIn(testFolder()), join(folder, 'another.raw'));
    expect(readdirSync(folder)).toEqual(['another.raw']);
    await writeDisk(imageIn(testFolder()), path);
    expect(readFileSync(path).equals(disk())).toBe(true);
  });
});

test('a temporary file of a running writer is not removed by another one', async () => {
  const folder = testFolder();
  const first = await open(join(folder, 'first.raw'));
  const reservations = readdirSync(folder);
  expect(reservations).toHaveLength(1);
  const second = await open(join(folder, 'second.raw'));
  expect(readdirSync(folder)).toEqual(expect.arrayContaining(reservations));
  await Promise.all([first.close(), second.close()]);
  expect(readdirSync(folder).sort()).toEqual(['first.raw', 'second.raw']);
});

test('many writers that race for one name produce one whole file', async () => {
  const folder = testFolder();
  const path = join(folder, 'disk.raw');
  const image = imageIn(testFolder());
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, () =>
      writeDisk(image, path).then(
        () => 'written',
        ({ code }) => code,
      ),
    ),
  );
  // Whoever comes when the file is complete finds data in it.
  expect(outcomes.filter((outcome) => outcome === 'written').length).toBeGreaterThan(0);
  for (const outcome of outcomes) expect(['written', 'TARGET_BUSY', 'TARGET_CONTENT']).toContain(outcome);
  expect(readFileSync(path).equals(disk())).toBe(true);
  expect(readdirSync(folder)).toEqual(['disk.raw']);
});

test('an existing file has one writer: the second is refused, and leaves it alone', async () => {
  const path = join(testFolder(), 'disk.raw');
  writeFileSync(path, Buffer.alloc(8 * MIB));
  const first = await open(path);
  expect(await failure(writeDisk(imageIn(testFolder()), path))).toMatchObject({ code: 'TARGET_BUSY', exitCode: 3, device: path });
  await first.close();
  expect(readFileSync(path).equals(Buffer.alloc(8 * MIB))).toBe(true);
  await writeDisk(imageIn(testFolder()), path);
  expect(readFileSync(path).equals(disk())).toBe(true);
});

test('a failed call does not remove the file that another one has finished under the same name', async () => {
  const path = join(testFolder(), 'disk.raw');
  const { stream, go } = stalling();
  const first = failure(writeDisk(stream, path, { sha256: '0'.repeat(64) }));
  unlinkSync(join(path, '..', await reservationIn(join(path, '..'))));
  await writeDisk(imageIn(testFolder()), path);
  go();
  expect(await first).toMatchObject({ code: 'SOURCE_CHECKSUM' });
  expect(readFileSync(path).equals(disk())).toBe(true);
});

async function reservationIn(folder: string): Promise<string> {
  return vi.waitFor(() => {
    const [reservation] = readdirSync(folder);
    if (reservation === undefined) throw new Error('not yet');
    return reservation;
  });
}

test('a symbolic link to nothing is refused before the image is read', async () => {
  const path = join(testFolder(), 'link');
  symlinkSync('nowhere', path);
  expect(await failure(open(path))).toMatchObject({ code: 'TARGET_OPEN', message: expect.stringContaining('symbolic link') });
});

test('a dry run creates nothing', async () => {
  const folder = testFolder();
  const target = await deviceTarget(join(folder, 'disk.raw')).open({ size: 8 * MIB, purpose: 'dry-run' });
  expect(target).toMatchObject({ size: 8 * MIB, readsZero: true });
  expect(readdirSync(folder)).toEqual([]);
  await target.close();
  expect(readdirSync(folder)).toEqual([]);
});
