/** Block devices as sources: VHDs as SM keeps them, VHDs that were copied to a device, and what else a device may hold. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished } from 'vitest';
import { check, info, verifyDisk, writeDisk } from '../../src/index.ts';
import { openPath } from '../../src/source/path.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type LoopDevice, loopDevice } from '../support/loop.ts';
import { dynamicVhd, fixedVhd, makeFooter } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const KIB = 1024;
const content = Buffer.concat([Buffer.alloc(64 * KIB), noise(64 * KIB, 1)]);
const vhd = dynamicVhd({ size: content.length, blockSize: 64 * KIB, blocks: new Map([[1, content.subarray(64 * KIB)]]), id: 5 });
const footer = vhd.subarray(-512);

/** A device that holds `parts` at their bytes; elsewhere zeros, or what was there before. */
function device(
  size: number,
  sector: 512 | 4096,
  parts: ReadonlyArray<readonly [at: number, bytes: Uint8Array]>,
  fill?: number,
): LoopDevice {
  const made = loopDevice({ size, sector, ...(fill === undefined ? {} : { fill }) });
  onTestFinished(made.detach);
  for (const [at, bytes] of parts) made.write(at, bytes);
  return made;
}

async function holdsTheDisk({ path }: LoopDevice, expected = content): Promise<string[]> {
  const target = join(testFolder(), 'disk.raw');
  expect(await info(path)).toMatchObject({ virtualSize: expected.length });
  const { warnings } = await writeDisk(path, target, { verify: true });
  expect(readFileSync(target).equals(expected)).toBe(true);
  await verifyDisk(path, target);
  expect((await check(path)).ok).toBe(true);
  return warnings.map(({ code }) => code);
}

describe.each([512, 4096] as const)('a device with sectors of %d bytes', (sector) => {
  const withLoop = testWith('loop');
  const size = 512 * KIB;

  withLoop('has a size, and is read at any byte', async () => {
    const { path } = device(size, sector, [[0, noise(size, 1)]]);
    const source = await openPath(path, {});
    onTestFinished(() => source.close());
    expect(source.cursor).toMatchObject({ seekable: true, isDevice: true, length: size });
    await source.cursor.moveTo(size - 700);
    expect(Buffer.compare(await source.cursor.read(700), noise(size, 1).subarray(-700))).toBe(0);
    await source.cursor.moveTo(5);
    expect(Buffer.compare(await source.cursor.peek(10), noise(size, 1).subarray(5, 15))).toBe(0);
  });

  withLoop('as SM makes it has the footer of the VHD at its end', async () => {
    const made = device(size, sector, [
      [0, vhd.subarray(0, -512)],
      [size - 512, footer],
    ]);
    expect(await holdsTheDisk(made)).toEqual([]);
  });

  withLoop('to which a VHD was copied may end in the footer of another one', async () => {
    for (const last of [
      makeFooter({ size: 1024 * KIB, type: 3, id: 9 }),
      makeFooter({ size: 64 * KIB, type: 2, id: 9 }),
      makeFooter({ size: content.length, type: 3, id: 9 }),
    ]) {
      const made = device(size, sector, [
        [0, vhd],
        [size - 512, last],
      ]);
      expect(await holdsTheDisk(made)).toEqual(['VHD_DEVICE_REST']);
    }
  });

  withLoop('may hold an archive, also if it is larger', async () => {
    const archive = tarOf([['disk.vhd', vhd]]);
    expect(await holdsTheDisk(device(size, sector, [[0, archive]]))).toEqual([]);
  });

  withLoop('is no VHD if it holds anything else', async () => {
    const { path } = device(size, sector, [[0, noise(size, 4)]]);
    expect(await failure(info(path))).toMatchObject({ code: 'FORMAT_UNKNOWN' });
    expect(await info(path, { raw: true })).toMatchObject({ virtualSize: size });
  });
});

testWith('loop')('a device of exactly the length of a fixed VHD is that disk, whatever it begins with', async () => {
  for (const disk of [content, Buffer.concat([tarOf([['0.vhd', vhd]]), noise(64 * KIB, 7)])]) {
    const whole = fixedVhd(disk.subarray(0, disk.length - (disk.length % 512)));
    expect(await holdsTheDisk(device(whole.length, 512, [[0, whole]]), whole.subarray(0, -512))).toEqual([]);
  }
});
