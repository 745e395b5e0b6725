/** From an image to a VDI: what the disk holds on every kind of storage repository. */

import { createHash } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { type ImportOptions, type ImportResult, importImage, type SourceInput } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import type { SrOptions } from '../stand-in/control.mjs';
import { type Host, startHost } from '../stand-in/host.ts';
import { chainTar, chunked, pair, permutations, sampleChain, storedVhds } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { makeDisk } from '../support/disk.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { eachImage } from '../support/images.ts';
import { bytesOf, expectDisk, toolstackOf } from '../support/imported.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import type { Answers } from '../support/producers/image.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');

const KiB = 1024;
const MiB = 2 ** 20;

let host: Host;
/** All that has been imported. */
const made: string[] = [];

beforeAll(async () => {
  host = await startHost();
});
afterAll(() => host?.stop());

type Options = Omit<ImportOptions, 'sr' | 'xe'>;

/** An import after which nothing else is there. */
async function imported(input: SourceInput | readonly SourceInput[], sr: string, options: Options = {}): Promise<ImportResult> {
  const result = await importImage(input, { ...options, sr, xe: toolstackOf(host) });
  made.push(result.vdi);
  assertClean(host, { vdis: made });
  expect(host.state().vdi.find(({ uuid }) => uuid === result.vdi)).toMatchObject({ sr, virtualSize: result.vdiSize, tags: [] });
  return result;
}

function stored(name: string, bytes: Uint8Array): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** An odd number of sectors; absent blocks, absent sectors with another's data under them, blocks in no order. */
const SIZE = 5 * MiB + 3 * 512;
const order = [70, 3, 4, 5, 80, 17, 0, 41, 42];
const sample = makeDisk({
  blockSize: 64 * KiB,
  size: SIZE,
  order,
  bitmaps: 'random',
  gap: 3,
  spare: 9,
  short: false,
  shortFooter: false,
  seed: 11,
});
/** Bytes that the VHD has: whole blocks, but for the one at the end of the disk. */
const DATA = (order.length - 1) * 64 * KiB + (SIZE % (64 * KiB));

interface Kind {
  readonly type: string;
  readonly options?: SrOptions;
  readonly raw?: boolean;
  /** Whether a new disk has its last owner's data, by xapi's own rule (xen-api, ocaml/xapi/sm_fs_ops.ml). */
  readonly stale?: boolean;
  /** What the storage manager rounds the size up to (sm, vhdutil.py and LVHDSR.py). */
  readonly unit: number;
}

const VHD = 2 * MiB;
const VOLUME = 4 * MiB;
const THICK = { allocation: 'thick' };

const KINDS: readonly Kind[] = [
  { type: 'lvm', unit: VHD },
  { type: 'lvm', raw: true, stale: true, unit: VOLUME },
  { type: 'ext', unit: VHD },
  { type: 'equal', options: { smConfig: THICK }, stale: true, unit: VHD },
].flatMap((kind) =>
  (['backend', 'kernel'] as const).flatMap((device) =>
    ([512, 4096] as const).map((sector) => ({ ...kind, options: { ...kind.options, device, sector } })),
  ),
);

const MORE_KINDS: readonly Kind[] = [
  { type: 'lvmoiscsi', unit: VHD },
  { type: 'lvmoiscsi', raw: true, stale: true, unit: VOLUME },
  { type: 'lvmohba', raw: true, stale: true, unit: VOLUME },
  { type: 'lvm', options: { smConfig: {} }, stale: true, unit: VOLUME },
  { type: 'lvmohba', options: { smConfig: { use_vhd: 'false', allocation: 'thick' } }, stale: true, unit: VOLUME },
  { type: 'lvm', options: { smConfig: { use_vhd: 'true', allocation: 'thin' } }, unit: VHD },
  { type: 'nfs', unit: VHD },
  { type: 'nfs', raw: true, unit: 512 },
  { type: 'ext', raw: true, options: { device: 'kernel' }, unit: 512 },
  { type: 'smb', unit: VHD },
  { type: 'equal', options: { smConfig: { allocation: 'thin' } }, unit: VHD },
  // A type that vdistream has no rule for.
  { type: 'zfs-vol', unit: VHD },
];

const nameOf = ({ type, raw, options: { smConfig, device = 'backend', sector = 512 } = {} }: Kind): string =>
  [type, raw ? 'raw' : '', smConfig === undefined ? '' : JSON.stringify(smConfig), device, sector].filter((part) => part !== '').join(', ');

