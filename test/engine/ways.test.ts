/** Every way in is the same: a file, a pipe, compressed, a member of an archive, a URL, a block device; for every call. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { check, type DiskInput, info, verifyDisk, type WriteOptions, writeDisk } from '../../src/index.ts';
import { noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer } from '../support/http-server.ts';
import { loopDevice } from '../support/loop.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const KIB = 1024;
type Way = 'file' | 'pipe' | 'gzip' | 'gzip pipe' | 'member' | 'member pipe' | 'gzip member' | 'url' | 'gzip url' | 'device';
const WAYS: readonly Way[] = ['file', 'pipe', 'gzip', 'gzip pipe', 'member', 'member pipe', 'gzip member', 'url', 'gzip url'];

/** What each way of an image leads to: the disk, or a code. */
interface Row {
  readonly name: string;
  readonly bytes: Buffer;
  readonly content?: Buffer;
  readonly codes?: Partial<Record<Way | 'otherwise', string>>;
  /** Codes of info and check, where writing needs more than they do. */
  readonly described?: Partial<Record<Way, string | undefined>>;
  readonly isArchive?: boolean;
}

const SIZE = 512 * KIB;
const content = Buffer.concat([Buffer.alloc(256 * KIB), noise(256 * KIB, 1)]);
const dynamic = dynamicVhd({ size: SIZE, blockSize: 256 * KIB, blocks: new Map([[1, content.subarray(256 * KIB)]]) });
const fixed = fixedVhd(content);
const other = tarOf([['0.vhd', dynamicVhd({ size: 64 * KIB, blockSize: 64 * KIB, blocks: new Map([[0, Buffer.alloc(64 * KIB, 7)]]) })]]);

/** A disk that begins with `front`. */
const beginning = (front: Uint8Array): Buffer => Buffer.concat([front, noise(SIZE - front.length, 3)]);
const tape = beginning(other);
const gzipTape = beginning(gzipSync(noise(1000, 2)));
const headerless = beginning(Buffer.from([0x1f, 0x8b, 8, 0x20]));

const fitting = { pipe: undefined, 'gzip pipe': undefined };
const ROWS: readonly Row[] = [
  { name: 'a dynamic VHD', bytes: dynamic, content },
  { name: 'an archive', bytes: tarOf([['disk.vhd', dynamic]]), content, isArchive: true },
  { name: 'an archive with a fixed VHD', bytes: tarOf([['disk.vhd', fixed]]), content, isArchive: true },
  {
    name: 'a fixed VHD',
    bytes: fixed,
    content,
    codes: { pipe: 'DISK_SIZE_UNKNOWN', 'gzip pipe': 'DISK_SIZE_UNKNOWN' },
    described: fitting,
  },
  {
    name: 'a fixed VHD whose disk begins with a tar',
    bytes: fixedVhd(tape),
    content: tape,
    codes: { pipe: 'FORMAT_END', gzip: 'FORMAT_END', 'gzip pipe': 'FORMAT_END', url: 'FORMAT_END', 'gzip url': 'FORMAT_END' },
  },
  {
    name: 'a fixed VHD whose disk begins with a gzip header that is none',
    bytes: fixedVhd(headerless),
    content: headerless,
    codes: { pipe: 'FORMAT_END', 'gzip pipe': 'FORMAT_END', 'member pipe': 'FORMAT_END', url: 'FORMAT_END', 'gzip url': 'FORMAT_END' },
  },
  {
    name: 'a fixed VHD whose disk begins with a gzip file',
    bytes: fixedVhd(gzipTape),
    content: gzipTape,
    codes: { pipe: 'FORMAT_END', 'gzip pipe': 'FORMAT_END', 'member pipe': 'FORMAT_END', url: 'FORMAT_END', 'gzip url': 'FORMAT_END' },
  },
  {
    name: 'a qcow2 image',
    bytes: Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), noise(100 * KIB, 1)]),
    codes: { otherwise: 'FORMAT_OTHER' },
  },
  { name: 'gzip in gzip in gzip', bytes: gzipSync(gzipSync(gzipSync(dynamic))), codes: { otherwise: 'COMPRESSION_NESTED' } },
  { name: 'a damaged gzip file', bytes: gzipSync(dynamic).subarray(0, -1), codes: { otherwise: 'COMPRESSION_TRUNCATED' } },
];

