/** `vdistream import --device`: to a device that is there already. */

import { closeSync, constants, openSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { host, MiB, made, refused, run, sr, stored } from '../support/cli-import.ts';
import { content, vhd } from '../support/glance-stand-in.ts';
import { expectDisk } from '../support/imported.ts';
import { type LoopDevice, type LoopOptions, withLoop } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');

describe('--device', () => {
  const OLD = 0xaa;
  const withOld = <T>(use: (device: LoopDevice) => Promise<T>, options: Partial<LoopOptions> = {}): Promise<T> =>
    withLoop({ size: 4 * MiB, fill: OLD, ...options }, use);
  const noXe = { env: { VDISTREAM_XE: '/nowhere/xe', VDISTREAM_INVENTORY: '/nowhere' } };

  test.each([512, 4096] as const)('writes to all of a device, without a toolstack, with sectors of %i bytes', async (sector) => {
    await withOld(
      async (device) => {
        const { status, stdout, stderr } = await run(['import', stored('image.vhd', vhd), '--device', device.path, '--verify'], noXe);
        expect({ status, said: status === 0 ? '' : stderr }).toEqual({ status: 0, said: '' });
        expect(stdout).toMatch(/^Wrote .* to \/dev\/loop\d+: 192 KiB written, 3.81 MiB zeroed, 0 B skipped, verified; /);
        expectDisk(device.read(0, device.size), content);
      },
      { sector },
    );
  });

  test('leaves alone what reads as zero on a new disk of the SR that is named, and makes no VDI there', async () => {
    await withOld(async (device) => {
      const { status, stdout } = await run(['import', stored('image.vhd', vhd), '--device', device.path, '--sr', sr, '--json']);
      expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: 0, target: device.path, bytesZeroed: 0 });
      expect(device.read(0, content.length).equals(content)).toBe(true);
      expect(device.holds(OLD, content.length, device.size)).toBe(true);
      assertClean(host, { vdis: made });
    });
  });

  test.each([
    ['a raw volume on LVM', ['--raw-vdi'], {}],
    ['an SR from before there were VHDs on LVM', [], { smConfig: {} }],
    ['a device that is zeroed on request', ['--zero=auto'], {}],
  ])('zeroes what would show old data: %s', async (_, args, options) => {
    const lvm = await host.sr('lvm', options);
    await withOld(async (device) => {
      const { status, stdout } = await run(['import', stored('image.vhd', vhd), '--device', device.path, '--sr', lvm, ...args, '--quiet']);
      expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
      expectDisk(device.read(0, device.size), content);
    });
  });

  test('has the guards of write: of a device that is too small, that is in use, that is none', async () => {
    const image = stored('image.vhd', vhd);
    const small = await withOld((device) => refused([image, '--device', device.path], 3, noXe), { size: 128 * 1024 });
    expect(small).toContain('(TARGET_SMALL)');
    await withOld(async (device) => {
      // As whoever mounts it does.
      const held = openSync(device.path, constants.O_RDONLY | constants.O_EXCL);
      try {
        expect(await refused([image, '--device', device.path], 3, noXe)).toContain('(TARGET_BUSY)');
      } finally {
        closeSync(held);
      }
      expect(device.holds(OLD, 0, device.size)).toBe(true);
    });
    expect(await refused([image, '--device', '/dev/null'], 3, noXe)).toContain('(TARGET_TYPE)');
    expect(await refused([image, '--device', '/dev/nowhere'], 1, noXe)).toContain('(TARGET_OPEN)');
  });
});