describe('the disk of the VDI', () => {
  test.each([...KINDS, ...MORE_KINDS].map((kind) => [nameOf(kind), kind] as const))(
    'is the image, with zeros after it, on %s',
    async (_, kind) => {
      const { type, options, raw = false, stale = false, unit } = kind;
      // What shows old data looks like an LVM physical volume and an ext file system, which no guard may refuse on a new VDI.
      const sr = await host.sr(type, { ...options, signatures: true });
      const size = Math.ceil(SIZE / unit) * unit;
      const result = await imported(stored('image.vhd', sample.vhd), sr, { rawVdi: raw, verify: true });
      expectDisk(bytesOf(host, result.vdi), sample.content, size);
      // Where old data shows nothing is left alone, and where none does nothing is written for nothing.
      const empty = size - DATA;
      expect(result).toMatchObject({ bytesWritten: DATA, bytesZeroed: stale ? empty : 0, bytesSkipped: stale ? 0 : empty });
      expect(result).toMatchObject({ sr, vdiSize: size, virtualSize: SIZE, verified: true, bytesRewritten: 0, direct: true });
      // A raw volume is written to itself, all else through what the toolstack names.
      const named = options?.device === 'kernel' ? /^\/dev\/loop\d+$/ : `/dev/sm/backend/${sr}/${result.vdi}`;
      expect(result.target).toMatch(raw && type.startsWith('lvm') ? `/dev/sm/phy/${sr}/${result.vdi}` : named);
    },
  );
});

describe('in every form of an image', () => {
  /** Where nothing that is forgotten passes for zero. */
  let stale: string;
  beforeAll(async () => {
    stale = await host.sr('lvm');
  });
  const raw = { rawVdi: true, verify: true } as const;

  test.each([
    ['a VHD', 'image.vhd', sample.vhd],
    ['a compressed VHD', 'image.vhd.gz', gzipSync(sample.vhd)],
    ['an OVA', 'image.ova', tarOf([['./image.vhd', sample.vhd]])],
    [
      'a compressed tar, as Nova uploads it',
      'image.tar.gz',
      gzipSync(
        tarOf([
          ['./', Buffer.alloc(0)],
          ['./0.vhd', sample.vhd],
        ]),
      ),
    ],
    ['an OVA with a fixed VHD', 'image.ova', tarOf([['image.vhd', fixedVhd(sample.content)]])],
  ])('%s is imported unchanged, from a file and from a stream', async (_, name, bytes) => {
    for (const input of [stored(name, bytes), chunked(bytes)]) {
      const { vdi, vdiSize, bytesRead } = await imported(input, stale, raw);
      expectDisk(bytesOf(host, vdi), sample.content, 8 * MiB);
      expect({ vdiSize, bytesRead: typeof input === 'string' ? 'as needed' : bytesRead }).toEqual({
        vdiSize: 8 * MiB,
        bytesRead: typeof input === 'string' ? 'as needed' : bytes.length,
      });
    }
  });

  test('a raw disk is imported if its size is given', async () => {
    const { vdi } = await imported(chunked(sample.content), stale, { ...raw, raw: true, virtualSize: SIZE });
    expectDisk(bytesOf(host, vdi), sample.content, 8 * MiB);
  });

  describe('a chain', () => {
    const { vhds, content } = sampleChain({ shuffled: true });

    test.each(permutations(3))('is flattened in any order of its layers: %i, %i, %i', async (...order) => {
      const { vdi, layers } = await imported(stored('chain.ova', chainTar(vhds, order)), stale, raw);
      expect(layers).toBe(3);
      expectDisk(bytesOf(host, vdi), content, VOLUME);
    });

    test('is flattened from a stream with its deepest layer first, if the size of the leaf is given', async () => {
      const { vdi, bytesRewritten } = await imported(chunked(chainTar(vhds, [2, 1, 0])), stale, { ...raw, virtualSize: content.length });
      expect(bytesRewritten).toBeGreaterThan(0);
      expectDisk(bytesOf(host, vdi), content, VOLUME);
    });

    test('is flattened from a compressed stream that ends with the leaf, once the layers before it have been staged', async () => {
      const staging = testFolder();
      const { vdi } = await imported(chunked(gzipSync(chainTar(vhds, [2, 1, 0]))), stale, { ...raw, staging });
      expectDisk(bytesOf(host, vdi), content, VOLUME);
      expect(readdirSync(staging)).toEqual([]);
    });

    test.each([
      ['the size of its leaf', pair(), 1],
      ['another size than its leaf', pair(200, 400), 2],
    ] as const)('of a compressed file that begins with a layer of %s is read into one VDI', async (_, { vhds, content }, created) => {
      const before = await creations();
      const { vdi, vdiSize } = await imported(stored('chain.tar.gz', gzipSync(chainTar(vhds, [1, 0]))), stale, raw);
      expectDisk(bytesOf(host, vdi), content, vdiSize);
      // A VDI of the wrong size is removed.
      expect((await creations()) - before).toBe(created);
    });

    test('is flattened from files', async () => {
      const { vdi } = await imported(storedVhds(testFolder(), vhds), stale, raw);
      expectDisk(bytesOf(host, vdi), content, VOLUME);
    });

    test('that ends with the leaf and is not staged is refused before a VDI is created', async () => {
      const tar = gzipSync(chainTar(vhds, [2, 1, 0]));
      const before = await creations();
      const error = await failure(importImage(chunked(tar), { sr: stale, xe: toolstackOf(host) }));
      expect(error).toMatchObject({ code: 'CHAIN_ORDER', left: [] });
      expect(await creations()).toBe(before);
    });
  });

  // One sector, and sizes around the units of a VHD and of a volume, also on devices with sectors of 4096 bytes.
  const sizes = [1, 4095, 4096, 4097, 8191, 8192, 8193].flatMap((sectors) =>
    ([512, 4096] as const).map((sector) => [sectors, sector] as const),
  );

  test.each(sizes)('a disk of %i sectors has its exact end, with sectors of %i bytes', async (sectors, sector) => {
    const sr = await host.sr('lvm', { sector });
    const content = Buffer.from(noise(sectors * 512, sectors));
    const { vdi, vdiSize } = await imported(stored('odd.vhd', fixedVhd(content)), sr, raw);
    expect(vdiSize).toBe(Math.ceil((sectors * 512) / VOLUME) * VOLUME);
    expectDisk(bytesOf(host, vdi), content, vdiSize);
  });
});

