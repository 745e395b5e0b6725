import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { openDisks } from '../../src/image/disks.ts';
import type { Warning } from '../../src/warnings.ts';
import { pair, sampleChain, stored, storedVhds } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd, fixedVhd, makeFooter } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { openFilesIn } from '../support/open-files.ts';
import { bytesAt, opened, openedDisk } from '../support/readable.ts';
import { tarOf } from '../support/tar.ts';

const SECTOR = 512;
const KIB = 1024;

const blocks = new Map([[1, noise(4096, 2)]]);
const dynamic = dynamicVhd({ size: 3 * 4096, blockSize: 4096, blocks });
const content = Buffer.concat([Buffer.alloc(4096), noise(4096, 2), Buffer.alloc(4096)]);

describe('a file', () => {
  test('that begins with a copy of a VHD footer is a VHD', async () => {
    const disk = await openedDisk([stored(testFolder(), 'disk', dynamic)]);
    expect((await bytesAt(disk, 0, disk.size)).equals(content)).toBe(true);
  });

  test.each([
    ['noise', noise(4096, 1)],
    ['a gzip', gzipSync(noise(4000, 1), { level: 0 }).subarray(0, 3584)],
    ['a dynamic VHD', dynamic],
  ])('that ends in the footer of a fixed VHD is one, even if its disk begins with %s', async (_, data) => {
    const disk = await openedDisk([stored(testFolder(), 'disk', fixedVhd(data))]);
    expect(disk.size).toBe(data.length);
    expect((await bytesAt(disk, 0, data.length)).equals(data)).toBe(true);
  });

  test('without either is a raw disk', async () => {
    const disk = await openedDisk([stored(testFolder(), 'disk', noise(4096, 1))]);
    expect((await bytesAt(disk, 0, 4096)).equals(noise(4096, 1))).toBe(true);
  });

  test.each(['fixed.vhd', 'fixed.VHD', 'fixed.avhd'])(
    'without either, but with the name %s, is refused: a cut VHD is no raw disk',
    async (name) => {
      const path = stored(testFolder(), name, noise(4096, 1));
      await expect(opened([path])).rejects.toMatchObject({ code: 'VHD_FOOTER', member: path });
      expect((await openedDisk([path], { raw: true })).size).toBe(4096);
    },
  );

  const damaged = Buffer.from(dynamic);
  damaged[70] = 0xaa;
  const cutFixed = fixedVhd(noise(4096, 1));
  cutFixed[4096 + 70] = 0xaa;
  test.each([
    ['at its start', damaged, 'VHD_FOOTER_CHECKSUM', 64],
    ['at its end', cutFixed, 'VHD_FOOTER_CHECKSUM', 4096 + 64],
    ['only at its end, of a dynamic VHD', Buffer.concat([noise(4096, 1), dynamic.subarray(-512)]), 'VHD_TYPE', 4096 + 60],
  ])('with a footer %s that is damaged or misplaced is an error, not a raw disk', async (_, bytes, code, offset) => {
    const path = stored(testFolder(), 'disk', Buffer.from(bytes));
    await expect(opened([path])).rejects.toMatchObject({ code, member: path, offset });
    expect((await openedDisk([path], { raw: true })).size).toBe(bytes.length);
  });

  const images: ReadonlyArray<readonly [string, Uint8Array]> = [
    ['a tar archive', tarOf([['0.vhd', dynamic]])],
    ['compressed', gzipSync(dynamic)],
    ['compressed', Buffer.from('\x28\xb5\x2f\xfd zstd', 'latin1')],
    ['compressed', Buffer.from('\xfd7zXZ\0', 'latin1')],
    ['compressed', Buffer.from('BZh91AY&SY')],
    ['compressed', Buffer.from('\x04\x22\x4d\x18 lz4', 'latin1')],
    ['a qcow2 image', Buffer.from('QFI\xfb', 'latin1')],
    ['a VMDK image', Buffer.from('KDMV')],
    ['a VHDX image', Buffer.from('vhdxfile')],
    ['a VDI (VirtualBox) image', Buffer.concat([Buffer.alloc(64), Buffer.from('\x7f\x10\xda\xbe', 'latin1')])],
    ['a ZIP archive', Buffer.from('PK\x03\x04')],
  ];

  test.each(images)('that is %s is refused, with what to do, and exported as it is with raw', async (what, start) => {
    const bytes = Buffer.concat([start, Buffer.alloc(Math.ceil((start.length + 1) / SECTOR) * SECTOR - start.length)]);
    const path = stored(testFolder(), 'disk', bytes);
    await expect(opened([path])).rejects.toMatchObject({
      code: 'EXPORT_IMAGE',
      device: path,
      message: `${path} is ${what}, not a disk`,
      advice: expect.stringContaining('`vdistream write` first'),
    });
    const disk = await openedDisk([path], { raw: true });
    expect((await bytesAt(disk, 0, bytes.length)).equals(bytes)).toBe(true);
  });

  test('that is empty is an error', async () => {
    const path = stored(testFolder(), 'empty', Buffer.alloc(0));
    await expect(opened([path])).rejects.toMatchObject({ code: 'DISK_EMPTY', device: path });
  });

  test('that is missing, a folder or a FIFO cannot be opened', async () => {
    const folder = testFolder();
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const path of [join(folder, 'missing'), folder, fifo]) {
      await expect(opened([path])).rejects.toMatchObject({ code: 'SOURCE_OPEN', device: path });
    }
  });
});

