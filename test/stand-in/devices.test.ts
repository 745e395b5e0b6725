import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readlinkSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { tinyFolder } from '../support/tiny-folder.ts';
import { answer } from './answer.ts';
import { assertClean } from './clean.ts';
import { type Host, startHost } from './host.ts';

const MiB = 2 ** 20;
const test = testWith('loop');

let host: Host;

beforeAll(async () => {
  host = await startHost();
});
afterEach(async () => {
  for (const { uuid, currentlyAttached } of host.state().vbd) if (currentlyAttached) await host.run(['vbd-unplug', `uuid=${uuid}`]);
  for (const { uuid } of host.state().vdi) await host.run(['vdi-destroy', `uuid=${uuid}`]);
  assertClean(host);
});
afterAll(() => host.stop());

const xe = (...args: string[]): Promise<string> => answer(host, args);

async function raised(...args: string[]): Promise<string> {
  const { stdout, stderr, status } = await host.run([...args, '--trace']);
  expect({ stdout, status }).toEqual({ stdout: '', status: 1 });
  return /^Raised Server_error\((.*)\)$/m.exec(stderr)?.[1] ?? stderr;
}

const newVdi = (sr: string, ...more: string[]): Promise<string> =>
  xe('vdi-create', `sr-uuid=${sr}`, 'name-label=disk', `virtual-size=${8 * MiB}`, ...more);

const newVbd = (vdi: string, ...more: string[]): Promise<string> =>
  xe('vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect', ...more);

const param = (kind: string, uuid: string, name: string): Promise<string> => xe(`${kind}-param-get`, `uuid=${uuid}`, `param-name=${name}`);

const refOf = (kind: 'vdi' | 'vbd' | 'vm', uuid: string): string => host.state()[kind].find((one) => one.uuid === uuid)?.ref ?? '';

/** A VDI that is plugged, and the path of its device. */
async function plugged(sr: string, ...more: string[]): Promise<{ readonly vdi: string; readonly vbd: string; readonly path: string }> {
  const vdi = await newVdi(sr, ...more);
  const vbd = await newVbd(vdi);
  await xe('vbd-plug', `uuid=${vbd}`);
  return { vdi, vbd, path: join('/dev', await param('vbd', vbd, 'device')) };
}

const blockdev = (question: string, path: string): number => Number(execFileSync('blockdev', [question, path], { encoding: 'utf8' }));

function read(path: string, offset: number, length: number): Buffer {
  const file = openSync(path, 'r');
  const bytes = Buffer.alloc(length);
  readSync(file, bytes, 0, length, offset);
  closeSync(file);
  return bytes;
}

const isFullOf = (path: string, value: number, size = 8 * MiB): boolean => read(path, 0, size).equals(Buffer.alloc(size, value));

