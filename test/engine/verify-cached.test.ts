/** Verification is of the medium: what only the page cache holds is not verified. */

import { expect, test } from 'vitest';
import { type TargetOpener, verifyDisk, writeDisk } from '../../src/index.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { type MemoryTarget, memoryTarget } from '../support/memory-target.ts';

const KiB = 1024;
const SIZE = 192 * KiB;
const vhd = dynamicVhd({ size: SIZE, blockSize: 64 * KiB, blocks: new Map([[1, Buffer.alloc(64 * KiB, 'data')]]) });

async function* image(): AsyncGenerator<Uint8Array> {
  yield vhd;
}

interface Cached {
  readonly opener: TargetOpener;
  readonly memory: MemoryTarget;
  /** Calls of sync, uncache and read, in order. */
  readonly log: string[];
}

/** A target whose writes go through a page cache, which drops what it holds or keeps it. */
function cached(drops: boolean): Cached {
  const memory = memoryTarget({ size: SIZE, rewrites: true });
  const log: string[] = [];
  const opener: TargetOpener = {
    name: 'cached',
    open: async () => ({
      ...memory,
      name: 'cached',
      direct: false,
      async sync() {
        log.push('sync');
      },
      async uncache(length) {
        log.push(`uncache ${length}`);
        return drops;
      },
      read(into, offset, sums) {
        log.push('read');
        return memory.read(into, offset, sums);
      },
      // It is opened again.
      async close() {},
    }),
  };
  return { opener, memory, log };
}

const KEPT = {
  code: 'VERIFY_CACHED',
  message: 'cached: part of it stayed in the page cache, so it was not compared on the medium',
};

test.each([
  ['dropped', true, []],
  ['kept', false, [KEPT]],
])('if the page cache has %s it, verified is %s', async (_what, drops, warnings) => {
  const { opener, log } = cached(drops);
  expect(await writeDisk(image(), opener, { verify: true })).toMatchObject({ verified: drops, warnings });
  expect(log.slice(0, 3)).toEqual(['sync', `uncache ${SIZE}`, 'read']);

  log.length = 0;
  expect(await verifyDisk(image(), opener)).toMatchObject({ verified: drops, bytesCompared: SIZE, warnings });
  expect(log.slice(0, 2)).toEqual([`uncache ${SIZE}`, 'read']);
});

test('a difference in the page cache is an error as anywhere else', async () => {
  const { opener, memory } = cached(false);
  await writeDisk(image(), opener);
  memory.flip(64 * KiB + 5);
  await expect(verifyDisk(image(), opener)).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', offset: 64 * KiB + 5 });
});

test('without verification, nothing is dropped or read', async () => {
  const { opener, log } = cached(false);
  expect(await writeDisk(image(), opener)).toMatchObject({ verified: false, warnings: [] });
  expect(log).toEqual(['sync']);
});
