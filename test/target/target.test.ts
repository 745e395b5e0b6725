import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { native } from '../../src/host/native.ts';
import { deviceTarget, type TargetOptions, writeDisk } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;

function image(folder: string, size = 8 * MIB): string {
  const path = join(folder, 'image.vhd');
  writeFileSync(path, dynamicVhd({ size, blocks: new Map([[1, Buffer.alloc(2 * MIB, 'data')]]) }));
  return path;
}

/** Opens and closes immediately, to see whether it is allowed. */
async function tryOpen(path: string, options: TargetOptions): Promise<void> {
  await (await deviceTarget(path).open(options)).close();
}

describe('guards', () => {
  test('refuse a character device by type, with exit status 3', async () => {
    await expect(tryOpen('/dev/null', { size: MIB })).rejects.toMatchObject({ code: 'TARGET_TYPE', exitCode: 3, guard: 'type' });
  });

  test('refuse a directory by type, with exit status 3, whatever is lifted, and offer nothing to lift', async () => {
    for (const force of [[], ['type' as const]]) {
      const error = await failure(tryOpen(testFolder(), { size: MIB, force }));
      expect(error).toMatchObject({
        code: 'TARGET_TYPE',
        exitCode: 3,
        guard: undefined,
        advice: expect.stringContaining('in the directory'),
      });
      expect(error.toJSON()).not.toHaveProperty('guard');
    }
  });

  test('refuse a FIFO immediately, even if it has no reader', async () => {
    const path = join(testFolder(), 'fifo');
    execFileSync('mkfifo', [path]);
    await expect(tryOpen(path, { size: MIB })).rejects.toMatchObject({ code: 'TARGET_TYPE' });
  });

  testWith('loop')('refuse a device in use, unless the guard named busy is lifted', async () => {
    await withLoop({ size: 8 * MIB }, async ({ path }) => {
      const holder = await native().open(path, { write: true, direct: true, exclusive: true, create: false });
      try {
        await expect(tryOpen(path, { size: MIB })).rejects.toMatchObject({ code: 'TARGET_BUSY', exitCode: 3, guard: 'busy' });
        await expect(tryOpen(path, { size: MIB, force: ['type', 'size', 'vhd'] })).rejects.toMatchObject({ code: 'TARGET_BUSY' });
        await tryOpen(path, { size: MIB, force: ['busy'] });
      } finally {
        await native().close(holder.fd);
      }
    });
  });

  testWith('loop', 'mkfs.ext4')('refuse a mounted device', async () => {
    await withLoop({ size: 16 * MIB }, async ({ path }) => {
      execFileSync('mkfs.ext4', ['-q', path]);
      const mount = join(testFolder(), 'mount');
      mkdirSync(mount);
      execFileSync('mount', [path, mount]);
      try {
        await expect(tryOpen(path, { size: MIB })).rejects.toMatchObject({ code: 'TARGET_BUSY' });
      } finally {
        execFileSync('umount', [mount]);
      }
    });
  });

  testWith('loop')('refuse a device smaller than the disk before a byte is written', async () => {
    await withLoop({ size: 4 * MIB, fill: 0xaa }, async (device) => {
      const source = image(testFolder());
      await expect(writeDisk(source, device.path)).rejects.toMatchObject({ code: 'TARGET_SMALL', exitCode: 3, guard: 'size' });
      expect(device.holds(0xaa, 0, device.size)).toBe(true);
    });
  });

  testWith('loop')('let a disk with an empty end fit on a smaller device if the size guard is lifted', async () => {
    await withLoop({ size: 4 * MIB, fill: 0xaa }, async (device) => {
      await writeDisk(image(testFolder()), device.path, { force: ['size'] });
      expect(device.read(2 * MIB, 2 * MIB).equals(Buffer.alloc(2 * MIB, 'data'))).toBe(true);
      expect(device.holds(0, 0, 2 * MIB)).toBe(true);
    });
  });

  testWith('loop').each([512, 4096] as const)('refuse a device that begins with a VHD, also with %d-byte sectors', async (sector) => {
    await withLoop({ size: 8 * MIB, sector }, async (device) => {
      execFileSync('dd', [`of=${device.path}`, 'conv=notrunc,fsync', 'bs=4096', 'status=none'], {
        input: fixedVhd(Buffer.alloc(512)).subarray(512),
      });
      await expect(tryOpen(device.path, { size: MIB })).rejects.toMatchObject({ code: 'TARGET_VHD', exitCode: 3, guard: 'vhd' });
      await tryOpen(device.path, { size: MIB, force: ['vhd'] });
    });
  });

  test('refuse a file that begins with a VHD: it is an image, not a target', async () => {
    const path = image(testFolder());
    const before = readFileSync(path);
    await expect(writeDisk(image(testFolder()), path)).rejects.toMatchObject({ code: 'TARGET_VHD' });
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test.each([512, 2560])('refuse a file of %d bytes that is an empty VHD', async (size) => {
    const path = join(testFolder(), 'small.vhd');
    const vhd = dynamicVhd({ size: 2 * MIB, blocks: new Map() });
    expect(vhd.length).toBe(2560); // footer, header, a sector of BAT, footer
    writeFileSync(path, vhd.subarray(0, size));
    await expect(tryOpen(path, { size: MIB })).rejects.toMatchObject({ code: 'TARGET_VHD' });
    expect(readFileSync(path).equals(vhd.subarray(0, size))).toBe(true);
  });

  testWith('loop')('refuse a volume that SM has named VHD-… by its name, through any link', async () => {
    await withLoop({ size: 8 * MIB }, async ({ path }) => {
      const folder = testFolder();
      const volume = join(folder, 'VHD-0f2c0a5e-7d38-4c25-9d7c-5f5b6e0f0d11');
      symlinkSync(path, volume);
      await expect(tryOpen(volume, { size: MIB })).rejects.toMatchObject({ code: 'TARGET_VHD' });
      const raw = join(folder, 'LV-0f2c0a5e-7d38-4c25-9d7c-5f5b6e0f0d11');
      symlinkSync(path, raw);
      await tryOpen(raw, { size: MIB });
    });
  });

  test('are checked in order: a target that is too small and of the wrong type is refused by type', async () => {
    await expect(tryOpen('/dev/null', { size: MIB })).rejects.toMatchObject({ code: 'TARGET_TYPE' });
    await expect(tryOpen('/dev/null', { size: MIB, force: ['type'] })).rejects.toMatchObject({ code: 'TARGET_SMALL' });
  });

  test('report a missing device node instead of creating a file in /dev', async () => {
    await expect(tryOpen('/dev/vdistream-no-such-device', { size: MIB })).rejects.toMatchObject({ code: 'TARGET_OPEN', errno: 2 });
    expect(existsSync('/dev/vdistream-no-such-device')).toBe(false);
  });
});

describe('a file as the target', () => {
  test('is created with the virtual size, and is sparse where the disk is empty', async () => {
    const folder = testFolder();
    const path = join(folder, 'disk.raw');
    const result = await writeDisk(image(folder, 1024 * MIB), path);
    expect(result).toMatchObject({ bytesWritten: 2 * MIB, bytesZeroed: 0, bytesSkipped: 1022 * MIB });
    expect(statSync(path).size).toBe(1024 * MIB);
    expect(statSync(path).blocks * 512).toBeLessThan(4 * MIB);
  });

  test('ends where the disk ends, though O_DIRECT writes whole sectors', async () => {
    const folder = testFolder();
    const path = join(folder, 'disk.raw');
    const data = Buffer.alloc(5 * 512, 'odd');
    writeFileSync(join(folder, 'odd.vhd'), fixedVhd(data));
    await writeDisk(join(folder, 'odd.vhd'), path, { verify: true });
    expect(readFileSync(path).equals(data)).toBe(true);
  });

  test('that already has content is zeroed where the disk is empty', async () => {
    const folder = testFolder();
    const path = join(folder, 'disk.raw');
    writeFileSync(path, Buffer.alloc(8 * MIB, 0xaa));
    const result = await writeDisk(image(folder), path, { force: ['content'] });
    expect(result).toMatchObject({ bytesWritten: 2 * MIB, bytesZeroed: 6 * MIB });
    const model = Buffer.alloc(8 * MIB);
    model.fill('data', 2 * MIB, 4 * MIB);
    expect(readFileSync(path).equals(model)).toBe(true);
  });

  test('that is larger than the disk ends up as large as the disk', async () => {
    const folder = testFolder();
    const path = join(folder, 'disk.raw');
    writeFileSync(path, Buffer.alloc(10 * MIB, 0xaa));
    const result = await writeDisk(image(folder), path, { force: ['content'], verify: true });
    expect(result).toMatchObject({ bytesWritten: 2 * MIB, bytesZeroed: 6 * MIB, verified: true });
    const model = Buffer.alloc(8 * MIB);
    model.fill('data', 2 * MIB, 4 * MIB);
    expect(readFileSync(path).equals(model)).toBe(true);
  });

  test('is removed when the image turns out to be broken, but only if this call created it', async () => {
    const folder = testFolder();
    const broken = join(folder, 'broken.vhd');
    writeFileSync(broken, Buffer.alloc(4 * MIB, 'no footer'));
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield fixedVhd(Buffer.alloc(MIB, 'x')).subarray(0, MIB);
    }
    const { streamCursor, decodeVhd, pump, createPool } = await import('../../src/blocks.ts');
    const disk = await decodeVhd(streamCursor(stream(), MIB));
    const made = await deviceTarget(join(folder, 'made.raw')).open({ size: disk.virtualSize });
    const extents = disk.extents(createPool({ count: 2 }));
    await expect(pump(extents, made, { size: disk.virtualSize })).rejects.toMatchObject({ code: 'VHD_FOOTER' });
    await made.abandon();
    writeFileSync(join(folder, 'there.raw'), 'precious');
    const there = await deviceTarget(join(folder, 'there.raw')).open({ size: MIB, force: ['content'] });
    await there.abandon();
    expect(readdirSync(folder).sort()).toEqual(['broken.vhd', 'there.raw']);
  });

  test('that cannot be grown leaves no descriptor to be closed twice, which may be that of another file by then', async () => {
    const path = join(testFolder(), 'disk.raw');
    writeFileSync(path, '');
    const close = vi.spyOn(native(), 'close');
    await expect(tryOpen(path, { size: 2 ** 52 })).rejects.toMatchObject({ code: 'TARGET_WRITE' });
    expect(close).toHaveBeenCalledTimes(2);
    for (const { type } of close.mock.settledResults) expect(type).toBe('fulfilled');
    close.mockRestore();
  });

  testWith('root')('on a full file system is reported with the offset, and no file is left', async () => {
    const folder = testFolder();
    const mount = join(folder, 'small');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mount]);
    try {
      const refusal = { code: 'TARGET_FULL', errno: 28, device: join(mount, 'disk.raw'), offset: expect.any(Number) };
      await expect(writeDisk(image(folder), join(mount, 'disk.raw'))).rejects.toMatchObject(refusal);
      expect(readdirSync(mount)).toEqual([]);
    } finally {
      execFileSync('umount', [mount]);
    }
  });
});