describe('several sources', () => {
  test('are chains, which end with a VHD that has no parent, and disks of their own', async () => {
    const folder = testFolder();
    const three = sampleChain();
    const two = pair();
    const chain = storedVhds(folder, three.vhds);
    const [leaf = '', base = ''] = two.vhds.map((vhd, rank) => stored(folder, `other-${rank}.vhd`, vhd));
    const raw = stored(folder, 'disk.raw', noise(8192, 4));
    const fixed = stored(folder, 'fixed.vhd', fixedVhd(noise(1024, 4)));
    const disks = await opened([...chain, raw, leaf, base, fixed]);
    expect(disks.map(({ name, size }) => [name, size])).toEqual([
      [chain[0], three.content.length],
      [raw, 8192],
      [leaf, two.content.length],
      [fixed, 1024],
    ]);
    for (const [index, expected] of [three.content, noise(8192, 4), two.content, noise(1024, 4)].entries()) {
      const disk = disks[index];
      expect(disk && (await bytesAt(disk, 0, expected.length)).equals(expected)).toBe(true);
    }
  });

  test('of which a parent is compressed, or has lost its footers, are refused for that', async () => {
    const folder = testFolder();
    const [leaf = '', base = Buffer.alloc(0)] = [stored(folder, 'leaf.vhd', pair().vhds[0] ?? Buffer.alloc(0)), pair().vhds[1]];
    const packed = stored(folder, 'base.vhd.gz', gzipSync(base));
    await expect(opened([leaf, packed])).rejects.toMatchObject({ code: 'EXPORT_IMAGE', device: packed });
    const cut = stored(folder, 'base.vhd', base.subarray(512, -512));
    await expect(opened([leaf, cut])).rejects.toMatchObject({ code: 'VHD_FOOTER', member: cut });
  });

  test('are all raw on request', async () => {
    const { vhds } = pair();
    const disks = await opened(storedVhds(testFolder(), vhds), { raw: true });
    expect(disks.map(({ size }) => size)).toEqual(vhds.map(({ length }) => length));
  });

  test('may be openers, which are never layers', async () => {
    const folder = testFolder();
    const [leaf = '', base = ''] = storedVhds(folder, pair().vhds);
    const [inner] = await openDisks([base], { raw: true, rawBase: false, anyParent: false, onWarning: () => {} });
    if (inner === undefined) throw new Error('no disk');
    const opener = { name: 'an opener', open: async () => inner };
    const options = { raw: false, rawBase: false, anyParent: false, onWarning: () => {} };
    const [disk] = await openDisks([opener], options);
    expect(disk).toBe(inner);
    await expect(openDisks([leaf, opener], options)).rejects.toMatchObject({ code: 'VHD_DIFFERENCING', member: leaf });
    await inner.close();
  });

  test('that cannot all be opened are all closed', async () => {
    const folder = testFolder();
    const [leaf = '', base = ''] = storedVhds(folder, pair().vhds);
    const raw = stored(folder, 'disk.raw', noise(8192, 4));
    for (const bad of [join(folder, 'missing'), stored(folder, 'a.tar.gz', gzipSync(dynamic)), leaf]) {
      await expect(opened([leaf, base, raw, bad])).rejects.toThrow();
      expect(openFilesIn(folder)).toEqual([]);
    }
  });
});

describe('a device', () => {
  const size = 256 * KIB;

  testWith('loop')('that begins with a VHD is one, whatever follows it, and may be a layer', async () => {
    const { vhds, content: expected } = pair();
    await withLoop({ size, fill: 0xaa }, async (leaf) => {
      await withLoop({ size, sector: 4096, fill: 0xaa }, async (base) => {
        leaf.write(0, vhds[0] ?? Buffer.alloc(0));
        base.write(0, vhds[1] ?? Buffer.alloc(0));
        const warnings: Warning[] = [];
        const [disk, ...others] = await openDisks([leaf.path, base.path], {
          raw: false,
          rawBase: false,
          anyParent: false,
          onWarning: (warning) => warnings.push(warning),
        });
        expect(others).toEqual([]);
        expect(disk && (await bytesAt(disk, 0, expected.length)).equals(expected)).toBe(true);
        expect(await disk?.sharesBytesWith(base.path)).toBe(true);
        await disk?.close();
        expect(warnings).toMatchObject([
          { code: 'VHD_DEVICE_REST', member: leaf.path },
          { code: 'VHD_DEVICE_REST', member: base.path },
        ]);
      });
    });
  });

  testWith('loop').each([
    ['a gzip at its start', 0, gzipSync(dynamic)],
    ['the footer of a fixed VHD at its end', size - 512, makeFooter({ size: size - 512, type: 2 })],
    ['a tar at its start', 0, tarOf([['0.vhd', dynamic]])],
  ])('with %s is a raw disk', async (_, at, bytes) => {
    await withLoop({ size, fill: 0xaa }, async (device) => {
      device.write(at, bytes);
      const [disk] = await openDisks([device.path], { raw: false, rawBase: false, anyParent: false, onWarning: () => {} });
      expect(disk?.size).toBe(size);
      await disk?.close();
    });
  });

  testWith('loop')('that begins with a dynamic VHD and ends in the footer of another one is refused', async () => {
    await withLoop({ size }, async (device) => {
      device.write(0, dynamic);
      for (const type of [2, 4]) {
        device.write(size - 512, makeFooter({ size: 3 * 4096, type }));
        execFileSync('blockdev', ['--flushbufs', device.path]);
        const opening = openDisks([device.path], { raw: false, rawBase: false, anyParent: false, onWarning: () => {} });
        await expect(opening).rejects.toMatchObject({ code: 'VHD_FOOTERS_DIFFER', member: device.path });
      }
    });
  });
});
