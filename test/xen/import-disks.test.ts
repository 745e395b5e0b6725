/** All disks of an archive in one pass: one VDI each, whose bytes are those of the disk. */

import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { type ImportDisksOptions, type ImportResult, importDisks, importImage, type SourceInput } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { chunked, pair, sampleChain, stored } from '../support/chains.ts';
import { testFolder } from '../support/folder.ts';
import { bytesOf, expectDisk, toolstackOf } from '../support/imported.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { type Entry, manifestOf, ovfOf, sample } from '../support/packages.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');
const MiB = 2 ** 20;

let host: Host;
let sr: string;
beforeAll(async () => {
  host = await startHost();
  sr = await host.sr('ext');
});
afterAll(() => host?.stop());
afterEach(async () => {
  for (const { uuid } of host.state().vdi) await host.run(['vdi-destroy', `uuid=${uuid}`]);
  assertClean(host);
});

type Options = Omit<ImportDisksOptions, 'sr' | 'xe'>;

const importing = (input: SourceInput | readonly SourceInput[], options: Options = {}): Promise<ImportResult[]> =>
  importDisks(input, { ...options, sr, xe: toolstackOf(host) });

interface Disk {
  readonly member?: string;
  readonly name: string;
  readonly content: Uint8Array;
}

/** These VDIs are there and no others, in this order, without an owner tag. */
function expectDisks(results: readonly ImportResult[], disks: readonly Disk[]): void {
  expect(results.map(({ member, name }) => ({ member, name }))).toEqual(disks.map(({ member, name }) => ({ member, name })));
  assertClean(host, { vdis: results.map(({ vdi }) => vdi) });
  for (const [index, { vdi, vdiSize }] of results.entries()) {
    const { content = Buffer.alloc(0), name } = disks[index] ?? {};
    expect(host.state().vdi.find(({ uuid }) => uuid === vdi)).toMatchObject({ sr, nameLabel: name, tags: [], virtualSize: vdiSize });
    expectDisk(bytesOf(host, vdi), content, vdiSize);
  }
}

const [one, two, three] = [sample(1), sample(2), sample(3)];

/** Each form of an image as a file and as a stream. */
const inputs = (name: string, bytes: Uint8Array): SourceInput[] => [stored(testFolder(), name, bytes), chunked(bytes)];
const nameOf = (input: SourceInput, file: string, member: string): string => `${typeof input === 'string' ? file : 'stream'}/${member}`;

describe('every disk of an archive becomes a VDI', () => {
  const vhds: readonly Entry[] = [
    ['box-disk1.vhd', one.vhd],
    ['readme.txt', Buffer.from('not a disk')],
    ['box-disk2.vhd', fixedVhd(two.content)],
    ['box-disk3.vhd', three.vhd],
  ];
  const contents = [one.content, two.content, three.content];
  const ovf: Entry = ['box.ovf', ovfOf(['box-disk1.vhd', 'box-disk2.vhd', 'box-disk3.vhd'])];
  const described = [ovf, ...vhds];

  test.each([
    ['a tar', 'box.tar', tarOf(vhds)],
    ['a compressed tar', 'box.tar.gz', gzipSync(tarOf(vhds))],
    ['an OVA', 'box.ova', tarOf(described)],
    ['an OVA with a manifest at its end', 'box.ova', tarOf([...described, ['box.mf', manifestOf(described)]])],
    [
      'a compressed OVA with a manifest after the descriptor',
      'box.ova.gz',
      gzipSync(tarOf([ovf, ['box.mf', manifestOf(described)], ...vhds])),
    ],
  ])('%s, from a file and from a stream', async (_, file, bytes) => {
    for (const input of inputs(file, bytes)) {
      const results = await importing(input, { verify: true });
      const disks = contents.map((content, index) => {
        const member = `box-disk${index + 1}.vhd`;
        return { member, name: nameOf(input, file, member), content };
      });
      expectDisks(results, disks);
      for (const result of results) expect(result).toMatchObject({ ignored: ['readme.txt'], verified: true, layers: 1, warnings: [] });
      for (const { vdi } of results) await host.run(['vdi-destroy', `uuid=${vdi}`]);
    }
  });

  test('the counts of a result are those of its disk', async () => {
    const bytes = tarOf(vhds);
    const results = await importing(chunked(bytes));
    for (const { bytesWritten, bytesSkipped, vdiSize } of results)
      expect([bytesWritten + bytesSkipped, vdiSize]).toEqual([2 * MiB, 2 * MiB]);
    expect(results.reduce((sum, { bytesRead }) => sum + bytesRead, 0)).toBe(bytes.length);
  });

  test('--name is that of the first one, and the others have their number', async () => {
    const results = await importing(chunked(tarOf(vhds)), { name: 'web' });
    expect(results.map(({ name }) => name)).toEqual(['web', 'web 2', 'web 3']);
  });

  test('only one VDI at a time is plugged, and no owner tag is removed before the last disk is detached', async () => {
    const before = (await host.calls()).length;
    await importing(chunked(tarOf(vhds)));
    const calls = (await host.calls()).slice(before).map(([command = '']) => command);
    const life = calls.filter((command) => /^(vdi-create|vbd-plug|vbd-destroy|vdi-param-remove)$/.test(command));
    const each = ['vdi-create', 'vbd-plug', 'vbd-destroy'];
    const untagged = ['vdi-param-remove', 'vdi-param-remove', 'vdi-param-remove'];
    expect(life).toEqual([...each, ...each, ...each, ...untagged]);
  });
});

