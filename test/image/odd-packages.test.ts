/** Packages that are odd where no disk depends on it, and archives that are no packages. */

import { describe, expect, test } from 'vitest';
import { check, info } from '../../src/index.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, manifestOf, ovfOf, refused, sample, waysOf, written } from '../support/packages.ts';

const disk = sample(1);
const vhd: Entry = ['disk.vhd', disk.vhd];
const text = (words: string): Buffer => Buffer.from(words);
const ALGORITHMS = ['sha1', 'sha256', 'sha512'] as const;

describe('a name in another case', () => {
  test('in the OVF is a warning', async () => {
    for (const { member, warnings } of await written([['box.ovf', ovfOf(['Disk.VHD'])], vhd], disk.content)) {
      expect(member).toBe('disk.vhd');
      expect(warnings).toEqual([{ code: 'OVF_ODD', message: 'the OVF calls this member "Disk.VHD"', member: 'disk.vhd' }]);
    }
  });

  test('in the OVF never hides the disk that has the very name', async () => {
    const entries: Entry[] = [['box.ovf', ovfOf(['disk.vhd'])], vhd, ['DISK.VHD', sample(2).vhd]];
    await refused(entries, { code: 'DISK_AMBIGUOUS' });
  });

  test('in the manifest is still compared', async () => {
    const ovf: Entry = ['box.ovf', ovfOf(['disk.vhd'])];
    const good: Entry = ['box.mf', manifestOf([['Disk.VHD', disk.vhd]])];
    const bad: Entry = ['box.mf', manifestOf([['Disk.VHD', text('another')]])];
    for (const { warnings } of await written([ovf, good, vhd], disk.content)) expect(warnings).toEqual([]);
    for (const entries of [
      [ovf, bad, vhd],
      [ovf, vhd, bad],
    ])
      await refused(entries, { code: 'MANIFEST_DIGEST', member: 'disk.vhd' });
  });
});

describe('an OVF with a disk whose file it does not list', () => {
  const dangling = (hrefs: readonly string[]): Entry => [
    'box.ovf',
    text(`${ovfOf(hrefs)}`.replace('</DiskSection>', '<Disk ovf:diskId="x" ovf:fileRef="gone"/></DiskSection>')),
  ];

  test('leaves the choice to the names of the members, with a warning', async () => {
    for (const entries of [
      [dangling([]), vhd],
      [dangling(['disk.vhd']), vhd],
    ]) {
      for (const { member, warnings } of await written(entries, disk.content)) {
        expect(member).toBe('disk.vhd');
        expect(warnings).toEqual([expect.objectContaining({ code: 'OVF_ODD', member: 'box.ovf' })]);
      }
    }
  });

  test('hides no other disk', async () => {
    const entries: Entry[] = [dangling(['disk.vhd']), vhd, ['other.vhd', sample(2).vhd]];
    await refused(entries, { code: 'DISK_AMBIGUOUS' });
    for (const { member } of await written(entries, disk.content, { disk: 'disk.vhd' })) expect(member).toBe('disk.vhd');
  });
});

describe('a manifest with several digests of each file', () => {
  const ovf: Entry = ['box.ovf', ovfOf(['disk.vhd'])];
  const mf = (of: (algorithm: (typeof ALGORITHMS)[number]) => readonly Entry[]): Entry => [
    'box.mf',
    Buffer.concat(ALGORITHMS.map((algorithm) => manifestOf(of(algorithm), algorithm))),
  ];

  test('is good if all match', async () => {
    const good = mf(() => [ovf, vhd]);
    for (const entries of [
      [ovf, good, vhd],
      [ovf, vhd, good],
    ])
      for (const { warnings } of await written(entries, disk.content, { manifest: 'require' })) expect(warnings).toEqual([]);
  });

  test.each(ALGORITHMS)('is compared with the %s, too', async (wrong) => {
    const bad = mf((algorithm) => [ovf, algorithm === wrong ? ['disk.vhd', text('another')] : vhd]);
    const shape = { code: 'MANIFEST_DIGEST', member: 'disk.vhd', message: expect.stringContaining(`the ${wrong} of`) };
    for (const entries of [
      [ovf, bad, vhd],
      [ovf, vhd, bad],
    ])
      await refused(entries, shape);
  });
});

describe('an XVA', () => {
  const list: Entry = ['ova.xml', text('<value><struct><member><name>version</name><value><struct/></value></member></struct></value>')];
  const part: Entry = ['Ref:3/00000000', Buffer.alloc(1 << 20, 7)];
  const versions: [string, Entry[]][] = [
    ['version 2', [list, part, ['Ref:3/00000000.checksum', text('0'.repeat(40))]]],
    ['version 2, with xxHash', [list, part, ['Ref:3/00000000.xxhash', text('0'.repeat(16))]]],
    [
      'version 2, with a folder',
      [
        ['./ova.xml', list[1]],
        ['./Ref:12/', text('')],
        ['./Ref:12/00000000', part[1]],
      ],
    ],
    [
      'version 1',
      [
        ['ova.xml', text('<?xml version="1.0" ?><appliance/>')],
        ['xvda/chunk-000000000.gz', part[1]],
      ],
    ],
  ];

  test.each(versions)('of %s is named, raw or not, with the command that imports it', async (_, entries) => {
    const shape = { code: 'FORMAT_OTHER', message: expect.stringContaining('XVA'), advice: expect.stringContaining('xe vm-import') };
    for (const raw of [undefined, true]) {
      await refused(entries, shape, { raw });
      for (const { input } of waysOf(testFolder(), entries)) {
        await expect(info(input(), { raw })).rejects.toMatchObject(shape);
        expect((await check(input(), { raw })).findings).toContainEqual(expect.objectContaining(shape));
      }
    }
  });

  test('is not any archive with one of its names', async () => {
    for (const entries of [
      [['readme', text('hi')], list, part, vhd],
      [['Ref:3/00000000', text('a')], vhd],
      [['ova.xml', text('a')], vhd],
    ] satisfies Entry[][])
      for (const { member } of await written(entries, disk.content)) expect(member).toBe('disk.vhd');
  });
});