function stored(bytes: Uint8Array, name = 'image'): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

async function served(image: Buffer): Promise<string> {
  return (await httpServer({ image })).url();
}

function onDevice(bytes: Buffer, sector: 512 | 4096 = 512): string {
  const device = loopDevice({ size: Math.ceil(bytes.length / sector) * sector, sector });
  onTestFinished(device.detach);
  device.write(0, bytes);
  return device.path;
}

const pipe = (bytes: Buffer): DiskInput => reusing(bytes, [65_536, 1000]);
const asMember = (bytes: Buffer): Buffer => tarOf([['disk.vhd', bytes]]);

/** Called for each use: a pipe can be read once. */
function inputs({ bytes }: Row, way: Way): () => Promise<DiskInput> | DiskInput {
  const packed = way.startsWith('gzip') ? gzipSync(bytes, { level: 1 }) : bytes;
  switch (way) {
    case 'file':
    case 'gzip': {
      const path = stored(packed);
      return () => path;
    }
    case 'pipe':
    case 'gzip pipe':
      return () => pipe(packed);
    case 'member': {
      const path = stored(asMember(bytes));
      return () => path;
    }
    case 'gzip member': {
      const path = stored(asMember(packed));
      return () => path;
    }
    case 'member pipe':
      return () => pipe(asMember(bytes));
    case 'url':
    case 'gzip url':
      return () => served(packed);
    default: {
      const path = onDevice(bytes);
      return () => path;
    }
  }
}

async function sameEverywhere(row: Row, way: Way, options: WriteOptions = {}): Promise<void> {
  const input = inputs(row, way);
  const target = join(testFolder(), 'disk.raw');
  const code = row.codes?.[way] ?? row.codes?.otherwise;
  const described = row.described !== undefined && way in row.described ? row.described[way] : code;

  const found = await check(await input());
  const errors = found.findings.filter(({ severity }) => severity === 'error').map((finding) => finding.code);
  if (described === undefined) {
    expect(errors).toEqual([]);
    expect(await info(await input())).toMatchObject({ virtualSize: row.content?.length });
  } else {
    expect(errors).toContain(described);
    expect((await failure(info(await input()))).code).toBe(described);
  }
  if (code === undefined) {
    await writeDisk(await input(), target, { verify: true, ...options });
    expect(readFileSync(target).equals(row.content ?? Buffer.alloc(0))).toBe(true);
    await verifyDisk(await input(), target, options);
  } else {
    expect((await failure(writeDisk(await input(), target, options))).code).toBe(code);
    expect(existsSync(target)).toBe(false);
    expect((await failure(verifyDisk(await input(), stored(content), options))).code).toBe(code);
  }
}

describe.each(ROWS)('$name', (row) => {
  const ways = WAYS.filter((way) => !(row.isArchive && way.includes('member')));
  test.each(ways)('has the same answer as %s', (way) => sameEverywhere(row, way));
  // A device has no bytes that are no sector.
  if (row.bytes.length % 512 === 0) testWith('loop')('has the same answer on a block device', () => sameEverywhere(row, 'device'));
});

test.each<Way>(['pipe', 'gzip pipe', 'url', 'gzip url'])('a fixed VHD is written from a %s, if its size is given', async (way) => {
  for (const bytes of [fixed, fixed.subarray(0, -1)]) {
    await sameEverywhere({ name: '', bytes, content }, way, { virtualSize: content.length });
  }
});

