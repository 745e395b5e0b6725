import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testWith } from '../support/needs.ts';
import { answer } from './answer.ts';
import { assertClean } from './clean.ts';
import { type Host, startHost } from './host.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const NOBODY = '00000000-0000-4000-8000-000000000000';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let host: Host;
let ext: string;

beforeAll(async () => {
  host = await startHost();
  ext = await host.sr('ext');
});
afterAll(() => host.stop());

const xe = (...args: string[]): Promise<string> => answer(host, args);

/** What a command says on stderr that has to fail. */
async function refusal(...args: string[]): Promise<string> {
  const { stdout, stderr, status } = await host.run(args);
  expect({ stdout, status, args }).toEqual({ stdout: '', status: 1, args });
  return stderr;
}

/** The error that --trace tells: code and parameters. */
async function raised(...args: string[]): Promise<string> {
  const [, found] = /^Raised Server_error\((.*)\)$/m.exec(await refusal(...args, '--trace')) ?? [];
  return found ?? 'no Server_error';
}

const newVdi = (sr: string, size: number | string, ...more: string[]): Promise<string> =>
  xe('vdi-create', `sr-uuid=${sr}`, 'name-label=disk', `virtual-size=${size}`, ...more);

const newVbd = (vdi: string, vm = host.dom0, ...more: string[]): Promise<string> =>
  xe('vbd-create', `vm-uuid=${vm}`, `vdi-uuid=${vdi}`, 'device=autodetect', ...more);

const param = (kind: string, uuid: string, name: string, ...more: string[]): Promise<string> =>
  xe(`${kind}-param-get`, `uuid=${uuid}`, `param-name=${name}`, ...more);

const refOf = (kind: 'vdi' | 'vbd' | 'sr' | 'vm', uuid: string): string => host.state()[kind].find((one) => one.uuid === uuid)?.ref ?? '';

/** A disk for one test. */
async function withVdi<T>(use: (vdi: string) => Promise<T>, ...more: string[]): Promise<T> {
  const vdi = await newVdi(ext, 4 * MiB, ...more);
  try {
    return await use(vdi);
  } finally {
    await xe('vdi-destroy', `uuid=${vdi}`);
  }
}

