import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { info, writeDisk } from '../../src/index.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, ovfOf, refused, sample, waysOf, written } from '../support/packages.ts';

const system = sample(1);
const data = sample(2);
const text = (words: string): Buffer => Buffer.from(words);

describe('the disk of a package', () => {
  test.each<[string, Entry[]]>([
    [
      'in front',
      [
        ['box.ovf', ovfOf(['system.vhd'])],
        ['system.vhd', system.vhd],
      ],
    ],
    [
      'at the end',
      [
        ['system.vhd', system.vhd],
        ['box.ovf', ovfOf(['system.vhd'])],
      ],
    ],
    [
      'in front, with a manifest and a certificate file that are not read',
      [
        ['box.ovf', ovfOf(['system.vhd'])],
        ['box.mf', text('?')],
        ['box.cert', text('?')],
        ['system.vhd', system.vhd],
      ],
    ],
  ])('is written if the OVF is %s', async (_, entries) => {
    for (const result of await written(entries, system.content, { manifest: 'ignore' })) {
      expect(result).toMatchObject({ member: 'system.vhd', layers: 1, warnings: [] });
    }
  });

  test.each(['system.disk', 'system', 'a folder/system.bin', 'system.vmdk', 'swap.vhd'])(
    'is the one that the OVF names, even as %s; other VHDs are ignored with a warning',
    async (name) => {
      const entries: Entry[] = [
        ['box.ovf', ovfOf([name])],
        ['other.vhd', data.vhd],
        [name, system.vhd],
        ['0.vhd', data.vhd],
        ['readme', text('hi')],
      ];
      for (const result of await written(entries, system.content)) {
        expect(result).toMatchObject({ member: name, ignored: ['other.vhd', '0.vhd', 'readme'] });
      }
    },
  );

  test('is found by its href without percent signs and "./"', async () => {
    const entries: Entry[] = [
      ['./', text('')],
      ['./box.ovf', ovfOf(['./System%20%281%29.bin'])],
      ['./System (1).bin', system.vhd],
    ];
    for (const result of await written(entries, system.content)) expect(result.member).toBe('System (1).bin');
  });

  test('is also chosen by an OVF after it, if the archive is seekable', async () => {
    const folder = testFolder();
    const entries: Entry[] = [
      ['other.vhd', data.vhd],
      ['system.bin', system.vhd],
      ['box.ovf', ovfOf(['system.bin'])],
    ];
    for (const { jumps, input, name } of waysOf(folder, entries)) {
      const target = join(folder, 'disk');
      const result = writeDisk(input(), target, { force: ['content'] });
      if (jumps) {
        await expect(result, name).resolves.toMatchObject({ member: 'system.bin', ignored: ['other.vhd'] });
        expect(readFileSync(target).equals(system.content)).toBe(true);
      } else {
        // The wrong disk has been written by then.
        await expect(result, name).rejects.toMatchObject({ code: 'OVF_DISK_MISSING', member: 'system.bin' });
      }
    }
  });

  test('has a name relative to the OVF, as the standard defines hrefs', async () => {
    const entries: Entry[] = [
      ['export/box.ovf', ovfOf(['system.bin'])],
      ['export/other.vhd', data.vhd],
      ['export/system.bin', system.vhd],
    ];
    for (const result of await written(entries, system.content)) expect(result.member).toBe('export/system.bin');
  });

  test('is any VHD if the OVF names none', async () => {
    const entries: Entry[] = [
      ['box.ovf', ovfOf([])],
      ['system.vhd', system.vhd],
      ['box.nvram', text('x')],
    ];
    for (const result of await written(entries, system.content)) expect(result.ignored).toEqual(['box.nvram']);
  });
});

describe('a disk that the OVF names', () => {
  test('must be in the archive', async () => {
    const entries: Entry[] = [
      ['box.ovf', ovfOf(['system.vhd', 'data.vhd'])],
      ['system.vhd', system.vhd],
      ['other.vhd', data.vhd],
    ];
    await refused(entries, { code: 'OVF_DISK_MISSING', member: 'data.vhd' }, { early: ({ jumps }) => jumps });
  });

  test('must be in the archive even if it is the only one', async () => {
    const entries: Entry[] = [
      ['box.ovf', ovfOf(['data.vhd'])],
      ['system.vhd', system.vhd],
    ];
    await refused(entries, { code: 'OVF_DISK_MISSING', member: 'data.vhd' }, { early: ({ jumps }) => jumps });
  });

  test('must not be split into chunks', async () => {
    const entries: Entry[] = [
      ['box.ovf', ovfOf(['system.vhd'], 'ovf:chunkSize="4096"')],
      ['system.vhd.000000000', system.vhd],
    ];
    await refused(entries, { code: 'OVF_CHUNKED', member: 'system.vhd' }, { early: () => true });
  });

  test('must be in a supported format: the error names VMDK', async () => {
    const vmdk = Buffer.alloc(4096, 'KDMV\x03\0\0\0', 'latin1');
    const descriptor = Buffer.concat([text('# Disk DescriptorFile\nversion=1\n'), Buffer.alloc(1024)]);
    for (const disk of [vmdk, descriptor]) {
      const shape = {
        code: 'FORMAT_OTHER',
        member: 'box-disk1.vmdk',
        message: expect.stringContaining('VMDK'),
        advice: expect.stringContaining('qemu-img'),
      };
      await refused(
        [
          ['box.ovf', ovfOf(['box-disk1.vmdk'])],
          ['box-disk1.vmdk', disk],
        ],
        shape,
        { early: () => true },
      );
      await refused(
        [
          ['box-disk1.vmdk', disk],
          ['readme', text('hi')],
        ],
        shape,
        { early: () => true },
      );
    }
  });
});

describe('two disks that an OVF names', () => {
  const entries: Entry[] = [
    ['box.ovf', ovfOf(['system.vhd', 'data.bin'])],
    ['system.vhd', system.vhd],
    ['data.bin', data.vhd],
    ['third.vhd', data.vhd],
  ];

  test('are ambiguous', async () => {
    await refused(entries, { code: 'DISK_AMBIGUOUS', message: expect.stringMatching(/system\.vhd.*data\.bin/) });
  });

  test.each([
    ['system.vhd', system],
    ['data.bin', data],
  ])('can be selected by name: %s', async (disk, { content }) => {
    for (const result of await written(entries, content, { disk })) expect(result.member).toBe(disk);
  });

  test('are both shown by info, which ignores a third', async () => {
    for (const { input, name } of waysOf(testFolder(), entries)) {
      const found = await info(input());
      expect(
        found.disks.map(({ member }) => member),
        name,
      ).toEqual(['system.vhd', 'data.bin']);
      expect(found).toMatchObject({ virtualSize: undefined, ignored: ['third.vhd'] });
    }
  });
});

test('an OVF that is not XML is reported immediately, with its name', async () => {
  await refused(
    [
      ['box.ovf', text('<Envelope')],
      ['system.vhd', system.vhd],
    ],
    { code: 'OVF_XML', member: 'box.ovf' },
    { early: () => true },
  );
});

test('no file of a package is ever created next to the target', async () => {
  const folder = testFolder();
  for (const { input } of waysOf(folder, [
    ['box.ovf', ovfOf(['system.vhd'])],
    ['system.vhd', system.vhd],
  ])) {
    await writeDisk(input(), join(folder, 'disk'), { force: ['content'] });
    expect(readdirSync(folder).sort()).toEqual(['box.ova', 'box.tar.gz', 'disk']);
  }
});
