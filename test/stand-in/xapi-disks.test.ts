import { describe, expect, test } from 'vitest';
import { testWith } from '../support/needs.ts';
import { ext, host, MiB, newVdi, param, raised, refusal, withVdi, xe } from '../support/xe.ts';
import { assertClean } from './clean.ts';

const GiB = 2 ** 30;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const newVbd = (vdi: string, vm = host.dom0, ...more: string[]): Promise<string> =>
  xe('vbd-create', `vm-uuid=${vm}`, `vdi-uuid=${vdi}`, 'device=autodetect', ...more);

const refOf = (kind: 'vdi' | 'vbd' | 'sr' | 'vm', uuid: string): string => host.state()[kind].find((one) => one.uuid === uuid)?.ref ?? '';

describe('vdi-create', () => {
  test('prints a uuid, and creates a VDI with the given fields and the defaults', async () => {
    await withVdi(
      async (vdi) => {
        expect(vdi).toMatch(UUID);
        const fields = ['name-label', 'name-description', 'type', 'read-only', 'sharable', 'sr-uuid', 'tags', 'other-config', 'vbd-uuids'];
        const values = await Promise.all(fields.map((name) => param('vdi', vdi, name)));
        expect(values).toEqual(['disk', '', 'user', 'false', 'true', ext, 'one, two', '', '']);
      },
      'sharable=yes',
      'tags:one=',
      'tags:two=whatever',
    );
  });

  test.each([
    ['1', 2 * MiB],
    ['0', 2 * MiB],
    ['2097153', 4 * MiB],
    ['3MiB', 4 * MiB],
    ['3 mb', 4 * MiB],
    ['5120k', 6 * MiB],
    ['7168 KiB', 8 * MiB],
    ['4194304 bytes', 4 * MiB],
    ['4194304B', 4 * MiB],
    ['1g', GiB],
    ['2 TiB', undefined],
    ['2039 GiB', 2039 * GiB],
    ['2040GB', 2040 * GiB],
    ['2190433320961', undefined],
    ['-1', undefined],
  ])('accepts %s as a size and rounds it up to whole blocks, up to 2040 GiB', async (size, rounded) => {
    if (rounded === undefined) {
      const args = ['vdi-create', `sr-uuid=${ext}`, 'name-label=a', `virtual-size=${size}`];
      expect(await refusal(...args)).toBe(
        'Error code: SR_BACKEND_FAILURE_79\n' +
          'Error parameters: , VDI Invalid size [opterr=VDI size must be between 1 MB and 2088960 MB], \n',
      );
      expect(await raised(...args)).toMatch(/^SR_BACKEND_FAILURE_79, \[ ; VDI Invalid size /);
    } else {
      const vdi = await newVdi(ext, size);
      expect(await param('vdi', vdi, 'virtual-size')).toBe(String(rounded));
      await xe('vdi-destroy', `uuid=${vdi}`);
    }
  });

  test.each(['', 'much', '1.5GiB', '1 GiBi', '0x100', '1 2'])('does not accept %j as a size', async (size) => {
    expect(await refusal('vdi-create', `sr-uuid=${ext}`, 'name-label=a', `virtual-size=${size}`)).toBe(
      `Error: Failed to parse field 'virtual-size': expecting an integer (possibly with suffix KiB, MiB, GiB, TiB), got '${size}'\n`,
    );
  });

  test('rounds a raw volume up to extents, and a raw file not at all', async () => {
    const lvm = await host.sr('lvm');
    const old = await host.sr('lvmohba', { smConfig: {} });
    const sizes: [string, string[], number][] = [
      [lvm, [], 6 * MiB],
      [lvm, ['sm-config:type=raw'], 8 * MiB],
      [old, [], 8 * MiB],
      [ext, ['sm-config:type=raw'], 5 * MiB + 512],
    ];
    for (const [sr, more, size] of sizes) {
      const vdi = await newVdi(sr, 5 * MiB + 512, ...more);
      expect(await param('vdi', vdi, 'virtual-size')).toBe(String(size));
      await xe('vdi-destroy', `uuid=${vdi}`);
    }
  });

  test('refuses invalid values of a parameter', async () => {
    const args = ['vdi-create', `sr-uuid=${ext}`, 'name-label=a', 'virtual-size=1'];
    expect(await refusal(...args, 'type=User')).toBe('Error: Unknown vdi type: User\n');
    expect(await refusal(...args, 'sharable=1')).toBe(
      "Error: Failed to parse parameter 'sharable': Expected 'true','yes','false','no', got 1\n",
    );
    expect(await raised(...args, 'sm-config:type=qcow2')).toMatch(/^SR_BACKEND_FAILURE_78, /);
  });

  test.each(['iscsi', 'hba', 'udev', 'cslg', 'iso'])('is not supported on %s', async (type) => {
    const sr = await host.sr(type);
    const args = ['vdi-create', `sr-uuid=${sr}`, 'name-label=a', 'virtual-size=1'];
    expect(await refusal(...args)).toBe(
      `The SR backend does not support the operation (check the SR's allowed operations)\nsr: ${sr} (${type} storage)\n`,
    );
    expect(await raised(...args)).toBe(`SR_OPERATION_NOT_SUPPORTED, [ ${refOf('sr', sr)} ]`);
  });

  test('needs the SR to be attached to this host', async () => {
    const sr = await host.sr('nfs', { attached: false, shared: true });
    expect(await raised('vdi-create', `sr-uuid=${sr}`, 'name-label=a', 'virtual-size=1')).toBe(`SR_HAS_NO_PBDS, [ ${refOf('sr', sr)} ]`);
    expect(await raised('sr-scan', `uuid=${sr}`)).toBe(`SR_HAS_NO_PBDS, [ ${refOf('sr', sr)} ]`);
  });

  // Header, block table, footer and a bitmap for each block, in whole extents of 4 MiB.
  test.each([
    [1, 8],
    [10, 28],
    [40, 88],
    [100, 208],
    [500, 1008],
    [2040, 4088],
  ])('of %d GiB on LVM needs space for %d MiB more', async (size, more) => {
    const needed = size * GiB + more * MiB;
    const [enough, short] = [await host.sr('lvmoiscsi', { size: needed }), await host.sr('lvmoiscsi', { size: needed - 1 })];
    const vdi = await newVdi(enough, size * GiB);
    expect(await param('vdi', vdi, 'physical-utilisation')).toBe(String(needed));
    expect(await param('sr', enough, 'physical-utilisation')).toBe(String(needed));
    expect(await param('sr', enough, 'physical-size')).toBe(String(needed));
    await xe('vdi-destroy', `uuid=${vdi}`);
    expect(await param('sr', enough, 'physical-utilisation')).toBe('0');
    const args = ['vdi-create', `sr-uuid=${short}`, 'name-label=a', `virtual-size=${size * GiB}`];
    expect(await refusal(...args)).toBe('Error code: SR_BACKEND_FAILURE_44\nError parameters: , There is insufficient space, \n');
    expect(await raised(...args)).toBe('SR_BACKEND_FAILURE_44, [ ; There is insufficient space;  ]');
  });

  test('checks for space on LVM only', async () => {
    const sr = await host.sr('nfs', { size: MiB });
    await xe('vdi-destroy', `uuid=${await newVdi(sr, GiB)}`);
  });
});

describe('vdi-resize and vdi-destroy', () => {
  test('grow a VDI, rounded up, and never shrink it', async () => {
    await withVdi(async (vdi) => {
      await xe('vdi-resize', `uuid=${vdi}`, 'disk-size=7MiB');
      expect(await param('vdi', vdi, 'virtual-size')).toBe(String(8 * MiB));
      expect(await raised('vdi-resize', `uuid=${vdi}`, 'disk-size=1')).toMatch(/^SR_BACKEND_FAILURE_79, \[ ; .*shrinking not allowed/);
      expect(await refusal('vdi-resize', `uuid=${vdi}`, 'disk-size=x')).toContain("'disk-size'");
      expect(await raised('vdi-resize', `uuid=${vdi}`, 'disk-size=16MiB', 'online=true')).toMatch(/^SR_OPERATION_NOT_SUPPORTED/);
    });
  });

  test('also remove its VBDs if they are not attached', async () => {
    const vdi = await newVdi(ext, MiB);
    const vbd = await newVbd(vdi);
    expect(await param('vdi', vdi, 'vbd-uuids')).toBe(vbd);
    await xe('vdi-destroy', `uuid=${vdi}`);
    expect(await xe('vbd-list', `uuid=${vbd}`, '--minimal')).toBe('');
    assertClean(host);
  });
});

describe('vbd-create', () => {
  test('creates a VBD with the given fields and the defaults', async () => {
    await withVdi(async (vdi) => {
      const vbd = await newVbd(vdi);
      const fields = [
        'vm-uuid',
        'vdi-uuid',
        'device',
        'userdevice',
        'bootable',
        'mode',
        'type',
        'unpluggable',
        'currently-attached',
        'empty',
      ];
      const values = await Promise.all(fields.map((name) => param('vbd', vbd, name)));
      expect(values).toEqual([host.dom0, vdi, '', '0', 'false', 'RW', 'Disk', 'true', 'false', 'false']);
      const other = await newVbd(vdi, host.dom0, 'mode=Ro', 'type=DISK', 'bootable=True', 'unpluggable=no');
      const others = await Promise.all(['userdevice', 'bootable', 'mode', 'type', 'unpluggable'].map((name) => param('vbd', other, name)));
      expect(others).toEqual(['1', 'true', 'RO', 'Disk', 'false']);
    });
  });

  test('refuses invalid values of a parameter', async () => {
    await withVdi(async (vdi) => {
      const args = ['vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect'];
      expect(await refusal(...args, 'mode=rx')).toBe('Error: Unknown mode: rx (should be "ro" or "rw"\n');
      expect(await refusal(...args, 'type=tape')).toMatch(/^Error: Unknown type: tape /);
      expect(await refusal(...args, 'bootable=2')).toMatch(/^Error: Failed to parse parameter 'bootable': /);
      expect(await refusal(...args, 'unpluggable=')).toMatch(/^Error: Failed to parse parameter 'unpluggable': /);
      expect(await refusal('vbd-create', `vm-uuid=${host.dom0}`, 'device=0', 'type=Disk')).toBe(
        'Error: Empty VBDs can only be made for type=CD\n',
      );
      expect(await raised(...args, 'type=CD')).toBe('VBD_CDS_MUST_BE_READONLY, [  ]');
      expect(await raised(...args, 'type=CD', 'mode=RO')).toMatch(/^VDI_IS_NOT_ISO, /);
    });
  });

  test('uses the first free device, or the named device if that is free', async () => {
    await withVdi(async (vdi) => {
      const args = ['vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${vdi}`];
      const numbers = ['device=1', 'device=autodetect', 'device=xvdd', 'device=autodetect', 'device=autodetect', 'device=255'];
      const vbds: string[] = [];
      for (const device of numbers) vbds.push(await xe(...args, device));
      const taken = await Promise.all(vbds.map((vbd) => param('vbd', vbd, 'userdevice')));
      expect(taken).toEqual(['1', '0', '3', '2', '4', '255']);
      expect(await refusal(...args, 'device=1')).toBe('A device with the name given already exists on the selected VM\ndevice: 1\n');
      expect(await raised(...args, 'device=sdb')).toBe('DEVICE_ALREADY_EXISTS, [ sdb ]');
      for (const device of ['AUTODETECT', 'Autodetect', '256', '-1', 'xvdz', '']) {
        expect(await raised(...args, `device=${device}`)).toBe(`INVALID_DEVICE, [ ${device} ]`);
      }
      expect(await raised('vbd-create', `vm-uuid=${host.guest}`, `vdi-uuid=${vdi}`, 'device=16')).toBe('INVALID_DEVICE, [ 16 ]');
    });
  });

  test('fails in a machine that has no free device', async () => {
    await withVdi(async (vdi) => {
      for (let number = 0; number < 16; number++) await newVbd(vdi, host.guest);
      const args = ['vbd-create', `vm-uuid=${host.guest}`, `vdi-uuid=${vdi}`, 'device=autodetect'];
      expect(await raised(...args)).toBe('INVALID_DEVICE, [ autodetect ]');
    });
  });

  test('refuses to create a writing VBD of a read-only disk', async () => {
    await withVdi(async (vdi) => {
      await host.change('vdi', vdi, { readOnly: true });
      const args = ['vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect'];
      expect(await refusal(...args)).toBe(`The operation required write access but this VDI is read-only\nvdi: ${vdi} (disk)\n`);
      expect(await raised(...args)).toBe(`VDI_READONLY, [ ${refOf('vdi', vdi)} ]`);
      await xe(...args, 'mode=RO');
    });
  });
});

testWith('loop')('the tests above leave nothing behind', () => assertClean(host));
