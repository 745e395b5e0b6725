/** Dropping a file from the page cache, so that it is read from the medium. The pages are also counted by a program of its own. */

import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { native } from '../../src/host/native.ts';
import { writeDisk } from '../../src/index.ts';
import { withLoop } from '../support/loop.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { type Peer, pythonPeer } from '../support/python.ts';

const MiB = 1024 * 1024;
const SIZE = 4 * MiB;
const PAGES = SIZE / 4096;
const TMPFS = 0x01021994;

/** A file of 4 MiB that is in the page cache. */
async function cachedFile(folder: string): Promise<string> {
  const path = join(mkdtempSync(join(folder, 'vdistream-uncache-')), 'file');
  onTestFinished(() => rmSync(join(path, '..'), { recursive: true }));
  const file = await open(path, 'w');
  await file.writeFile(Buffer.alloc(SIZE, 'data'));
  await file.sync();
  await file.close();
  return path;
}

/** A folder on a disk. */
const disk = (): string => (statfsSync(tmpdir()).type === TMPFS ? '/var/tmp' : tmpdir());

async function uncache(path: string): Promise<number> {
  const file = await open(path, 'r');
  const left = await native().uncache(file.fd, 0, SIZE);
  await file.close();
  return left;
}

function pages(): Peer {
  const peer = pythonPeer('pages.py');
  onTestFinished(() => peer.end());
  return peer;
}

testWith('python3')('a synced file leaves the page cache', async () => {
  const path = await cachedFile(disk());
  const peer = pages();
  expect(await peer.ask({ count: path })).toBe(PAGES);
  expect(await uncache(path)).toBe(0);
  expect(await peer.ask({ count: path })).toBe(0);
});

testWith('python3').each([
  ['mapped', false],
  ['mapped and dirty', true],
])('a page that is %s stays, and is counted', async (_what, dirty) => {
  const path = await cachedFile(disk());
  const peer = pages();
  await peer.ask({ map: path, dirty });
  const left = await uncache(path);
  expect(left).toBeGreaterThan(0);
  expect(await peer.ask({ count: path })).toBe(left);

  await peer.ask({ unmap: true });
  const file = await open(path, 'r+');
  await file.sync();
  await file.close();
  expect(await uncache(path)).toBe(0);
});

testWith('python3')('pages that cannot become clean stay, and are counted: those of a file in memory', async () => {
  const path = await cachedFile('/dev/shm');
  expect(await uncache(path)).toBe(PAGES);
  expect(await pages().ask({ count: path })).toBe(PAGES);
});

test('a file in memory is verified there, which is its medium', async () => {
  const path = await cachedFile('/dev/shm');
  const source = join(path, '..', 'image.vhd');
  writeFileSync(source, fixedVhd(Buffer.alloc(SIZE, 'disk')));
  const { verified, warnings } = await writeDisk(source, path, { verify: true, force: ['content'] });
  expect([verified, warnings.filter(({ code }) => code === 'VERIFY_CACHED')]).toEqual([true, []]);
});

testWith('loop')('the pages of a device leave the page cache, too', async () => {
  await withLoop({ size: SIZE, fill: 0xaa }, async ({ path }) => {
    const file = await open(path, 'r+');
    try {
      await file.write(Buffer.alloc(SIZE, 'data'), 0, SIZE, 0);
      await file.sync();
      expect(await native().uncache(file.fd, 0, SIZE)).toBe(0);
    } finally {
      await file.close();
    }
  });
});
