import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { check, createPool, info, type SourceInput, verifyDisk, type WriteOptions, type WriteResult, writeDisk } from '../../src/index.ts';
import { chunked, stored, streamed } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { fixedVhd, makeFooter } from '../support/make-vhd.mjs';
import { type Entry, sample, waysOf } from '../support/packages.ts';
import { tarOf } from '../support/tar.ts';

const SECTOR = 512;
const vhd = sample(1);
/** Data, a long hole, and data up to the end. */
const raw = Buffer.concat([noise(70_000, 1), Buffer.alloc(200_704 - 70_000), noise(66_000 - 464, 2)]);
// Small buffers, so that there are many.
const pool = createPool({ count: 3, size: 16_384 });

/** What must be on the target: the bytes, and zeros up to the end of the last sector. */
const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc((SECTOR - (bytes.length % SECTOR)) % SECTOR)]);

async function write(input: () => SourceInput, content: Uint8Array, options: WriteOptions = {}): Promise<WriteResult> {
  const target = stored(testFolder(), 'disk', Buffer.alloc(content.length + 4096, 0xaa));
  const result = await writeDisk(input(), target, { ...options, pool, verify: true, force: ['content'] });
  expect(readFileSync(target).equals(content)).toBe(true);
  expect(result).toMatchObject({ virtualSize: content.length, layers: 1 });
  await expect(verifyDisk(input(), target, { ...options, pool })).resolves.toMatchObject({ bytesCompared: content.length });
  expect(pool.free).toBe(pool.count);
  return result;
}

describe('a member', () => {
  test.each(['disk.raw', 'disk.img', 'DISK.IMG', './folder/root.raw'])('named %s is a raw disk', async (name) => {
    for (const { input } of waysOf(testFolder(), [
      ['readme', noise(300, 1)],
      [name, raw],
      ['disk.raw.sig', noise(9, 1)],
    ])) {
      const result = await write(input, raw);
      expect(result).toMatchObject({ type: 'raw', member: name.replace('./', ''), ignored: ['readme', 'disk.raw.sig'], warnings: [] });
      const found = await info(input());
      expect(found).toMatchObject({ kind: 'tar', virtualSize: raw.length, disks: [{ type: 'raw', allocatedBytes: raw.length }] });
      await expect(check(input())).resolves.toMatchObject({ ok: true, findings: [], disks: [{ type: 'raw', virtualSize: raw.length }] });
    }
  });

  test('is raw when the caller says so and names it', async () => {
    for (const { input } of waysOf(testFolder(), [
      ['a.bin', noise(512, 3)],
      ['b.bin', raw],
    ])) {
      expect(await write(input, raw, { raw: true, disk: 'b.bin' })).toMatchObject({ type: 'raw', member: 'b.bin' });
    }
  });

  test('named .img that begins like a VHD is a VHD', async () => {
    for (const { input } of waysOf(testFolder(), [['disk.img', vhd.vhd]]))
      expect(await write(input, vhd.content)).toMatchObject({ type: 'dynamic' });
  });

  test('that is itself compressed is not decompressed: a raw disk may begin with any bytes', async () => {
    const bytes = padded(gzipSync(raw));
    for (const { input } of waysOf(testFolder(), [['disk.raw', bytes]])) await write(input, bytes);
  });

  test('without any bytes is not a disk', async () => {
    for (const options of [{}, { raw: true }]) {
      for (const { input, name } of waysOf(testFolder(), [['disk.raw', Buffer.alloc(0)]])) {
        const target = join(testFolder(), 'disk');
        const error = await failure(writeDisk(input(), target, options));
        expect(error, name).toMatchObject({ code: 'DISK_EMPTY', member: 'disk.raw' });
        expect(existsSync(target)).toBe(false);
      }
    }
  });
});

describe('an archive with a VHD and a raw disk', () => {
  const entries: Entry[] = [
    ['system.vhd', vhd.vhd],
    ['boot.img', raw],
  ];

  test('holds one disk, the VHD, if that comes first or the archive is seekable', async () => {
    for (const { input } of waysOf(testFolder(), entries)) {
      expect(await write(input, vhd.content)).toMatchObject({ member: 'system.vhd', ignored: ['boot.img'] });
    }
    for (const { input, jumps, name } of waysOf(testFolder(), entries.toReversed())) {
      if (jumps) expect(await write(input, vhd.content)).toMatchObject({ member: 'system.vhd', ignored: ['boot.img'] });
      else expect(await failure(writeDisk(input(), join(testFolder(), 'disk'))), name).toMatchObject({ code: 'DISK_AMBIGUOUS' });
    }
  });

  test('yields the raw disk when it is named', async () => {
    for (const order of [entries, entries.toReversed()]) {
      for (const { input } of waysOf(testFolder(), order))
        expect(await write(input, raw, { disk: 'boot.img' })).toMatchObject({ type: 'raw' });
    }
  });
});

test('with two raw disks is ambiguous', async () => {
  for (const { input } of waysOf(testFolder(), [
    ['a.raw', raw],
    ['b.img', raw],
  ])) {
    expect(await failure(writeDisk(input(), 'null:'))).toMatchObject({
      code: 'DISK_AMBIGUOUS',
      message: expect.stringMatching(/a\.raw.*b\.img/),
    });
  }
});

