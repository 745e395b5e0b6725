/** The disks of an archive one after another: which members make each of them, and what cannot be read in one pass. */

import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { type Entry, manifestOf, ovfOf, sample } from '../support/packages.ts';
import { EVERY_FORM, expectSeries, FORMS, type FormName, layersOf, readSeries, twoLayers } from '../support/series.ts';
import { createStack, layerVhd } from '../support/vhd-model.ts';

const [one, two] = [sample(1), sample(2)];
const [a, b, larger] = [twoLayers(1), twoLayers(2), twoLayers(3, 80)];
const [leafA, baseA] = layersOf(a);
const [leafB, baseB] = layersOf(b);
const [leafLarger, baseLarger] = layersOf(larger);
const [VHD, OTHER] = [one.vhd, two.vhd];

type Members = Readonly<Record<string, Uint8Array>>;

interface Case {
  readonly title: string;
  readonly members: Members;
  /** The disks in their order. */
  readonly disks: Members;
  /** The forms in which it can be read; every one by default. */
  readonly forms?: readonly FormName[];
  /** The error in the other forms. */
  readonly code?: string;
}

const A = { 'a.vhd': a.content };
const ONE = { 'one.vhd': one.content };

const CASES: readonly Case[] = [
  {
    title: 'disks in their order',
    members: { 'two.vhd': OTHER, 'one.vhd': VHD },
    disks: { 'two.vhd': two.content, ...ONE },
  },
  {
    title: 'chains whose layers follow each other',
    members: { 'a.vhd': leafA, 'p.vhd': baseA, 'b.vhd': leafB, 'q.vhd': baseB },
    disks: { ...A, 'b.vhd': b.content },
  },
  {
    title: 'a layer over the disk before it, which has its size',
    members: { 'p.vhd': baseA, 'a.vhd': leafA, 'one.vhd': VHD },
    disks: { ...A, ...ONE },
  },
  {
    title: 'raw disks beside VHDs',
    members: { 'one.vhd': VHD, 'b.raw': two.content, 'c.img': one.content },
    disks: { ...ONE, 'b.raw': two.content, 'c.img': one.content },
  },
  {
    title: 'a swap disk',
    members: { 'one.vhd': VHD, 'swap.vhd': OTHER },
    disks: { ...ONE, 'swap.vhd': two.content },
  },
  {
    title: 'a VHD that is not named like one',
    members: { 'one.vhd': VHD, root: OTHER },
    disks: { ...ONE, root: two.content },
  },
  {
    title: 'gzipped members',
    members: { 'one.vhd.gz': gzipSync(VHD), 'two.vhd': gzipSync(OTHER) },
    disks: { 'one.vhd.gz': one.content, 'two.vhd': two.content },
  },
  {
    title: 'numbered layers with the leaf last',
    members: { 'x/1.vhd': baseA, 'x/0.vhd': leafA, 'one.vhd': VHD },
    disks: { 'x/0.vhd': a.content, ...ONE },
    forms: ['file', 'packed', 'remote'],
    code: 'CHAIN_ORDER',
  },
  {
    title: 'another chain with the leaf last',
    members: { 'one.vhd': VHD, 'x/1.vhd': baseA, 'x/0.vhd': leafA },
    disks: { ...ONE, 'x/0.vhd': a.content },
    forms: ['file'],
    code: 'DISK_ORDER',
  },
  {
    title: 'a larger layer over the disk before it',
    members: { 'p.vhd': baseLarger, 'a.vhd': leafLarger },
    disks: { 'a.vhd': larger.content },
    forms: ['file'],
    code: 'DISK_ORDER',
  },
  {
    title: 'layers of two chains, mixed',
    members: { 'a.vhd': leafA, 'b.vhd': leafB, 'p.vhd': baseA, 'q.vhd': baseB },
    disks: { ...A, 'b.vhd': b.content },
    forms: ['file'],
    code: 'DISK_ORDER',
  },
  {
    title: 'a disk between numbered layers',
    members: { 'x/0.vhd': leafA, 'one.vhd': VHD, 'x/1.vhd': baseA },
    disks: { 'x/0.vhd': a.content, ...ONE },
    forms: ['file'],
    code: 'DISK_ORDER',
  },
  {
    title: 'a disk between a parent and its leaf',
    members: { 'p.vhd': baseA, 'one.vhd': VHD, 'a.vhd': leafA },
    disks: { ...ONE, ...A },
    forms: ['file'],
    code: 'DISK_ORDER',
  },
];

describe.each(CASES)('$title', ({ members, disks, forms = EVERY_FORM, code }) => {
  test.each(EVERY_FORM)('in a %s', async (form) => {
    const reading = readSeries(FORMS[form](Object.entries(members)));
    if (forms.includes(form)) expectSeries(await reading, Object.entries(disks));
    else expect(await failure(reading)).toMatchObject({ code, left: [] });
  });
});

