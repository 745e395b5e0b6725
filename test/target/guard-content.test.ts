/** The guard `content` on real devices and files that bear a signature each: refused, and forced by name. */

import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Guard } from '../../src/errors.ts';
import { writeDisk } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type LoopDevice, loopDevice, withLoop } from '../support/loop.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { bytesOf, SIGNED_DISKS, type SignedDisk } from '../support/signed-disks.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** An image of 192 KiB with data in the second third, and its disk. */
const vhd = dynamicVhd({ size: 192 * KiB, blockSize: 64 * KiB, blocks: new Map([[1, Buffer.alloc(64 * KiB, 'data')]]) });
const disk = Buffer.concat([Buffer.alloc(64 * KiB), Buffer.alloc(64 * KiB, 'data'), Buffer.alloc(64 * KiB)]);

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const write = (path: string, ...force: Guard[]): ReturnType<typeof writeDisk> => writeDisk(streamOf(vhd), path, { force });

/** The guard `busy` looks at every process of the host, which would take most of the time. */
const writeIdle = (path: string, ...force: Guard[]): ReturnType<typeof writeDisk> => write(path, 'busy', ...force);

const title = ({ what, part, offset }: SignedDisk): string => `${what}, ${part} at byte ${offset}`;
const rowsOf = (disks: readonly SignedDisk[]) => disks.map((signed, index) => [index, title(signed), signed] as const);

/** The signature, cut off where the disk ends. */
const patchesOf = (signed: SignedDisk) => bytesOf(signed).map(([at, bytes]) => [at, bytes.subarray(0, signed.size - at)] as const);

/** A VHD at byte 0 has a guard of its own. */
const guardOf = ({ what, offset }: SignedDisk): Guard => (what === 'a VHD' && offset === 0 ? 'vhd' : 'content');

async function isRefused(signed: SignedDisk, path: string): Promise<void> {
  const guard = guardOf(signed);
  const error = await failure(writeIdle(path));
  expect(error).toMatchObject({ code: guard === 'vhd' ? 'TARGET_VHD' : 'TARGET_CONTENT', exitCode: 3, guard, device: path });
  const found = guard === 'vhd' ? 'begins with "conectix", so it contains a VHD' : `holds ${title(signed)}`;
  expect(error.message).toBe(`${path} ${found}`);
}

describe('a device that bears', () => {
  /** Used by one row after the other: each leaves it zeroed. */
  const devices = new Map<string, { device: LoopDevice; model: Buffer }>();
  afterAll(() => {
    for (const { device } of devices.values()) device.detach();
  });

  function blank(size: number, sector: 512 | 4096): { device: LoopDevice; model: Buffer } {
    const key = `${size}/${sector}`;
    const made = devices.get(key) ?? { device: loopDevice({ size, sector }), model: Buffer.alloc(size) };
    devices.set(key, made);
    return made;
  }

  async function refusedAndForced(signed: SignedDisk, sector: 512 | 4096): Promise<void> {
    const { device, model } = blank(signed.size, sector);
    const put = (at: number, bytes: Uint8Array): void => {
      device.write(at, bytes);
      model.set(bytes, at);
    };
    for (const [at, bytes] of patchesOf(signed)) put(at, bytes);
    try {
      await isRefused(signed, device.path);
      expect(device.read(0, device.size).equals(model)).toBe(true);

      await writeIdle(device.path, guardOf(signed));
      model.set(disk, 0);
      expect(device.read(0, device.size).equals(model)).toBe(true);
    } finally {
      put(0, Buffer.alloc(disk.length));
      for (const [at, bytes] of patchesOf(signed)) put(at, Buffer.alloc(bytes.length));
    }
  }

  testWith('loop').each(rowsOf(SIGNED_DISKS))('%i: %s', async (_number, _title, signed) => {
    await refusedAndForced(signed, 512);
  });

  // One of each kind: what is found from the end of the disk lies elsewhere on a device of another size.
  const kinds = new Map(
    SIGNED_DISKS.filter(({ offset }) => offset <= 4 * MiB).map((signed) => [signed.what, { ...signed, size: 9 * MiB }]),
  );
  testWith('loop').each(rowsOf([...kinds.values()]))('%i: %s, with sectors of 4096 bytes', async (_number, _title, signed) => {
    await refusedAndForced(signed, 4096);
  });
});