describe('vbd-plug', () => {
  for (const sector of [512, 4096]) {
    for (const device of ['backend', 'kernel'] as const) {
      test(`creates a device with sectors of ${sector} bytes, found under the ${device}'s name while it is attached`, async () => {
        const sr = await host.sr('ext', { sector, device });
        const vdi = await newVdi(sr);
        const vbd = await newVbd(vdi);
        expect(await param('vbd', vbd, 'device')).toBe('');
        await xe('vbd-plug', `uuid=${vbd}`);
        expect(await param('vbd', vbd, 'currently-attached')).toBe('true');
        const deviceName = await param('vbd', vbd, 'device');
        expect(deviceName).toMatch(device === 'backend' ? new RegExp(`^sm/backend/${sr}/${vdi}$`) : /^loop\d+$/);

        const path = join('/dev', deviceName);
        expect(statSync(path).isBlockDevice()).toBe(true);
        expect([blockdev('--getsize64', path), blockdev('--getss', path)]).toEqual([8 * MiB, sector]);
        const file = openSync(path, 'r+');
        writeSync(file, 'something', 4096);
        closeSync(file);
        expect(read(path, 4096, 9).toString()).toBe('something');

        await xe('vbd-unplug', `uuid=${vbd}`);
        expect(await param('vbd', vbd, 'currently-attached')).toBe('false');
        expect(await param('vbd', vbd, 'device')).toBe(deviceName);
        if (device === 'backend') expect(existsSync(path)).toBe(false);
        await xe('vbd-plug', `uuid=${vbd}`);
        expect(read(join('/dev', await param('vbd', vbd, 'device')), 4096, 9).toString()).toBe('something');
      });
    }
  }

  const contents: [string, string, Record<string, string> | undefined, string[], number][] = [
    ['a VHD on a file system', 'nfs', undefined, [], 0],
    ['a raw file', 'ext', undefined, ['sm-config:type=raw'], 0],
    ['a VHD on LVM', 'lvm', undefined, [], 0],
    ['a raw volume', 'lvm', undefined, ['sm-config:type=raw'], 0xaa],
    ['a raw volume of iSCSI', 'lvmoiscsi', undefined, ['sm-config:type=raw'], 0xaa],
    ['a volume of an LVM SR without VHDs', 'lvmohba', { allocation: 'thick' }, [], 0xaa],
    ['a volume of a thick array', 'equal', { allocation: 'thick' }, [], 0xaa],
    ['a volume of a thin array', 'equal', { allocation: 'thin' }, [], 0],
  ];
  for (const [what, type, smConfig, more, value] of contents) {
    test(`exposes ${what} filled with ${value}`, async () => {
      const { path } = await plugged(await host.sr(type, smConfig === undefined ? {} : { smConfig }), ...more);
      expect(isFullOf(path, value)).toBe(true);
    });
  }

  test('shows old data where a raw volume has grown, and what was written before that', async () => {
    const { vdi, vbd, path } = await plugged(await host.sr('lvm'), 'sm-config:type=raw');
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.alloc(8 * MiB, 1));
    closeSync(file);
    await xe('vbd-unplug', `uuid=${vbd}`);
    await xe('vdi-resize', `uuid=${vdi}`, 'disk-size=12MiB');
    await xe('vbd-plug', `uuid=${vbd}`);
    expect([isFullOf(path, 1), read(path, 8 * MiB, 4 * MiB).equals(Buffer.alloc(4 * MiB, 0xaa))]).toEqual([true, true]);
  });

  test('on LVM also shows the volume, which holds the plain disk only if the VDI is raw', async () => {
    const sr = await host.sr('lvm');
    const raw = await plugged(sr, 'sm-config:type=raw');
    const vhd = await plugged(sr);
    const volumeOf = (vdi: string): string => join('/dev/sm/phy', sr, vdi);
    expect(statSync(volumeOf(raw.vdi)).rdev).toBe(statSync(raw.path).rdev);
    expect(read(volumeOf(vhd.vdi), 0, 8).toString()).toBe('conectix');
    for (const { vbd, vdi } of [raw, vhd]) {
      await xe('vbd-unplug', `uuid=${vbd}`);
      expect(() => readlinkSync(volumeOf(vdi))).toThrow('ENOENT');
    }
    const { vdi } = await plugged(await host.sr('nfs'));
    expect(existsSync(join('/dev/sm/phy', sr, vdi))).toBe(false);
  });

  test('rejects a VBD that is attached, or whose machine is not running', async () => {
    const { vdi, vbd } = await plugged(await host.sr('ext'));
    expect(await raised('vbd-plug', `uuid=${vbd}`)).toBe(`DEVICE_ALREADY_ATTACHED, [ ${refOf('vbd', vbd)} ]`);
    const args = ['vbd-create', `vm-uuid=${host.guest}`, `vdi-uuid=${vdi}`, 'device=autodetect'];
    const other = await xe(...args);
    await host.change('vm', host.guest, { powerState: 'halted' });
    expect(await raised('vbd-plug', `uuid=${other}`)).toBe(`VM_BAD_POWER_STATE, [ ${refOf('vm', host.guest)}; running; halted ]`);
    await host.change('vm', host.guest, { powerState: 'running' });
  });

  test('plugs a disk of a guest into Dom0, but not a disk that another guest writes to into a guest', async () => {
    const vdi = await newVdi(await host.sr('ext'));
    const args = ['vbd-create', `vm-uuid=${host.guest}`, `vdi-uuid=${vdi}`, 'device=autodetect'];
    const [first, second] = [await xe(...args), await xe(...args)];
    await xe('vbd-plug', `uuid=${first}`);
    expect(await param('vbd', first, 'device')).toBe('xvda');
    expect(await raised('vbd-plug', `uuid=${second}`)).toBe(`VDI_IN_USE, [ ${refOf('vdi', vdi)} ]`);
    const vbd = await newVbd(vdi);
    await xe('vbd-plug', `uuid=${vbd}`);
    expect(existsSync(join('/dev', await param('vbd', vbd, 'device')))).toBe(true);
  });

  test('creates no device here for the control domain of another host', async () => {
    const vdi = await newVdi(await host.sr('nfs', { shared: true }));
    await xe('vbd-plug', `uuid=${await xe('vbd-create', `vm-uuid=${host.otherDom0}`, `vdi-uuid=${vdi}`, 'device=autodetect')}`);
    expect(await raised('vdi-destroy', `uuid=${vdi}`)).toMatch(/^VDI_IN_USE/);
    expect(host.state().vdi[0]?.disk.plugged).toBeUndefined();
  });

  test('plugs a second VBD in Dom0 as the same device, which exists until the last VBD is unplugged', async () => {
    const { vdi, vbd, path } = await plugged(await host.sr('ext'));
    const other = await newVbd(vdi);
    await xe('vbd-plug', `uuid=${other}`);
    expect(join('/dev', await param('vbd', other, 'device'))).toBe(path);
    await xe('vbd-unplug', `uuid=${vbd}`);
    expect(existsSync(path)).toBe(true);
    expect(await raised('vdi-destroy', `uuid=${vdi}`)).toBe(`VDI_IN_USE, [ ${refOf('vdi', vdi)}; destroy ]`);
    await xe('vbd-unplug', `uuid=${other}`);
    expect(existsSync(path)).toBe(false);
  });

  test('of a read-only VBD creates a read-only device', async () => {
    const vdi = await newVdi(await host.sr('ext'));
    const vbd = await newVbd(vdi, 'mode=RO');
    await xe('vbd-plug', `uuid=${vbd}`);
    const path = join('/dev', await param('vbd', vbd, 'device'));
    expect(blockdev('--getro', path)).toBe(1);
    expect(() => execFileSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=4096', 'count=1', 'conv=fsync'], { stdio: 'pipe' })).toThrow();
    expect(await param('vdi', vdi, 'sm-config')).toMatch(/; host_OpaqueRef:[0-9a-f-]+: RO$/);
    expect(await raised('vbd-plug', `uuid=${await newVbd(vdi)}`)).toMatch(/^VDI_IN_USE/);
    await xe('vbd-unplug', `uuid=${vbd}`);
    expect(await param('vdi', vdi, 'sm-config')).toBe('vdi_type: vhd');
  });

  test('is refused to the control domains of two hosts, unless both only read', async () => {
    const vdi = await newVdi(await host.sr('nfs', { shared: true }));
    const there = (mode: string) => xe('vbd-create', `vm-uuid=${host.otherDom0}`, `vdi-uuid=${vdi}`, 'device=autodetect', `mode=${mode}`);
    const [reading, writing] = [await newVbd(vdi, 'mode=RO'), await newVbd(vdi)];
    const reader = await there('RO');
    await xe('vbd-plug', `uuid=${reader}`);
    await xe('vbd-plug', `uuid=${reading}`);
    await xe('vbd-unplug', `uuid=${reading}`);
    expect(await raised('vbd-plug', `uuid=${writing}`)).toMatch(/^SR_BACKEND_FAILURE_46, \[ ; .* not detached cleanly/);
    await xe('vbd-unplug', `uuid=${reader}`);
    const writer = await there('RW');
    await xe('vbd-plug', `uuid=${writer}`);
    expect(await raised('vbd-plug', `uuid=${reading}`)).toMatch(/^SR_BACKEND_FAILURE_46, \[ ; .* not detached cleanly/);
    await xe('vbd-unplug', `uuid=${writer}`);
  });

  test('of a guest for writing is refused while Dom0 has the disk read-only', async () => {
    const vdi = await newVdi(await host.sr('ext'));
    const vbd = await newVbd(vdi, 'mode=RO');
    await xe('vbd-plug', `uuid=${vbd}`);
    const guest = await xe('vbd-create', `vm-uuid=${host.guest}`, `vdi-uuid=${vdi}`, 'device=autodetect');
    expect(await raised('vbd-plug', `uuid=${guest}`)).toBe(`VDI_IN_USE, [ ${refOf('vdi', vdi)}; attach ]`);
    await xe('vbd-unplug', `uuid=${vbd}`);
    await xe('vbd-plug', `uuid=${guest}`);
    await xe('vbd-unplug', `uuid=${guest}`);
  });

  test('fails for a disk whose file is missing', async () => {
    const vdi = await newVdi(await host.sr('ext'));
    rmSync(host.state().vdi[0]?.disk.path ?? '');
    expect(await raised('vbd-plug', `uuid=${await newVbd(vdi)}`)).toMatch(/^SR_BACKEND_FAILURE_46, \[ ; The VDI is not available/);
  });

  test('inflates a thin volume when it is written to, if there is space', async () => {
    // 8 MiB need 16, by calcSizeVHDLV of sm's lvhdutil.py: 8 MiB + 4329472 bytes + 4 bitmaps of 4 KiB, in whole extents of 4 MiB.
    const sr = await host.sr('lvm', { size: 24 * MiB, smConfig: { allocation: 'thin', use_vhd: 'true' } });
    const [one, two] = [await newVdi(sr), await newVdi(sr)];
    expect(await param('sr', sr, 'physical-utilisation')).toBe(String(16 * MiB));
    const [first, second] = [await newVbd(one), await newVbd(two)];
    await xe('vbd-plug', `uuid=${first}`);
    expect(await param('vdi', one, 'physical-utilisation')).toBe(String(16 * MiB));
    expect(await raised('vbd-plug', `uuid=${second}`)).toMatch(/^SR_BACKEND_FAILURE_180, /);
    await xe('vbd-unplug', `uuid=${first}`);
    await xe('vbd-plug', `uuid=${second}`);
  });

  test('succeeds on storage that turns out to be full when it is written to', async () => {
    const { path: place } = tinyFolder(4 * MiB);
    const { path, vbd, vdi } = await plugged(await host.sr('ext', { place }));
    const file = openSync(path, 'rs+');
    const fill = (): void => {
      for (let at = 0; at < 8 * MiB; at += MiB) writeSync(file, Buffer.alloc(MiB, 1), 0, MiB, at);
    };
    expect(fill).toThrow(/EIO|ENOSPC/);
    closeSync(file);
    await xe('vbd-unplug', `uuid=${vbd}`);
    await xe('vdi-destroy', `uuid=${vdi}`);
  });
});

describe('vbd-unplug and vbd-destroy', () => {
  test('must be called in that order', async () => {
    const { vdi, vbd } = await plugged(await host.sr('ext'));
    const why = `VBD '${vbd}' still attached to '${host.dom0}'`;
    expect(await raised('vbd-destroy', `uuid=${vbd}`)).toBe(`OPERATION_NOT_ALLOWED, [ ${why} ]`);
    expect((await host.run(['vbd-destroy', `uuid=${vbd}`])).stderr).toBe(
      `You attempted an operation that was not allowed.\nreason: ${why}\n`,
    );
    expect((await host.run(['vdi-destroy', `uuid=${vdi}`])).stderr).toBe(
      `This operation cannot be performed because this VDI is in use by some other operation\nvdi: ${vdi} (disk)\noperation: destroy\n`,
    );
    expect(await raised('vdi-resize', `uuid=${vdi}`, 'disk-size=16MiB')).toBe(`VDI_IN_USE, [ ${refOf('vdi', vdi)}; resize ]`);
    await xe('vbd-unplug', `uuid=${vbd}`);
    expect(await raised('vbd-unplug', `uuid=${vbd}`)).toBe(`DEVICE_ALREADY_DETACHED, [ ${refOf('vbd', vbd)} ]`);
    await xe('vbd-destroy', `uuid=${vbd}`);
    expect(await raised('vbd-destroy', `uuid=${vbd}`)).toMatch(/^UUID_INVALID/);
  });

  test('need a VBD that may be unplugged', async () => {
    const vdi = await newVdi(await host.sr('ext'));
    const vbd = await newVbd(vdi, 'unpluggable=false');
    await xe('vbd-plug', `uuid=${vbd}`);
    expect(await raised('vbd-unplug', `uuid=${vbd}`)).toBe(`VBD_NOT_UNPLUGGABLE, [ ${refOf('vbd', vbd)} ]`);
    await xe('vbd-param-set', `uuid=${vbd}`, 'unpluggable=true');
    expect(await raised('vbd-unplug', `uuid=${vbd}`, 'timeout=soon')).toContain("Failed to parse parameter 'timeout': expecting a float");
    await xe('vbd-unplug', `uuid=${vbd}`, 'timeout=0.5', '--force');
  });

  test('are rejected while the device is open, under any name and even read-only, and then change nothing', async () => {
    const { vbd, path } = await plugged(await host.sr('ext'));
    const [major = '', minor = ''] = readFileSync(
      `/sys/class/block/${basename(host.state().vdi[0]?.disk.plugged?.node ?? '')}/dev`,
      'latin1',
    )
      .trim()
      .split(':');
    const comm = readFileSync(`/proc/${process.pid}/comm`, 'utf8').trim();
    const own = join(testFolder(), 'node');
    execFileSync('mknod', [own, 'b', major, minor]);
    for (const name of [path, own]) {
      const file = openSync(name, 'r');
      expect(await raised('vbd-unplug', `uuid=${vbd}`)).toBe(
        `DEVICE_DETACH_REJECTED, [ VBD; ${refOf('vbd', vbd)}; Device in use; refusing to close (${process.pid} ${comm}) ]`,
      );
      expect(await raised('vbd-unplug', `uuid=${vbd}`, '--force')).toMatch(/^DEVICE_DETACH_REJECTED/);
      expect([await param('vbd', vbd, 'currently-attached'), blockdev('--getsize64', path)]).toEqual(['true', 8 * MiB]);
      closeSync(file);
    }
    await xe('vbd-unplug', `uuid=${vbd}`);
  });

  testWith('loop', 'mkfs.ext4')('are rejected while the device is mounted', async () => {
    const { vbd, path } = await plugged(await host.sr('ext'));
    const mountPoint = join(testFolder(), 'mounted');
    mkdirSync(mountPoint);
    execFileSync('mkfs.ext4', ['-q', path]);
    execFileSync('mount', [path, mountPoint]);
    try {
      expect(await raised('vbd-unplug', `uuid=${vbd}`)).toMatch(/refusing to close \(kernel\) \]$/);
    } finally {
      execFileSync('umount', [mountPoint]);
    }
    await xe('vbd-unplug', `uuid=${vbd}`);
  });
});