test.each([-512, 512])('a fixed VHD is not written with a size that is wrong by %d bytes', async (by) => {
  const target = join(testFolder(), 'disk.raw');
  for (const bytes of [fixed, gzipSync(fixed)]) {
    const error = await failure(writeDisk(pipe(bytes), target, { virtualSize: content.length + by }));
    expect(error.code).toMatch(/^(?:VHD_SIZE|VHD_FOOTER)$/);
    expect(existsSync(target)).toBe(false);
  }
});

test('a compressed fixed VHD in an archive is read twice from a file, whether the archive has a manifest or is compressed', async () => {
  const packed = gzipSync(fixed);
  const digest = execFileSync('sha256sum', [stored(packed)], { encoding: 'utf8' }).slice(0, 64);
  const plain = tarOf([['disk.vhd.gz', packed]]);
  const signed = tarOf([
    ['box.mf', Buffer.from(`SHA256(disk.vhd.gz)= ${digest}\n`)],
    ['disk.vhd.gz', packed],
  ]);
  for (const archive of [plain, signed, gzipSync(plain), gzipSync(signed)]) {
    await sameEverywhere({ name: '', bytes: archive, content }, 'file');
    await sameEverywhere({ name: '', bytes: archive, content }, 'pipe', { virtualSize: content.length });
    const result = await writeDisk(await served(archive), join(testFolder(), 'disk.raw'));
    expect(result.warnings.map(({ code }) => code)).toEqual(['FETCHED_TWICE']);
    expect((await failure(writeDisk(pipe(archive), join(testFolder(), 'disk.raw')))).code).toBe('DISK_SIZE_UNKNOWN');
  }
});

test('a raw disk that is compressed is fetched twice for its size, too', async () => {
  const target = join(testFolder(), 'disk.raw');
  const { warnings } = await writeDisk(await served(gzipSync(content)), target, { raw: true });
  expect(warnings.map(({ code }) => code)).toEqual(['FETCHED_TWICE']);
  expect(readFileSync(target).equals(content)).toBe(true);
  expect(await info(pipe(gzipSync(content)), { raw: true })).toMatchObject({ virtualSize: content.length });
});

test('what ends as a fixed VHD is no raw disk either', async () => {
  const error = await failure(writeDisk(stored(fixedVhd(tape)), join(testFolder(), 'disk.raw'), { raw: true }));
  expect(error).toMatchObject({ code: 'FORMAT_OTHER', message: expect.stringContaining('VHD') });
});

describe.each([
  ['gzip', 'gz'],
  ['zstd', 'zst'],
  ['xz', 'xz'],
  ['bzip2', 'bz2'],
  ['lz4', 'lz4'],
] as const)('compressed with %s', (program, extension) => {
  const compress = (bytes: Uint8Array): Buffer =>
    program === 'gzip' ? gzipSync(bytes) : execFileSync(program, ['-c'], { input: bytes, maxBuffer: 1 << 28 });
  const withProgram = program === 'gzip' ? test : testWith(program);

  withProgram.each<readonly [string, Buffer]>([
    ['dynamic', dynamic],
    ['fixed', fixed],
  ])('a %s VHD is the same as without', async (kind, vhd) => {
    const packed = compress(vhd);
    const options = kind === 'fixed' ? { virtualSize: content.length } : {};
    for (const bytes of [packed, gzipSync(packed), tarOf([[`disk.vhd.${extension}`, packed]])]) {
      await sameEverywhere({ name: '', bytes, content }, 'file');
      await sameEverywhere({ name: '', bytes, content }, 'pipe', options);
    }
  });

  withProgram('a disk that begins like it is the disk, where the end can be seen', async () => {
    for (const disk of [beginning(compress(noise(1000, 5))), beginning(compress(noise(10, 5)).subarray(0, 12))]) {
      const row = { name: '', bytes: fixedVhd(disk), content: disk };
      for (const way of ['file', 'gzip', 'member', 'gzip member'] as const) await sameEverywhere(row, way);
      const error = await failure(info(pipe(row.bytes)));
      expect(['FORMAT_END', 'COMPRESSION_TRUNCATED', 'COMPRESSION_DATA']).toContain(error.code);
    }
  });
});