describe('a file that bears', () => {
  test.each(rowsOf(SIGNED_DISKS))('%i: %s', async (_number, _title, signed) => {
    const path = join(testFolder(), 'disk.raw');
    const before = Buffer.alloc(signed.size);
    const file = openSync(path, 'w');
    ftruncateSync(file, signed.size);
    for (const [at, bytes] of patchesOf(signed)) {
      writeSync(file, bytes, 0, bytes.length, at);
      before.set(bytes, at);
    }
    closeSync(file);
    await isRefused(signed, path);
    expect(readFileSync(path).equals(before)).toBe(true);

    await writeIdle(path, guardOf(signed));
    expect(readFileSync(path).equals(disk)).toBe(true);
  });

  test('a footer at an end that is not a multiple of a sector', async () => {
    const path = join(testFolder(), 'disk.raw');
    const before = Buffer.concat([Buffer.alloc(5 * MiB + 777), fixedVhd(Buffer.alloc(512)).subarray(512)]);
    writeFileSync(path, before);
    const error = await failure(write(path));
    expect(error.message).toBe(`${path} holds a VHD, footer at byte ${5 * MiB + 777}`);
    expect(readFileSync(path).equals(before)).toBe(true);
    await write(path, 'content');
    expect(readFileSync(path).equals(disk)).toBe(true);
  });
});

describe('no other guard lifts', () => {
  const others = (guard: Guard): Guard[] =>
    (['parent', 'type', 'busy', 'size', 'vhd', 'content'] as const).filter((name) => name !== guard);

  test.each(['vhd', 'content'] as const)('%s of a file', async (guard) => {
    const path = join(testFolder(), 'disk.raw');
    const before = Buffer.alloc(4 * MiB, guard === 'vhd' ? 'conectix' : 'data');
    writeFileSync(path, before);
    expect(await failure(write(path, ...others(guard)))).toMatchObject({ exitCode: 3, guard });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  testWith('loop').each(['vhd', 'content'] as const)('%s of a device', async (guard) => {
    await withLoop({ size: 4 * MiB }, async (device) => {
      device.write(0, Buffer.from(guard === 'vhd' ? 'conectix' : 'bluestore block device'));
      const before = device.read(0, device.size);
      expect(await failure(write(device.path, ...others(guard)))).toMatchObject({ exitCode: 3, guard });
      expect(device.read(0, device.size).equals(before)).toBe(true);
    });
  });
});

describe('a tiny device', () => {
  const SIZES = [512, 1024, 1536, 3584, 4096, 4608, 8192, 65_024, 65_536];
  const gzip = Buffer.from('1f8b0800', 'hex');
  const sector = Buffer.alloc(512, 'x');
  const image = dynamicVhd({ size: 512, blockSize: 4 * KiB, blocks: new Map([[0, Buffer.concat([sector, Buffer.alloc(7 * 512)])]]) });
  const writeSector = (path: string, ...force: Guard[]): ReturnType<typeof writeDisk> =>
    writeDisk(streamOf(image), path, { force: ['busy', ...force] });

  testWith('loop').each(SIZES)('of %d bytes is written if it is empty or full of other data', async (size) => {
    for (const fill of [0, 0xaa]) {
      await withLoop({ size, fill }, async (device) => {
        await writeSector(device.path);
        expect(device.read(0, 512).equals(sector)).toBe(true);
        expect(device.holds(fill, 512, size)).toBe(true);
      });
    }
  });

  testWith('loop').each(SIZES)('of %d bytes is refused for what it bears at either end', async (size) => {
    for (const [at, bytes, found] of [
      [0, gzip, 'gzip-compressed data, header at byte 0'],
      [size - 512, Buffer.from('de11de11', 'hex'), `a member of a DDF RAID, anchor header at byte ${size - 512}`],
    ] as const) {
      await withLoop({ size }, async (device) => {
        device.write(at, bytes);
        const before = device.read(0, size);
        const error = await failure(writeSector(device.path));
        expect([error.code, error.message]).toEqual(['TARGET_CONTENT', `${device.path} holds ${found}`]);
        expect(device.read(0, size).equals(before)).toBe(true);
        await writeSector(device.path, 'content');
        expect(device.read(0, 512).equals(sector)).toBe(true);
      });
    }
  });
});