describe('an image with one disk', () => {
  test('is imported as importImage does', async () => {
    const { vhds, content } = sampleChain({ shuffled: true });
    const forms: ReadonlyArray<readonly [string, Uint8Array, string | undefined]> = [
      ['image.vhd', one.vhd, undefined],
      ['nova.tar', tarOf([2, 0, 1].map((rank) => [`${rank}.vhd`, vhds[rank] ?? Buffer.alloc(0)])), '0.vhd'],
      ['nova.tar.gz', gzipSync(tarOf([2, 1, 0].map((rank) => [`${rank}.vhd`, vhds[rank] ?? Buffer.alloc(0)]))), '0.vhd'],
    ];
    for (const [file, bytes, member] of forms) {
      const path = stored(testFolder(), file, bytes);
      const results = await importing(path);
      const name = member === undefined ? file : `${file}/${member}`;
      expectDisks(results, [{ ...(member !== undefined && { member }), name, content: member === undefined ? one.content : content }]);
      const single = await importImage(path, { sr, xe: toolstackOf(host), name });
      const { vdi, seconds, stages, target, bytesRead, ...expected } = single;
      expect(results).toEqual([expect.objectContaining(expected)]);
      for (const { uuid } of host.state().vdi) await host.run(['vdi-destroy', `uuid=${uuid}`]);
    }
  });
});

describe('a chain is one disk', () => {
  const chain = pair();
  const [leaf = Buffer.alloc(0), base = Buffer.alloc(0)] = chain.vhds;

  test('between others, by the unique IDs of its layers', async () => {
    const bytes = tarOf([
      ['a.vhd', one.vhd],
      ['leaf.vhd', leaf],
      ['base.vhdx.vhd', base],
      ['b.vhd', two.vhd],
    ]);
    for (const input of inputs('mixed.tar', bytes)) {
      const results = await importing(input, { name: 'disk' });
      expectDisks(results, [
        { member: 'a.vhd', name: 'disk', content: one.content },
        { member: 'leaf.vhd', name: 'disk 2', content: chain.content },
        { member: 'b.vhd', name: 'disk 3', content: two.content },
      ]);
      expect(results.map(({ layers }) => layers)).toEqual([1, 2, 1]);
      for (const { vdi } of results) await host.run(['vdi-destroy', `uuid=${vdi}`]);
    }
  });

  test('by number, one in each folder', async () => {
    const bytes = tarOf([
      ['x/0.vhd', leaf],
      ['x/1.vhd', base],
      ['y/0.vhd', one.vhd],
    ]);
    for (const input of inputs('folders.tar', bytes)) {
      const results = await importing(input, { name: 'disk' });
      expectDisks(results, [
        { member: 'x/0.vhd', name: 'disk', content: chain.content },
        { member: 'y/0.vhd', name: 'disk 2', content: one.content },
      ]);
      for (const { vdi } of results) await host.run(['vdi-destroy', `uuid=${vdi}`]);
    }
  });
});

describe('random archives', () => {
  interface Part {
    readonly kind: 'dynamic' | 'fixed' | 'raw' | 'text';
    readonly seed: number;
  }
  const parts: fc.Arbitrary<Part[]> = fc.array(
    fc.record({ kind: fc.constantFrom<Part['kind'][]>('dynamic', 'fixed', 'raw', 'text'), seed: fc.integer({ min: 1, max: 200 }) }),
    { minLength: 1, maxLength: 5 },
  );
  const SUFFIX = { dynamic: 'vhd', fixed: 'vhd', raw: 'raw', text: 'txt' } as const;

  function entryOf({ kind, seed }: Part, index: number): Entry {
    const { vhd, content } = sample(seed);
    const bodies = { dynamic: vhd, fixed: fixedVhd(content, undefined, { id: seed + index }), raw: content, text: Buffer.from('text') };
    return [`disk-${index}.${SUFFIX[kind]}`, bodies[kind]];
  }

  test('become as many VDIs, in their order, with the bytes of their disks', async () => {
    const property = fc.asyncProperty(parts, fc.constantFrom('file', 'stream', 'gzip'), async (found, form) => {
      const disks = found.flatMap(({ kind, seed }, index) => (kind === 'text' ? [] : [{ index, content: sample(seed).content, kind }]));
      fc.pre(disks.length > 0);
      const tar = tarOf(found.map(entryOf));
      const input = form === 'file' ? stored(testFolder(), 'any.tar', tar) : chunked(form === 'gzip' ? gzipSync(tar) : tar);
      const results = await importing(input, { name: 'disk' });
      const expected = disks.map(({ index, content, kind }, rank) => ({
        member: `disk-${index}.${SUFFIX[kind]}`,
        name: rank === 0 ? 'disk' : `disk ${rank + 1}`,
        content,
      }));
      expectDisks(results, expected);
      for (const { vdi } of results) await host.run(['vdi-destroy', `uuid=${vdi}`]);
    });
    await fc.assert(property, { numRuns: 8 });
  });
});
