import { execFileSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ReadableDisk } from '../../src/disk/readable.ts';
import { createPool } from '../../src/host/pool.ts';
import { deviceDisk } from '../../src/source/device-disk.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;

async function withDisk<T>(path: string, use: (disk: ReadableDisk) => Promise<T>): Promise<T> {
  const disk = await deviceDisk(path).open({});
  try {
    return await use(disk);
  } finally {
    await disk.close();
  }
}

async function ranges(disk: ReadableDisk): Promise<unknown[]> {
  const found = [];
  for await (const range of disk.mayHold()) found.push(range);
  return found;
}

// Only the addon can ask for holes.
testWith('addon')('the holes of a file hold nothing, and its last partial sector is padded with zeros', async () => {
  const path = join(testFolder(), 'disk');
  writeFileSync(path, '');
  truncateSync(path, 64 * MIB);
  execFileSync('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=1', 'seek=32', 'conv=notrunc', 'status=none']);
  execFileSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=1', 'count=700', `seek=${64 * MIB}`, 'conv=notrunc', 'status=none']);
  await withDisk(path, async (disk) => {
    expect(disk.size).toBe(64 * MIB + 1024);
    expect(await ranges(disk)).toEqual([
      { offset: 32 * MIB, length: MIB },
      { offset: 64 * MIB, length: 700 },
    ]);
    const { bytes, release } = await createPool({ count: 1, size: 4096 }).acquire();
    bytes.fill(7);
    await disk.read(bytes.subarray(0, disk.align), 64 * MIB);
    expect(Buffer.from(bytes.subarray(700, 1024)).equals(Buffer.alloc(324))).toBe(true);
    release();
  });
});

test('a file has another version once it was written', async () => {
  const path = join(testFolder(), 'disk');
  writeFileSync(path, noise(MIB, 1));
  await withDisk(path, async (disk) => {
    const before = await disk.version();
    expect(await disk.version()).toBe(before);
    writeFileSync(path, noise(MIB, 2));
    expect(await disk.version()).not.toBe(before);
  });
});

testWith('root', 'loop')('a device has another version once it was written, as the kernel counts', async () => {
  await withLoop({ size: 8 * MIB, fill: 1 }, async ({ path }) => {
    await withDisk(path, async (disk) => {
      const { bytes } = await createPool({ count: 1, size: MIB }).acquire();
      await disk.read(bytes, 0);
      const before = await disk.version();
      expect(before).toBeDefined();
      await disk.read(bytes, MIB);
      expect(await disk.version()).toBe(before);
      execFileSync('dd', ['if=/dev/urandom', `of=${path}`, 'bs=4096', 'count=1', 'oflag=direct', 'status=none']);
      expect(await disk.version()).not.toBe(before);
      expect(await ranges(disk)).toEqual([{ offset: 0, length: 8 * MIB }]);
    });
  });
});

test('closing waits for reads in flight, and refuses others', async () => {
  const path = join(testFolder(), 'disk');
  writeFileSync(path, noise(MIB, 1));
  const disk = await deviceDisk(path).open({});
  const { bytes } = await createPool({ count: 1, size: MIB }).acquire();
  let isRead = false;
  const reading = disk.read(bytes, 0).then(() => {
    isRead = true;
  });
  await disk.close();
  expect(isRead).toBe(true);
  await reading;
  expect(await failure(disk.read(bytes, 0))).toMatchObject({ code: 'USAGE' });
});

test.each([
  ['/dev/null', 'SOURCE_OPEN'],
  ['/', 'SOURCE_OPEN'],
  ['/no/such/file', 'SOURCE_OPEN'],
])('%s is no disk', async (path, code) => {
  expect(await failure(deviceDisk(path).open({}))).toMatchObject({ code });
});
