import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { withSources } from '../../src/engine/open.ts';
import { check, createPool, info, type Progress, writeDisk } from '../../src/index.ts';
import type { Opener } from '../../src/source/source.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { imageOpener } from '../support/image-opener.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { tarOf } from '../support/tar.ts';

const MIB = 1 << 20;
const vhd = dynamicVhd({ size: 32 * MIB, blocks: new Map([2, 5, 9].map((block) => [block, Buffer.alloc(2 * MIB, `block ${block}`)])) });
const archive = tarOf([['0.vhd', vhd]]);

async function* chunks(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Descriptors that this process holds, by what they are. */
const descriptors = (): number => readdirSync('/proc/self/fd').length;

test('anything that yields bytes can be a source', async () => {
  const result = await writeDisk(chunks(gzipSync(archive)), 'null:');
  expect(result).toMatchObject({ virtualSize: 32 * MIB, bytesWritten: 6 * MIB, bytesSkipped: 26 * MIB, member: '0.vhd' });
});

test('a source that fails to close does not change the reported outcome, and the others are still closed', async () => {
  const other = imageOpener(vhd);
  const stubborn: Opener = {
    name: 'stubborn',
    async open(options) {
      const source = await imageOpener(vhd).open(options);
      return {
        ...source,
        async close() {
          await source.close();
          throw new Error('not closed');
        },
      };
    },
  };
  await withSources([other, stubborn], {}, async () => {});
  expect(other.closed()).toBe(1);
  expect(await writeDisk(stubborn, 'null:')).toMatchObject({ virtualSize: 32 * MIB });
});

test('progress counts completed work, never decreases, and ends at the size of the disk', async () => {
  const seen: Progress[] = [];
  const target = join(testFolder(), 'disk.raw');
  await writeDisk(chunks(archive), target, { verify: true, onProgress: (progress) => seen.push(progress) });
  for (const phase of ['write', 'verify']) {
    const done = seen.filter((progress) => progress.phase === phase).map((progress) => progress.done);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBe(32 * MIB);
  }
});

test('several writes can share one pool, which gets every buffer back', async () => {
  const pool = createPool({ count: 3 });
  const folder = testFolder();
  const results = await Promise.all([1, 2, 3, 4].map((n) => writeDisk(chunks(archive), join(folder, `${n}.raw`), { pool, verify: true })));
  expect(results.map((result) => result.verified)).toEqual([true, true, true, true]);
  expect(pool.free).toBe(3);
});

test('anything unusual but harmless is reported as it is found and listed in the result', async () => {
  const reported: string[] = [];
  const odd = archive.subarray(0, archive.length - 1024);
  const result = await writeDisk(chunks(odd), 'null:', { onWarning: ({ code }) => reported.push(code) });
  expect(reported).toEqual(['TAR_END_MISSING']);
  expect(result.warnings.map(({ code }) => code)).toEqual(reported);
});

describe('cancelling', () => {
  test.each([
    ['a plain archive', archive],
    ['a compressed one', gzipSync(archive)],
  ])(
    '%s that stalls rejects with CANCELLED immediately, every buffer and descriptor is released and no file is left',
    async (_what, bytes) => {
      const folder = testFolder();
      const pool = createPool({ count: 4 });
      const stop = new AbortController();
      async function* stalling(): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, Math.floor(bytes.length * 0.7));
        stop.abort();
        await new Promise(() => {});
      }
      const before = descriptors();
      const work = writeDisk(stalling(), join(folder, 'disk.raw'), { pool, signal: stop.signal });
      await expect(work).rejects.toMatchObject({ code: 'CANCELLED', exitCode: 130 });
      expect(readdirSync(folder)).toEqual([]);
      expect(pool.free).toBe(4);
      expect(descriptors()).toBe(before);
    },
  );

  test('nothing starts if the signal has already fired', async () => {
    const folder = testFolder();
    await expect(writeDisk(chunks(archive), join(folder, 'disk.raw'), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([
    ['info', info],
    ['check', check],
  ])('%s of a compressed file stops in the middle', async (_what, look) => {
    const source = join(testFolder(), 'image.tar.gz');
    writeFileSync(source, gzipSync(tarOf([['0.vhd', fixedVhd(noise(32 * MIB, 1))]]), { level: 0 }));
    const stop = new AbortController();
    const before = descriptors();
    await expect(look(source, { signal: stop.signal, onProgress: () => stop.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(descriptors()).toBe(before);
  });

  test('a write from a file is cancelled between two blocks', async () => {
    const folder = testFolder();
    const source = join(folder, 'image.vhd');
    writeFileSync(source, fixedVhd(Buffer.alloc(64 * MIB, 'data')));
    const stop = new AbortController();
    const before = descriptors();
    const work = writeDisk(source, join(folder, 'disk.raw'), { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(work).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(readdirSync(folder)).toEqual(['image.vhd']);
    expect(descriptors()).toBe(before);
  });
});

test('an error of the source is reported as SOURCE_READ, with the offset and its cause', async () => {
  const cause = new Error('the network is gone');
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield archive.subarray(0, 8192);
    throw cause;
  }
  await expect(writeDisk(failing(), 'null:')).rejects.toMatchObject({ code: 'SOURCE_READ', offset: 8192, cause });
});

test('a fixed VHD from a pipe of unknown length is not written without its size, which info finds', async () => {
  const fixed = fixedVhd(Buffer.alloc(MIB, 'x'));
  await expect(writeDisk(chunks(fixed), 'null:')).rejects.toMatchObject({ code: 'DISK_SIZE_UNKNOWN' });
  await expect(info(chunks(fixed))).resolves.toMatchObject({ virtualSize: MIB });
  const folder = testFolder();
  writeFileSync(join(folder, 'fixed.vhd'), fixed);
  writeFileSync(join(folder, 'fixed.vhd.gz'), gzipSync(fixed));
  for (const name of ['fixed.vhd', 'fixed.vhd.gz']) {
    await expect(info(join(folder, name))).resolves.toMatchObject({ kind: 'vhd', virtualSize: MIB });
  }
});

describe('a fixed VHD whose content is itself a VHD', () => {
  const inner = dynamicVhd({ size: 4 * MIB, blocks: new Map([[1, Buffer.alloc(2 * MIB, 'inner')]]) });
  const nested = fixedVhd(inner);

  test('is the outer disk if the end can be read first', async () => {
    const folder = testFolder();
    writeFileSync(join(folder, 'nested.vhd'), nested);
    writeFileSync(join(folder, 'nested.tar'), tarOf([['0.vhd', nested]]));
    for (const name of ['nested.vhd', 'nested.tar']) {
      await expect(info(join(folder, name))).resolves.toMatchObject({ virtualSize: inner.length, disks: [{ type: 'fixed' }] });
    }
  });

  test('is refused in a stream rather than read as the inner VHD', async () => {
    await expect(writeDisk(chunks(tarOf([['0.vhd', nested]])), 'null:')).rejects.toMatchObject({
      code: 'VHD_FOOTERS_DIFFER',
      member: '0.vhd',
    });
  });
});