describe('a block device as the target', () => {
  testWith('loop').each(['auto', 'write'] as const)(
    'full of old data reads as the disk afterwards, with the zero policy %s',
    async (zero) => {
      await withLoop({ size: 9 * MIB, fill: 0xaa }, async (device) => {
        const result = await writeDisk(image(testFolder()), device.path, { zero, verify: true });
        expect(result).toMatchObject({ bytesWritten: 2 * MIB, bytesZeroed: 6 * MIB, verified: true, direct: true });
        const model = Buffer.alloc(8 * MIB);
        model.fill('data', 2 * MIB, 4 * MIB);
        expect(device.read(0, 8 * MIB).equals(model)).toBe(true);
        expect(device.holds(0xaa, 8 * MIB, 9 * MIB)).toBe(true);
      });
    },
  );

  testWith('loop')('with assume-zero keeps its content where the disk is empty, as the caller has promised zeros', async () => {
    await withLoop({ size: 8 * MIB, fill: 0xaa }, async (device) => {
      const result = await writeDisk(image(testFolder()), device.path, { zero: 'assume-zero' });
      expect(result).toMatchObject({ bytesZeroed: 0, bytesSkipped: 6 * MIB });
      expect(device.holds(0xaa, 0, 2 * MIB)).toBe(true);
    });
  });

  testWith('loop')('that does not read zero as promised fails verification', async () => {
    await withLoop({ size: 8 * MIB, fill: 0xaa }, async ({ path }) => {
      const lie = writeDisk(image(testFolder()), path, { zero: 'assume-zero', verify: true });
      await expect(lie).rejects.toMatchObject({ code: 'VERIFY_MISMATCH', exitCode: 4, offset: expect.any(Number) });
    });
  });

  testWith('loop')('that cannot be written is reported with its path and the errno', async () => {
    await withLoop({ size: 8 * MIB, readOnly: true }, async ({ path }) => {
      await expect(writeDisk(image(testFolder()), path)).rejects.toMatchObject({ code: 'TARGET_OPEN', device: path, errno: 30 });
    });
  });

  testWith('loop')('whose underlying storage fills up in the middle is reported with the offset', async () => {
    const folder = testFolder();
    const mount = join(folder, 'thin');
    mkdirSync(mount);
    // A thin device: it promises 8 MiB, but the storage beneath it is full after less than 2.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', mount]);
    execFileSync('truncate', ['-s', '8M', join(mount, 'backing')]);
    const path = execFileSync('losetup', ['-f', '--show', join(mount, 'backing')], { encoding: 'utf8' }).trim();
    try {
      const source = join(folder, 'full.vhd');
      writeFileSync(source, fixedVhd(Buffer.alloc(8 * MIB, 'data')));
      const failure = { code: 'TARGET_FULL', device: path, errno: 28, offset: expect.any(Number) };
      await expect(writeDisk(source, path)).rejects.toMatchObject(failure);
    } finally {
      execFileSync('losetup', ['-d', path]);
      execFileSync('umount', [mount]);
    }
  });
});

testWith('loop')('a device that another takes the place of while the guards look at it is not written', async () => {
  const link = join(testFolder(), 'link');
  await withLoop({ size: 8 * MIB, fill: 0xaa }, async (first) => {
    await withLoop({ size: 8 * MIB, fill: 0xbb }, async (second) => {
      symlinkSync(first.path, link);
      const open = vi.spyOn(native(), 'open');
      open.mockImplementation(async (path, flags) => {
        open.mockRestore();
        const opened = await native().open(path, flags);
        unlinkSync(link);
        symlinkSync(second.path, link);
        return opened;
      });
      await expect(writeDisk(image(testFolder()), link)).rejects.toMatchObject({
        code: 'TARGET_OPEN',
        message: `${link} was replaced while it was being opened`,
      });
      for (const [device, value] of [
        [first, 0xaa],
        [second, 0xbb],
      ] as const)
        expect(device.holds(value, 0, device.size)).toBe(true);
    });
  });
});