describe('with a staging folder', () => {
  const late = CASES.filter(({ title }) => title.includes('with the leaf last'));
  test.each(late)('a stream may have $title', async ({ members, disks }) => {
    expectSeries(await readSeries(FORMS.stream(Object.entries(members)), { staging: testFolder() }), Object.entries(disks));
  });
});

describe('refused are', () => {
  const [leaf = createStack({ kind: 'dynamic', size: 1 }).layers[0]] = a.stack.layers;
  const id = (byte: number) => ({ id: Buffer.alloc(16, byte), timestamp: 0 });
  const over = (parent: Uint8Array): Buffer =>
    leaf === undefined ? Buffer.alloc(0) : layerVhd(leaf, { seed: 9 }, id(9), { id: parent, timestamp: 0 });
  const idOf = (vhd: Buffer): Buffer => vhd.subarray(vhd.length - 444, vhd.length - 428);
  const twice: readonly Entry[] = [
    ['one.vhd', VHD],
    ['one.vhd', OTHER],
  ];
  const qcow = Buffer.alloc(600, 'QFI\xfb', 'latin1');

  test.each<readonly [string, string, readonly Entry[], readonly FormName[]]>([
    [
      'two leaves over one parent',
      'DISK_ORDER',
      Object.entries({ 'a.vhd': leafA, 'p.vhd': baseA, 'c.vhd': over(idOf(baseA)) }),
      EVERY_FORM,
    ],
    ['a chain without its base', 'VHD_DIFFERENCING', Object.entries({ 'one.vhd': VHD, 'a.vhd': leafA }), EVERY_FORM],
    ['two members of one name', 'DISK_DUPLICATE', twice, EVERY_FORM],
    ['a disk in another format by its name', 'FORMAT_OTHER', Object.entries({ 'one.vhd': VHD, 'two.vmdk': Buffer.alloc(600) }), EVERY_FORM],
    ['a disk in another format by its content', 'FORMAT_OTHER', Object.entries({ 'one.vhd': VHD, two: qcow }), EVERY_FORM],
    ['an archive without disks', 'DISK_NONE', Object.entries({ 'readme.txt': Buffer.from('text') }), EVERY_FORM],
    [
      'a fixed disk whose size is at its end',
      'DISK_SIZE_UNKNOWN',
      Object.entries({ 'one.vhd': VHD, 'two.vhd.gz': gzipSync(fixedVhd(two.content)) }),
      ['packed', 'stream', 'remote'],
    ],
  ])('%s (%s)', async (_, code, entries, forms) => {
    for (const form of forms) expect(await failure(readSeries(FORMS[form](entries)))).toMatchObject({ code });
  });

  test('a layer over a raw disk, if it does not say which', async () => {
    const raw = Buffer.alloc(40 * 512, 1);
    const [layer, base, other]: readonly Entry[] = [
      ['leaf.vhd', over(Buffer.alloc(16))],
      ['base.raw', raw],
      ['other.raw', raw],
    ];
    if (layer === undefined || base === undefined || other === undefined) throw new Error('there are three');
    const { disks } = await readSeries(FORMS.stream([layer, base]));
    expect(disks.map(([member]) => member)).toEqual(['leaf.vhd']);
    expect(await failure(readSeries(FORMS.stream([layer, base, other])))).toMatchObject({ code: 'DISK_ORDER' });
  });

  test('layers of another disk between those of one, if a manifest needs the order of the archive', async () => {
    const disks = Object.entries({ 'a.vhd': leafA, 'b.vhd': leafB, 'p.vhd': baseA, 'q.vhd': baseB });
    const entries: readonly Entry[] = [['box.mf', manifestOf(disks)], ...disks];
    expect(await failure(readSeries(FORMS.file(entries)))).toMatchObject({ code: 'DISK_ORDER' });
    expect((await readSeries(FORMS.file(entries), { manifest: 'ignore' })).disks).toHaveLength(2);
  });
});

describe('a descriptor', () => {
  test.each(EVERY_FORM)('decides which are the disks, and the others are left out with a warning: in a %s', async (form) => {
    const members = { 'box.ovf': ovfOf(['two.vhd']), 'one.vhd': VHD, 'two.vhd': OTHER, 'c.vmdk': Buffer.alloc(9) };
    const { disks, ignored, warnings } = await readSeries(FORMS[form](Object.entries(members)));
    expect(disks.map(([member]) => member)).toEqual(['two.vhd']);
    expect([ignored, warnings]).toEqual([
      ['one.vhd', 'c.vmdk'],
      ['DISK_LEFT_OUT', 'DISK_LEFT_OUT'],
    ]);
  });

  test.each(EVERY_FORM)('may list a disk that starts empty, which is left out with a warning: in a %s', async (form) => {
    const ovf = String(ovfOf(['one.vhd'])).replace('</DiskSection>', '<Disk ovf:diskId="blank" ovf:capacity="1"/></DiskSection>');
    const { disks, warnings } = await readSeries(FORMS[form](Object.entries({ 'box.ovf': Buffer.from(ovf), 'one.vhd': VHD })));
    expect([disks.length, warnings]).toEqual([1, ['DISK_LEFT_OUT']]);
  });
});
