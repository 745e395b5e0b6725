import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { constants, gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import type { Chunks } from '../src/cursor.ts';
import { addonIfAny } from '../src/host/native.ts';
import { info, VdiStreamError, writeDisk } from '../src/index.ts';
import { collect, noise } from '../test/support/chunks.ts';
import { dynamicParts, makeFooter, makeHeader } from '../test/support/make-vhd.mjs';
import { paxHeader, TAR_END, tarHeader, tarMember } from '../test/support/tar.ts';

// Or what earlier tests have left would be counted, or be collected meanwhile and hide what is looked for.
setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

const MIB = 1 << 20;
const folder = mkdtempSync(join(tmpdir(), 'vdistream-memory-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The outcome of a call on a hostile image: an error code or the size, and by how much memory grew while it ran, in bytes. */
async function cost(
  call: (input: string | Chunks) => Promise<{ virtualSize: number | undefined }>,
  input: string | Chunks,
): Promise<[string, number]> {
  // Twice: a thread of V8 frees the buffers that the first one found.
  collectGarbage();
  collectGarbage();
  const before = used();
  let most = before;
  const look = (): void => {
    most = Math.max(most, used());
  };
  const timer = setInterval(look, 2);
  try {
    const outcome = await call(typeof input === 'string' ? input : watched(input, look)).then(
      ({ virtualSize }) => String(virtualSize),
      (error: unknown) => {
        if (!(error instanceof VdiStreamError)) throw error;
        return error.code;
      },
    );
    look();
    return [outcome, most - before];
  } finally {
    clearInterval(timer);
  }
}

/** Memory outside of V8's heap, where buffers are, and the heap itself. */
function used(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}

async function* watched(source: Chunks, look: () => void): Chunks {
  for await (const chunk of source) {
    look();
    yield chunk;
  }
}

/** `bytes` and then zeros up to `length`, from one piece of memory. */
async function* zeros(bytes: Uint8Array, length: number): Chunks {
  yield bytes;
  const megabyte = new Uint8Array(MIB);
  for (let at = bytes.length; at < length; at += MIB) yield megabyte.subarray(0, Math.min(MIB, length - at));
}

/** A dynamic VHD's front: what a decoder believes before it has seen a block. */
function front(options: { size: number; entries: number; blockSize: number; table?: Uint8Array }): Buffer {
  return Buffer.concat([
    makeFooter({ size: options.size, type: 3 }),
    makeHeader({ entries: options.entries, blockSize: options.blockSize }),
    options.table ?? Buffer.alloc(512, 0xff),
  ]);
}

const toNull = (input: string | Chunks): Promise<{ virtualSize: number }> => writeDisk(input, 'null:');
/** Memory of the pool and two inflate windows, and garbage that has not been collected yet. */
const WRITING = 120 * MIB;
const LOOKING = 40 * MIB;
/** Of V8 only where there is no addon to allocate it. */
const POOL = addonIfAny() === undefined ? 48 * MIB : 0;

describe('a header that claims a huge size does not make vdistream allocate it', () => {
  test.each<[string, Uint8Array, string]>([
    ['ffffffff table entries', front({ size: 1 << 20, entries: 0xffffffff, blockSize: 4096, table: Buffer.alloc(1024, 0xff) }), '1048576'],
    ['as many blocks as 32 bits can count', front({ size: 2 ** 41 - 512, entries: 0xffffffff, blockSize: 512 }), 'VHD_TABLE_LARGE'],
    ['the largest table that is accepted', front({ size: 2 ** 31, entries: 4 << 20, blockSize: 512 }), 'SOURCE_TRUNCATED'],
    ['blocks of 1 GiB', front({ size: 2 ** 40, entries: 1024, blockSize: 1 << 30 }), 'VHD_BLOCK_SIZE'],
    ['a size of 2^53 - 512', front({ size: 2 ** 53 - 512, entries: 0xffffffff, blockSize: 256 << 20 }), 'VHD_TABLE_LARGE'],
    ['a long name of 64 MiB', Buffer.concat([tarHeader({ type: 'L', size: 64 << 20 }), noise(5000, 1)]), 'TAR_EXTENSION'],
    ['a pax header of 64 MiB', Buffer.concat([tarHeader({ type: 'x', size: 64 << 20 }), noise(5000, 1)]), 'TAR_EXTENSION'],
  ])('%s', async (_, bytes, expected) => {
    const quick = (input: string | Chunks) => info(input, { quick: true });
    for (const [call, limit] of [[quick, LOOKING] as const, [toNull, LOOKING + POOL] as const]) {
      const [outcome, grown] = await cost(call, zeros(bytes, bytes.length));
      expect(outcome).toBe(expected);
      expect(grown).toBeLessThan(limit);
    }
  });

  test('the largest accepted block table, every block allocated, costs no more than ARCHITECTURE.md says', async () => {
    const entries = 4 << 20;
    const table = new Uint8Array(entries * 4);
    const view = new DataView(table.buffer);
    const first = (1536 + table.length) / 512;
    // Backwards, so that they must be sorted.
    for (let block = 0; block < entries; block++) view.setUint32(block * 4, first + (entries - 1 - block) * 2);
    const bytes = front({ size: 2 ** 31, entries, blockSize: 512, table });
    const [outcome, grown] = await cost((input) => info(input, { quick: true }), zeros(bytes, bytes.length));
    expect(outcome).toBe(String(2 ** 31));
    // 48 MiB, and as much again for what has not been collected.
    expect(grown).toBeLessThan(96 * MIB);
  });
});

describe('a long image with little content is read in constant memory:', () => {
  test('an endless sequence of long names', async () => {
    async function* chain(): Chunks {
      const link = tarMember({ name: '././@LongLink', type: 'L' }, Buffer.alloc(60_000, 'a'));
      for (let count = 0; count < 5000; count++) yield link;
    }
    const [outcome, grown] = await cost(info, chain());
    expect(outcome).toBe('SOURCE_TRUNCATED');
    expect(grown).toBeLessThan(WRITING);
  });

  test('a hundred thousand members, none of them a disk', async () => {
    async function* members(): Chunks {
      for (let count = 0; count < 1000; count++) {
        yield Buffer.concat(
          Array.from({ length: 100 }, (_, index) => Buffer.concat([paxHeader({ path: `${count}/${index}` }), tarHeader()])),
        );
      }
      yield TAR_END;
    }
    const [outcome, grown] = await cost(info, members());
    expect(outcome).toBe('DISK_NONE');
    expect(grown).toBeLessThan(WRITING);
  });

  test('one block of 256 MiB', async () => {
    const blockSize = 256 << 20;
    const table = Buffer.alloc(512, 0xff);
    table.writeUInt32BE(4, 0);
    const bytes = front({ size: blockSize, entries: 1, blockSize, table });
    async function* source(): Chunks {
      yield* zeros(bytes, bytes.length + 65_536 + blockSize);
      yield makeFooter({ size: blockSize, type: 3 });
    }
    const [outcome, grown] = await cost(toNull, source());
    expect(outcome).toBe(String(blockSize));
    expect(grown).toBeLessThan(WRITING);
  });

  test('a gzip of 2 GiB of zeros, which is not an image', async () => {
    const path = join(folder, 'bomb.gz');
    const file = openSync(path, 'w');
    // Many members of one 64 MiB run: a thousand to one.
    const member = gzipSync(new Uint8Array(64 * MIB));
    for (let count = 0; count < 32; count++) writeSync(file, member);
    closeSync(file);
    for (const call of [info, toNull]) {
      const [outcome, grown] = await cost(call, path);
      expect(['FORMAT_UNKNOWN', 'VHD_FOOTER']).toContain(outcome);
      expect(grown).toBeLessThan(WRITING);
    }
  });

  test('a gzip with an endless file name', async () => {
    async function* source(): Chunks {
      yield Buffer.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]);
      const name = new Uint8Array(MIB).fill(0x61);
      for (let count = 0; count < 500; count++) yield name;
    }
    const [outcome, grown] = await cost(info, source());
    expect(outcome).toBe('COMPRESSION_TRUNCATED');
    expect(grown).toBeLessThan(LOOKING);
  });

  test('a disk of terabytes that is a single hole, in a tiny gzip', async () => {
    const parts = [...dynamicParts({ size: 2 ** 41 - 2 ** 31, blocks: new Map() })];
    async function* stream(): Chunks {
      yield gzipSync(Buffer.concat(parts), { level: constants.Z_BEST_COMPRESSION });
    }
    const [outcome, grown] = await cost(toNull, stream());
    expect(outcome).toBe(String(2 ** 41 - 2 ** 31));
    expect(grown).toBeLessThan(WRITING);
  });
});

describe('a disk of tiny blocks, each as small as its bitmap, is read in constant memory', () => {
  /** Sparse: blocks of 512 bytes, each after its bitmap and `gap` empty sectors. */
  function tinyBlocks(gap: number): { path: string; size: number } {
    const entries = 131_072;
    const table = Buffer.alloc(entries * 4);
    const first = (1536 + table.length) / 512;
    for (let block = 0; block < entries; block++) table.writeUInt32BE(first + gap + block * (gap + 2), block * 4);
    const size = entries * 512;
    const path = join(folder, `tiny-${gap}.vhd`);
    const file = openSync(path, 'w');
    const bytes = front({ size, entries, blockSize: 512, table });
    writeSync(file, bytes);
    const length = bytes.length + entries * (gap + 2) * 512;
    writeSync(file, makeFooter({ size, type: 3 }), 0, 512, length);
    ftruncateSync(file, length + 512);
    closeSync(file);
    return { path, size };
  }

  test.each([0, 7, 8])('with %d sectors between them', async (gap) => {
    const { path, size } = tinyBlocks(gap);
    const [outcome, grown] = await cost(toNull, path);
    expect(outcome).toBe(String(size));
    expect(grown).toBeLessThan(WRITING);
  });
});

test('the memory measurement in these tests notices an allocation', async () => {
  const hoard: Uint8Array[] = [];
  async function* source(): Chunks {
    for (let count = 0; count < 150; count++) {
      hoard.push(new Uint8Array(MIB).fill(1));
      yield new Uint8Array(1);
    }
  }
  const [, grown] = await cost((input) => collect(input as Chunks).then(() => ({ virtualSize: 0 })), source());
  expect(grown).toBeGreaterThan(WRITING);
  expect(hoard.length).toBe(150);
});