describe('a command line', () => {
  const needed: [string, string[], string][] = [
    ['vdi-create', [], 'sr-uuid'],
    ['vdi-create', [`sr-uuid=${NOBODY}`], 'name-label'],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a'], 'virtual-size'],
    ['vdi-destroy', [], 'uuid'],
    ['vdi-resize', [`uuid=${NOBODY}`], 'disk-size'],
    ['vbd-create', ['device=0'], 'vm-uuid'],
    ['vbd-create', [`vm-uuid=${NOBODY}`], 'device'],
    ['vbd-plug', [], 'uuid'],
    ['vbd-unplug', [], 'uuid'],
    ['vbd-destroy', [], 'uuid'],
    ['sr-scan', [], 'uuid'],
    ['vdi-param-get', [`uuid=${NOBODY}`], 'param-name'],
    ['vdi-param-set', [], 'uuid'],
    ['vdi-param-add', [`uuid=${NOBODY}`], 'param-name'],
    ['vdi-param-remove', [`uuid=${NOBODY}`, 'param-name=tags'], 'param-key'],
    ['vdi-param-clear', [`uuid=${NOBODY}`], 'param-name'],
    ['vdi-param-list', [], 'uuid'],
    ['vbd-param-get', [], 'uuid'],
    ['sr-param-get', [], 'uuid'],
  ];

  test.each(needed)('of %s %j needs %s', async (command, args, missing) => {
    expect(await refusal(command, ...args)).toBe(`Required parameter not found: ${missing}\nFor usage run: 'xe help'\n`);
  });

  const unknown: [string, string[]][] = [
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'other-config:a=b']],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'name-description=b']],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'tags=b']],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'tags:=b']],
    ['vdi-destroy', [`uuid=${NOBODY}`, 'force=true']],
    ['vdi-resize', [`uuid=${NOBODY}`, 'disk-size=1', 'size=2']],
    ['vbd-create', [`vm-uuid=${NOBODY}`, 'device=0', 'sr-uuid=1']],
    ['vbd-plug', [`uuid=${NOBODY}`, '--force']],
    ['vbd-unplug', [`uuid=${NOBODY}`, 'wait=1']],
    ['vbd-destroy', [`uuid=${NOBODY}`, 'word']],
    ['sr-scan', [`uuid=${NOBODY}`, 'all=1']],
    ['vdi-param-get', [`uuid=${NOBODY}`, 'param-name=uuid', 'param=a']],
    ['vdi-param-remove', [`uuid=${NOBODY}`, 'param-name=tags', 'param-key=a', 'b=c']],
    ['vdi-param-clear', [`uuid=${NOBODY}`, 'param-name=tags', 'param-key=a']],
    ['vdi-param-list', [`uuid=${NOBODY}`, 'params=all']],
  ];

  test.each(unknown)('of %s %j has a parameter that is not one of it', async (command, args) => {
    const last = args.at(-1)?.replace('--', '').split('=')[0];
    expect(await refusal(command, ...args)).toBe(`Error: the stand-in refuses parameter '${last}', which the command does not have\n`);
  });

  test('has each parameter once', async () => {
    expect(await refusal('vdi-destroy', `uuid=${NOBODY}`, `uuid=${NOBODY}`)).toContain("refuses parameter 'uuid' a second time");
  });

  test('begins with a command', async () => {
    expect(await refusal('vdi-burn')).toBe("Unknown command: vdi-burn\nFor usage run: 'xe help'\n");
    expect(await refusal('uuid=1')).toBe("Syntax error: \nFor usage run: 'xe help'\n");
    expect(await refusal('vdi-list', '-x', '1')).toBe("Syntax error: \nFor usage run: 'xe help'\n");
  });

  test('is cut at newlines, so that one in a value makes an argument', async () => {
    await withVdi(async (vdi) => {
      expect(await param('vdi', vdi, 'name-label')).toBe('disk');
      expect(await param('vdi', vdi, 'tags')).toBe('injected');
    }, 'type=user\ntags:injected=');
  });

  test('is cut at the first equals sign', async () => {
    await withVdi(async (vdi) => {
      await xe('vdi-param-set', `uuid=${vdi}`, 'name-label=a=b=c', 'other-config:k=d=e');
      expect(await param('vdi', vdi, 'name-label')).toBe('a=b=c');
      expect(await param('vdi', vdi, 'other-config', 'param-key=k')).toBe('d=e');
    });
  });

  test('has at most 200 KiB', async () => {
    expect(await refusal('vdi-list', ...['name-label', 'uuid'].map((name) => `${name}=${'a'.repeat(100 * 1024)}`))).toBe(
      'Server internal error.\n',
    );
  });

  test('of an unknown object is told with its kind', async () => {
    for (const [command, type] of [
      ['vdi-destroy', 'VDI'],
      ['vbd-plug', 'VBD'],
      ['sr-scan', 'SR'],
    ] as const) {
      expect(await refusal(command, `uuid=${NOBODY}`)).toBe(`The uuid you supplied was invalid.\ntype: ${type}\nuuid: ${NOBODY}\n`);
      expect(await raised(command, `uuid=${NOBODY}`)).toBe(`UUID_INVALID, [ ${type}; ${NOBODY} ]`);
    }
    expect(await raised('vbd-create', `vm-uuid=${NOBODY}`, 'device=0')).toBe(`UUID_INVALID, [ VM; ${NOBODY} ]`);
    expect(await raised('vbd-create', `vm-uuid=${host.dom0}`, 'device=0', `vdi-uuid=${NOBODY}`)).toBe(`UUID_INVALID, [ VDI; ${NOBODY} ]`);
    expect(await raised('vdi-create', `sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1')).toBe(`UUID_INVALID, [ SR; ${NOBODY} ]`);
  });

  test('without output prints nothing, and an empty line where it is to be minimal', async () => {
    for (const [more, printed] of [
      [[], ''],
      [['--minimal'], '\n'],
      [['minimal=true'], '\n'],
    ] as const) {
      expect((await host.run(['sr-scan', `uuid=${ext}`, ...more])).stdout).toBe(printed);
      expect((await host.run(['vdi-list', `uuid=${NOBODY}`, ...more])).stdout).toBe(printed);
    }
  });
});

describe('vdi-create', () => {
  test('gives a uuid, and a VDI with what was asked for and the defaults', async () => {
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
  ])('takes %s for a size and rounds it up to whole blocks, up to 2040 GiB', async (size, rounded) => {
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

  test.each(['', 'much', '1.5GiB', '1 GiBi', '0x100', '1 2'])('does not take %j for a size', async (size) => {
    expect(await refusal('vdi-create', `sr-uuid=${ext}`, 'name-label=a', `virtual-size=${size}`)).toBe(
      `Error: Failed to parse field 'virtual-size': expecting an integer (possibly with suffix KiB, MiB, GiB, TiB), got '${size}'\n`,
    );
  });

  test('rounds a raw volume to extents, and a raw file not at all', async () => {
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

  test('refuses values that are none of a parameter', async () => {
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

  // Each number worked out by hand from calcSizeVHDLV of sm's lvhdutil.py.
  test.each([
    [1, 8],
    [10, 28],
    [40, 88],
    [100, 208],
    [500, 1008],
    [2040, 4088],
  ])('of %d GiB on LVM needs room for %d MiB more', async (size, more) => {
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

  test('looks for room on LVM only', async () => {
    const sr = await host.sr('nfs', { size: MiB });
    await xe('vdi-destroy', `uuid=${await newVdi(sr, GiB)}`);
  });
});

describe('vdi-resize and vdi-destroy', () => {
  test('make it larger, rounded up, and never smaller', async () => {
    await withVdi(async (vdi) => {
      await xe('vdi-resize', `uuid=${vdi}`, 'disk-size=7MiB');
      expect(await param('vdi', vdi, 'virtual-size')).toBe(String(8 * MiB));
      expect(await raised('vdi-resize', `uuid=${vdi}`, 'disk-size=1')).toMatch(/^SR_BACKEND_FAILURE_79, \[ ; .*shrinking not allowed/);
      expect(await refusal('vdi-resize', `uuid=${vdi}`, 'disk-size=x')).toContain("'disk-size'");
      expect(await raised('vdi-resize', `uuid=${vdi}`, 'disk-size=16MiB', 'online=true')).toMatch(/^SR_OPERATION_NOT_SUPPORTED/);
    });
  });

  test('take the VBDs along that are not attached', async () => {
    const vdi = await newVdi(ext, MiB);
    const vbd = await newVbd(vdi);
    expect(await param('vdi', vdi, 'vbd-uuids')).toBe(vbd);
    await xe('vdi-destroy', `uuid=${vdi}`);
    expect(await xe('vbd-list', `uuid=${vbd}`, '--minimal')).toBe('');
    assertClean(host);
  });
});

describe('vbd-create', () => {
  test('gives a VBD with what was asked for and the defaults', async () => {
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

  test('refuses values that are none of a parameter', async () => {
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

  test('takes the first device that is free, or the one that is named, if it is', async () => {
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

  test('finds no device in a machine that has all it can have', async () => {
    await withVdi(async (vdi) => {
      for (let number = 0; number < 16; number++) await newVbd(vdi, host.guest);
      const args = ['vbd-create', `vm-uuid=${host.guest}`, `vdi-uuid=${vdi}`, 'device=autodetect'];
      expect(await raised(...args)).toBe('INVALID_DEVICE, [ autodetect ]');
    });
  });

  test('does not make what writes to a disk that is only to be read', async () => {
    await withVdi(async (vdi) => {
      await host.change('vdi', vdi, { readOnly: true });
      const args = ['vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect'];
      expect(await refusal(...args)).toBe(`The operation required write access but this VDI is read-only\nvdi: ${vdi} (disk)\n`);
      expect(await raised(...args)).toBe(`VDI_READONLY, [ ${refOf('vdi', vdi)} ]`);
      await xe(...args, 'mode=RO');
    });
  });
});

describe('a list', () => {
  test('has a record for each object, with names flush right, and two empty lines behind', async () => {
    await withVdi(async (vdi) => {
      const { stdout } = await host.run(['vdi-list', `uuid=${vdi}`, 'params=virtual-size,uuid']);
      expect(stdout).toBe(`uuid ( RO)            : ${vdi}\n    virtual-size ( RO): ${4 * MiB}\n\n\n`);
      const whole = await xe('vdi-param-list', `uuid=${vdi}`);
      for (const [name, mark] of Object.entries({
        'name-label': ' RW',
        tags: 'SRW',
        'other-config': 'MRW',
        'sm-config': 'MRO',
        type: ' RO',
      })) {
        expect(whole).toMatch(new RegExp(`^ +${name} \\(${mark}\\): `, 'm'));
      }
    });
  });

  test('that is minimal has the first field of each record, in the order of the fields, with commas and backslashes escaped', async () => {
    const made = [await newVdi(ext, MiB), await newVdi(ext, MiB)];
    await xe('vdi-param-set', `uuid=${made[0]}`, 'name-label=a,b\\c');
    expect(await xe('vdi-list', '--minimal', 'params=name-label')).toBe('a\\,b\\\\c,disk');
    expect(await xe('vdi-list', '--minimal')).toBe(made.join(','));
    expect(await xe('vdi-list', '--minimal', 'params=name-label,uuid')).toBe(made.join(','));
    expect(await xe('vdi-param-get', '--minimal', `uuid=${made[0]}`, 'param-name=name-label')).toBe('a\\,b\\\\c');
    expect(await param('vdi', made[0] ?? '', 'name-label')).toBe('a,b\\c');
    for (const vdi of made) await xe('vdi-destroy', `uuid=${vdi}`);
  });

  test('is filtered by all that is asked for together: fields, members of sets, values in maps', async () => {
    const other = await host.sr('nfs');
    const [a, b, c] = [
      await newVdi(ext, MiB, 'tags:x=', 'tags:y='),
      await newVdi(ext, MiB, 'tags:y='),
      await newVdi(other, MiB, 'tags:y='),
    ];
    await xe('vdi-param-set', `uuid=${b}`, 'other-config:key=value');
    const list = (...filters: string[]): Promise<string> => xe('vdi-list', '--minimal', ...filters);
    expect(await list('tags:contains=x')).toBe(a);
    expect(await list('tags:contains=y')).toBe([a, b, c].join(','));
    expect(await list('tags:contains=y', `sr-uuid=${ext}`)).toBe([a, b].join(','));
    expect(await list('tags:contains=y', `sr-uuid=${ext}`, 'tags:contains=x')).toBe(a);
    expect(await list('tags:contains=x,')).toBe('');
    expect(await list('other-config:key=value')).toBe(b);
    expect(await list('other-config:key=other')).toBe('');
    expect(await list('tags=x, y')).toBe(a);
    expect(await list('name-label=Disk')).toBe('');
    for (const vdi of [a, b, c]) await xe('vdi-destroy', `uuid=${vdi}`);
  });

  test('refuses filters and fields that there are none of, and --trace, which was a filter once', async () => {
    expect(await refusal('vdi-list', 'nothing=1')).toBe("Error: Unknown field 'nothing'\n");
    expect(await refusal('vdi-list', 'params=uuid,nothing')).toBe("Error: Unknown field 'nothing'\n");
    expect(await refusal('vbd-list', '--trace')).toBe("Error: Unknown field 'trace'\n");
    expect(await refusal('vdi-list', 'nothing:contains=1')).toBe("Error: Unknown field 'nothing:contains'\n");
    await withVdi(async () => {
      expect(await refusal('vdi-list', 'tags:has=1')).toMatch(/^Error: Invalid syntax for set filtering/);
      expect(await refusal('vdi-list', 'name-label:contains=1')).toBe("Error: Field 'name-label' is not a set or map\n");
    });
  });

  test('of VMs knows which control domain is the one of this host', async () => {
    const inventory = readFileSync(host.inventory, 'utf8');
    expect(inventory).toMatch(new RegExp(`^CONTROL_DOMAIN_UUID='${host.dom0}'$`, 'm'));
    expect(inventory).toMatch(new RegExp(`^INSTALLATION_UUID='${host.uuid}'$`, 'm'));
    const all = (await xe('vm-list', 'is-control-domain=true', '--minimal')).split(',');
    expect(all).toHaveLength(3);
    expect(all[0]).not.toBe(host.dom0);
    expect(await xe('vm-list', 'is-control-domain=true', `resident-on=${host.uuid}`, 'dom-id=0', '--minimal')).toBe(host.dom0);
  });

  test('of pools, hosts, SRs and PBDs tells what is where', async () => {
    const sr = await host.sr('nfs', { shared: true, attached: false });
    const hosts = (await xe('host-list', '--minimal')).split(',');
    expect(hosts).toHaveLength(2);
    expect(hosts[0]).toBe(host.uuid);
    expect(await xe('pool-list', 'params=default-SR', '--minimal')).toBe('<not in database>');
    expect(await xe('pool-list', 'params=master', '--minimal')).toBe(host.uuid);
    expect(await xe('sr-list', `uuid=${sr}`, 'params=type', '--minimal')).toBe('nfs');
    expect(await xe('sr-list', `uuid=${sr}`, 'params=host', '--minimal')).toBe('<shared>');
    const attached = (which = host.uuid): Promise<string> =>
      xe('pbd-list', `sr-uuid=${sr}`, `host-uuid=${which}`, 'params=currently-attached', '--minimal');
    expect([await attached(), await attached(hosts[1])]).toEqual(['false', 'true']);
    expect(await param('sr', sr, 'sm-config')).toBe('');
    expect(await param('sr', await host.sr('lvm', { smConfig: { allocation: 'thick', use_vhd: 'true' } }), 'sm-config')).toBe(
      'allocation: thick; use_vhd: true',
    );
  });
});

describe('the fields of an object', () => {
  test('are read whole, or by their key in a map', async () => {
    await withVdi(async (vdi) => {
      await xe('vdi-param-set', `uuid=${vdi}`, 'other-config:a=1', 'other-config:b=2');
      expect(await param('vdi', vdi, 'other-config')).toBe('a: 1; b: 2');
      expect(await param('vdi', vdi, 'other-config', 'param-key=b')).toBe('2');
      expect(await refusal('vdi-param-get', `uuid=${vdi}`, 'param-name=other-config', 'param-key=c')).toBe(
        'Error: Key c not found in map\n',
      );
      expect(await refusal('vdi-param-get', `uuid=${vdi}`, 'param-name=colour')).toBe(
        'Error code: Missing parameter\nError parameters: colour\n',
      );
      expect(await param('vdi', vdi, 'sm-config', 'param-key=vdi_type')).toBe('vhd');
    });
  });

  test('are set where they can be', async () => {
    await withVdi(async (vdi) => {
      const set = (...args: string[]): Promise<string> => refusal('vdi-param-set', `uuid=${vdi}`, ...args);
      await xe('vdi-param-set', `uuid=${vdi}`, 'name-description=some words', 'other-config:a=1');
      await xe('vdi-param-set', `uuid=${vdi}`, 'other-config:a=2');
      expect(await param('vdi', vdi, 'name-description')).toBe('some words');
      expect(await param('vdi', vdi, 'other-config')).toBe('a: 2');
      expect(await set('virtual-size=1')).toBe("Error: Field 'virtual-size' is read-only.\n");
      expect(await set('other-config=a')).toBe("Error: Field 'other-config' is a map or set. use the 'name:key=value' syntax.\n");
      expect(await set('tags:a=')).toBe('Error: Cannot param-set on set fields\n');
      expect(await set('sm-config:type=raw')).toBe("Error: Map field 'sm-config' is read-only.\n");
      expect(await set('colour=red')).toBe("Error: Unknown field 'colour'\n");
    });
  });

  test('have members that are added, removed and cleared', async () => {
    await withVdi(async (vdi) => {
      const [add, remove, clear] = ['add', 'remove', 'clear'].map((what) => [`vdi-param-${what}`, `uuid=${vdi}`] as const);
      if (add === undefined || remove === undefined || clear === undefined) throw new Error('there are three');
      await xe(...add, 'param-name=tags', 'param-key=one');
      await xe(...add, 'param-name=tags', 'param-key=one');
      await xe(...add, 'param-name=tags', 'param-key=two');
      await xe(...add, 'param-name=other-config', 'a=1', 'b=2');
      expect([await param('vdi', vdi, 'tags'), await param('vdi', vdi, 'other-config')]).toEqual(['one, two', 'a: 1; b: 2']);
      expect(await raised(...add, 'param-name=other-config', 'a=3')).toMatch(
        /^MAP_DUPLICATE_KEY, \[ VDI; other_config; OpaqueRef:.*; a \]$/,
      );
      expect(await refusal(...add, 'param-name=tags', 'a=3')).toMatch(/^Error: When adding a key to a set, use the syntax/);
      expect(await refusal(...add, 'param-name=sm-config', 'a=3')).toBe('Error: Parameter is read-only\n');
      expect(await refusal(...add, 'param-name=type', 'a=3')).toBe('Error: Can only add to parameters of type Set or Map\n');

      await xe(...remove, 'param-name=tags', 'param-key=one');
      await xe(...remove, 'param-name=other-config', 'param-key=b');
      expect([await param('vdi', vdi, 'tags'), await param('vdi', vdi, 'other-config')]).toEqual(['two', 'a: 1']);
      expect(await refusal(...remove, 'param-name=tags', 'param-key=one')).toBe('Error: Key one is not in the set\n');
      expect(await refusal(...remove, 'param-name=other-config', 'param-key=b')).toBe('Error: Key b is not in map\n');
      expect(await refusal(...remove, 'param-name=sm-config', 'param-key=type')).toBe(
        'Error: Cannot remove parameters from read-only map\n',
      );
      expect(await refusal(...remove, 'param-name=uuid', 'param-key=a')).toBe(
        'Error: Can only remove from parameters of type Set or Map\n',
      );

      await xe(...clear, 'param-name=tags');
      await xe(...clear, 'param-name=other-config');
      await xe(...clear, 'param-name=name-label');
      expect(await Promise.all(['tags', 'other-config', 'name-label'].map((name) => param('vdi', vdi, name)))).toEqual(['', '', '']);
      expect(await refusal(...clear, 'param-name=virtual-size')).toBe('Error: Can only clear RW parameters\n');
      expect(await raised(...clear, 'param-name=colour')).toBe('Missing parameter, [ colour ]');
    });
  });
});

testWith('loop')('nothing was left by all of this', () => assertClean(host));