const creations = async (): Promise<number> => (await host.calls()).filter(([command]) => command === 'vdi-create').length;

describe('the zero policy', () => {
  /** Data, then a block of zeros that is there, then nothing. */
  const content = Buffer.concat([noise(2 * MiB, 5), Buffer.alloc(6 * MiB)]);
  const image = dynamicVhd({
    size: 8 * MiB,
    blocks: new Map([
      [0, content.subarray(0, 2 * MiB)],
      [1, Buffer.alloc(2 * MiB)],
    ]),
  });
  const STALE = 0xaa;

  test.each([
    ['is the one that the SR calls for', 'ext', undefined, { bytesWritten: 2 * MiB, bytesZeroed: 0, bytesSkipped: 6 * MiB }],
    ['zeroes what is empty, if it is asked to', 'ext', 'auto', { bytesWritten: 2 * MiB, bytesZeroed: 6 * MiB, bytesSkipped: 0 }],
    ['writes all zeros, if it is asked to', 'ext', 'write', { bytesWritten: 4 * MiB, bytesZeroed: 4 * MiB, bytesSkipped: 0 }],
    ['zeroes on a raw volume', 'lvm', undefined, { bytesWritten: 2 * MiB, bytesZeroed: 6 * MiB, bytesSkipped: 0 }],
  ] as const)('%s', async (_, type, zero, counts) => {
    const result = await imported(stored('image.vhd', image), await host.sr(type), { zero, rawVdi: type === 'lvm' });
    expect(result).toMatchObject(counts);
    expectDisk(bytesOf(host, result.vdi), content);
  });

  test('skips holes on a raw volume only if the caller says so', async () => {
    const result = await imported(stored('image.vhd', image), await host.sr('lvm'), { zero: 'assume-zero', rawVdi: true });
    expect(result).toMatchObject({ bytesWritten: 2 * MiB, bytesZeroed: 0, bytesSkipped: 6 * MiB });
    const old = Buffer.from(content).fill(STALE, 2 * MiB);
    expectDisk(bytesOf(host, result.vdi), old);
  });

  test('does not hide from verification that a volume did not read zero as assumed', async () => {
    const sr = await host.sr('lvm');
    const options = { sr, rawVdi: true, zero: 'assume-zero', verify: true, xe: toolstackOf(host) } as const;
    const error = await failure(importImage(stored('image.vhd', image), options));
    expect(error).toMatchObject({ code: 'VERIFY_MISMATCH', offset: 2 * MiB, left: [] });
    assertClean(host, { vdis: made });
  });
});

/** Each small disk, and each order of a chain. */
const others = ({ file, expect, virtualSize }: Answers): boolean => {
  const small = /^(real|generated|qemu-img|made\/(tapdisk|xen-orchestra|windows|any))\//.test(file) && (virtualSize ?? Infinity) < 3 * MiB;
  return expect === 'ok' && (small || /^(ova|made\/archive)\/nova/.test(file));
};

eachImage('$file arrives as the disk that is known', { where: others, needs: ['root', 'loop', 'g++'] }, async (image) => {
  const size = image.virtualSize ?? 0;
  const sr = await host.sr('lvm', { sector: 4096 });
  const { vdi } = await imported(await image.store(testFolder()), sr, { rawVdi: true });
  const bytes = bytesOf(host, vdi);
  expect(createHash('sha256').update(bytes.subarray(0, size)).digest('hex')).toBe(image.sha256raw);
  expectDisk(bytes, bytes.subarray(0, size), Math.ceil(size / VOLUME) * VOLUME);
});
