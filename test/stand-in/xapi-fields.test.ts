import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ext, host, MiB, newVdi, param, raised, refusal, withVdi, xe } from '../support/xe.ts';

describe('a list', () => {
  test('has a record for each object, with names aligned right, followed by two empty lines', async () => {
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

  test('with --minimal has the first field of each record, in the order of the fields, with commas and backslashes escaped', async () => {
    const made = [await newVdi(ext, MiB), await newVdi(ext, MiB)];
    await xe('vdi-param-set', `uuid=${made[0]}`, 'name-label=a,b\\c');
    expect(await xe('vdi-list', '--minimal', 'params=name-label')).toBe('a\\,b\\\\c,disk');
    expect(await xe('vdi-list', '--minimal')).toBe(made.join(','));
    expect(await xe('vdi-list', '--minimal', 'params=name-label,uuid')).toBe(made.join(','));
    expect(await xe('vdi-param-get', '--minimal', `uuid=${made[0]}`, 'param-name=name-label')).toBe('a\\,b\\\\c');
    expect(await param('vdi', made[0] ?? '', 'name-label')).toBe('a,b\\c');
    for (const vdi of made) await xe('vdi-destroy', `uuid=${vdi}`);
  });

  test('is filtered by all conditions together: fields, members of sets, values in maps', async () => {
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

  test('refuses unknown filters and fields, and --trace, which used to be a filter', async () => {
    expect(await refusal('vdi-list', 'nothing=1')).toBe("Error: Unknown field 'nothing'\n");
    expect(await refusal('vdi-list', 'params=uuid,nothing')).toBe("Error: Unknown field 'nothing'\n");
    expect(await refusal('vbd-list', '--trace')).toBe("Error: Unknown field 'trace'\n");
    expect(await refusal('vdi-list', 'nothing:contains=1')).toBe("Error: Unknown field 'nothing:contains'\n");
    await withVdi(async () => {
      expect(await refusal('vdi-list', 'tags:has=1')).toMatch(/^Error: Invalid syntax for set filtering/);
      expect(await refusal('vdi-list', 'name-label:contains=1')).toBe("Error: Field 'name-label' is not a set or map\n");
    });
  });

  test('of VMs shows which control domain belongs to this host', async () => {
    const inventory = readFileSync(host.inventory, 'utf8');
    expect(inventory).toMatch(new RegExp(`^CONTROL_DOMAIN_UUID='${host.dom0}'$`, 'm'));
    expect(inventory).toMatch(new RegExp(`^INSTALLATION_UUID='${host.uuid}'$`, 'm'));
    const all = (await xe('vm-list', 'is-control-domain=true', '--minimal')).split(',');
    expect(all).toHaveLength(3);
    expect(all[0]).not.toBe(host.dom0);
    expect(await xe('vm-list', 'is-control-domain=true', `resident-on=${host.uuid}`, 'dom-id=0', '--minimal')).toBe(host.dom0);
  });

  test('of pools, hosts, SRs and PBDs shows what is where', async () => {
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
  test('are read completely, or by a key of a map', async () => {
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

  test('are set if they are writable', async () => {
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

  test('can have members added, removed and cleared', async () => {
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
