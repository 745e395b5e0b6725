/** Signatures on disks made by hand. */

import { randomFillSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeContent, findContent } from '../../src/disk/probe.ts';
import { SIGNATURES } from '../../src/disk/signatures.ts';
import { rangeReader } from '../support/range-reader.ts';
import { bytesOf, ODD_SIZE, SIGNED_DISKS, type SignedDisk } from '../support/signed-disks.ts';

type Patches = ReturnType<typeof bytesOf>;

const contentOf = (size: number, patches: Patches): ReturnType<typeof findContent> => findContent(size, rangeReader(size, patches).read);

const title = ({ what, part, offset }: SignedDisk): string => `${what}, ${part} at byte ${offset}`;

test.each(SIGNED_DISKS.map((disk) => [title(disk), disk] as const))('%s is found', async (expected, disk) => {
  const content = await contentOf(disk.size, bytesOf(disk));
  expect(content).toEqual({ what: disk.what, part: disk.part, offset: disk.offset });
  expect(content && describeContent(content)).toBe(expected);
});

test('every signature is tested at every place', () => {
  const tested = new Set(SIGNED_DISKS.map(title));
  const untested = SIGNATURES.filter(({ part }) => part !== 'uberblock').flatMap(({ what, part, at }) =>
    (typeof at === 'function' ? at(ODD_SIZE) : at).map((offset) => `${what}, ${part} at byte ${offset}`),
  );
  expect(untested.filter((place) => !tested.has(place))).toEqual([]);
});

test('a signature with a wrong byte is not found', async () => {
  for (const disk of SIGNED_DISKS) {
    const damaged = bytesOf(disk).map(
      ([at, bytes]) => [at, Uint8Array.from(bytes, (value, index) => (index === 0 ? value ^ 0x40 : value))] as const,
    );
    expect(await contentOf(disk.size, damaged), title(disk)).toBeUndefined();
  }
});

test('the end of the disk may cut off what follows a magic', async () => {
  const gzip = Buffer.from('1f8b0800', 'hex');
  expect(await contentOf(20, [[0, gzip]])).toMatchObject({ what: 'gzip-compressed data' });
  expect(await contentOf(512, [[0, gzip]])).toMatchObject({ what: 'gzip-compressed data' });
});

describe('nothing is found on', () => {
  test('a disk of zeros of any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 32_000 }), async (sectors) => {
        expect(await contentOf(sectors * 512, [])).toBeUndefined();
      }),
    );
  });

  test('a disk of random bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1 << 21 }), async (sectors) => {
        const { read } = rangeReader(sectors * 512, [], (bytes) => randomFillSync(bytes));
        expect(await findContent(sectors * 512, read)).toBeUndefined();
      }),
      { numRuns: 20 },
    );
  });

  test('a boot sector without partitions', async () => {
    const code = new Uint8Array(446).fill(0x90);
    const boot = [510, Uint8Array.of(0x55, 0xaa)] as const;
    expect(await contentOf(ODD_SIZE, [[0, code], boot])).toBeUndefined();
    expect(await contentOf(ODD_SIZE, [[0, new Uint8Array(510).fill(0x90)], boot])).toBeUndefined();
  });
});

test('no range passes the end, whatever the size, and little is read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 43 }), fc.boolean(), async (size, isFile) => {
      const rounded = isFile ? size : size - (size % 512);
      const { read, ranges } = rangeReader(rounded, []);
      await findContent(rounded, read);
      expect(ranges.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(2 * 1024 * 1024);
      expect(ranges.length).toBeLessThanOrEqual(12);
      expect(ranges).toEqual(ranges.toSorted((a, b) => a.offset - b.offset));
    }),
  );
});

test('a signature that the end of the disk cuts off is not found, and is not read past the end', async () => {
  for (const disk of SIGNED_DISKS) {
    const last = Math.max(...bytesOf(disk).map(([at]) => at));
    for (const size of [last, last - 1]) {
      if (size > 0) await findContent(size, rangeReader(size, bytesOf(disk)).read);
    }
  }
});

test('a read that returns less than it should is no error', async () => {
  for (const disk of SIGNED_DISKS) {
    const { read } = rangeReader(disk.size, bytesOf(disk));
    await findContent(disk.size, async (offset, length) => (await read(offset, length)).subarray(0, length - 4095));
    expect(await findContent(disk.size, async () => new Uint8Array())).toBeUndefined();
  }
});

test('an error of the disk is thrown', async () => {
  const error = new Error('EIO');
  await expect(findContent(ODD_SIZE, () => Promise.reject(error))).rejects.toBe(error);
});

describe('of several signatures', () => {
  const disk = (what: string, part?: string): Patches => {
    const found = SIGNED_DISKS.find((candidate) => candidate.what === what && (part === undefined || candidate.part === part));
    if (found === undefined) throw new Error(what);
    return bytesOf(found);
  };
  const ext = 'an ext2, ext3 or ext4 file system';
  const gpt = 'a GPT partition table';

  test.each([
    ['a VHD', [disk('a VHD'), disk('an MBR partition table')]],
    ['a member of an md RAID', [disk('a member of an md RAID'), disk(gpt, 'header'), disk(ext)]],
    ['a DRBD device', [disk('a DRBD device'), disk(ext)]],
    [gpt, [disk(gpt, 'header'), disk(gpt, 'backup header'), disk('an MBR partition table')]],
    ['an MBR partition table', [disk('an MBR partition table'), disk(ext)]],
    ['an ISO 9660 file system', [disk('an ISO 9660 file system'), disk('an MBR partition table'), disk(gpt, 'header')]],
    [ext, [disk(ext), disk(gpt, 'backup header')]],
    ['a LUKS container', [disk('a LUKS container', 'header'), disk('a LUKS container', 'secondary header')]],
  ])('the outermost is named: %s', async (what, patches) => {
    expect(await contentOf(ODD_SIZE, patches.flat())).toMatchObject({ what });
  });
});