describe('a bare raw disk', () => {
  const hint = { raw: true, virtualSize: raw.length };

  test('is written from a file, plain or compressed, without a given size', async () => {
    const folder = testFolder();
    const [path, packed] = [stored(folder, 'disk', raw), stored(folder, 'disk.gz', gzipSync(raw))];
    for (const source of [path, packed]) {
      expect(await write(() => source, raw, { raw: true })).toMatchObject({
        type: 'raw',
        member: undefined,
        warnings: [],
        bytesWritten: expect.any(Number),
      });
      await expect(info(source, { raw: true })).resolves.toMatchObject({ kind: 'raw', virtualSize: raw.length, ignored: [] });
      await expect(check(source, { raw: true })).resolves.toMatchObject({ ok: true, findings: [] });
    }
  });

  test('is written from a stream, plain or compressed, if its size is known or given', async () => {
    for (const bytes of [raw, gzipSync(raw)]) {
      await write(() => chunked(bytes, [700, 4096]), raw, hint);
      await write(() => streamed(stored(testFolder(), 'disk', bytes)), raw, hint);
    }
  });

  test.each<[string, Uint8Array, WriteOptions, string]>([
    ['of unknown size', raw, { raw: true }, 'DISK_SIZE_UNKNOWN'],
    ['shorter than the given size', raw.subarray(0, -1), hint, 'SOURCE_TRUNCATED'],
    ['longer than the given size', Buffer.concat([raw, Buffer.alloc(1)]), hint, 'RAW_SIZE'],
    ['much longer than the given size', Buffer.concat([raw, raw]), hint, 'RAW_SIZE'],
  ])('from a stream %s is refused, and leaves no file', async (_, bytes, options, code) => {
    for (const stream of [bytes, gzipSync(bytes)]) {
      const target = join(testFolder(), 'disk');
      expect(await failure(writeDisk(chunked(stream, [5000]), target, { ...options, pool }))).toMatchObject({ code });
      expect(existsSync(target)).toBe(false);
      expect(pool.free).toBe(pool.count);
    }
  });

  test('with a checksum from the caller is read in order, and its length is still known', async () => {
    const path = stored(testFolder(), 'disk', raw);
    await write(() => path, raw, { raw: true, sha256: createHash('sha256').update(raw).digest('hex') });
    expect(await failure(writeDisk(path, 'null:', { raw: true, sha256: '0'.repeat(64) }))).toMatchObject({ code: 'SOURCE_CHECKSUM' });
  });

  test('is never guessed: unless the caller says it is raw, it is refused', async () => {
    const folder = testFolder();
    const shape = { code: 'FORMAT_UNKNOWN', advice: expect.stringContaining('--raw') };
    for (const bytes of [raw, gzipSync(raw)]) {
      const path = stored(folder, 'disk', bytes);
      expect(await failure(writeDisk(path, 'null:'))).toMatchObject(shape);
      expect(await failure(info(path))).toMatchObject(shape);
    }
  });

  test('without any bytes is not a disk', async () => {
    const path = stored(testFolder(), 'disk', Buffer.alloc(0));
    for (const input of [path, chunked(Buffer.alloc(0)), chunked(gzipSync(Buffer.alloc(0)))]) {
      expect(await failure(writeDisk(input, 'null:', { raw: true }))).toMatchObject({ code: 'SOURCE_EMPTY' });
    }
  });

  test('is never what a VHD is read as, even if the caller says it is raw', async () => {
    const differencing = Buffer.concat([makeFooter({ size: 1 << 20, type: 4 }), vhd.vhd.subarray(512)]);
    for (const bytes of [vhd.vhd, differencing]) {
      const path = stored(testFolder(), 'disk', bytes);
      for (const input of [path, chunked(bytes), chunked(gzipSync(bytes))]) {
        const error = await failure(writeDisk(input, 'null:', { raw: true, virtualSize: bytes.length }));
        expect(error).toMatchObject({ code: 'FORMAT_OTHER', message: expect.stringContaining('--raw') });
      }
    }
  });
});

test.each([1, 511, 513, 16_384 + 1, 3 * 16_384 - 1, 16_384 + 512])(
  'a raw disk of %d bytes is padded with zeros to a whole sector, with a warning',
  async (length) => {
    const bytes = noise(length, 4);
    const odd = length % SECTOR > 0;
    const warning = { code: 'RAW_PADDED', offset: length - (length % SECTOR) };
    const path = stored(testFolder(), 'disk', bytes);
    const bare = { raw: true, virtualSize: length };
    for (const input of [() => path, () => chunked(bytes, [300]), () => chunked(gzipSync(bytes))]) {
      expect((await write(input, padded(bytes), bare)).warnings).toMatchObject(odd ? [warning] : []);
    }
    for (const { input } of waysOf(testFolder(), [['disk.raw', bytes]])) {
      expect((await write(input, padded(bytes))).warnings).toMatchObject(odd ? [{ ...warning, member: 'disk.raw' }] : []);
    }
    const strict = writeDisk(path, 'null:', { raw: true, strict: true });
    if (odd) expect(await failure(strict)).toMatchObject({ code: 'STRICT', message: expect.stringContaining('RAW_PADDED') });
    else await strict;
  },
);

describe('a member named like a raw disk', () => {
  test('in another format is refused, and the format is named', async () => {
    for (const { input } of waysOf(testFolder(), [['disk.img', Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), noise(2044, 1)])]])) {
      expect(await failure(writeDisk(input(), 'null:'))).toMatchObject({ code: 'FORMAT_OTHER', member: 'disk.img' });
    }
  });

  test('that ends with the footer of a fixed VHD is a fixed VHD, if its end can be read first', async () => {
    const data = noise(8192, 3);
    const path = stored(testFolder(), 'image.tar', tarOf([['disk.img', fixedVhd(data)]]));
    expect(await write(() => path, data)).toMatchObject({ type: 'fixed' });
  });
});
