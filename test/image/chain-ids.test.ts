import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check, info, type WriteOptions, writeDisk } from '../../src/index.ts';
import { chainOf, pair, permutations, sampleChain } from '../support/chains.ts';
import { codeOf, failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, manifestOf, ovfOf, refused, sample, waysOf, written } from '../support/packages.ts';
import { roundsOf } from '../support/rounds.ts';
import { createStack, identity, layerVhd } from '../support/vhd-model.ts';

const other = sample(7);
const { vhds, content } = sampleChain();
const [leaf = Buffer.alloc(0), mid = Buffer.alloc(0), base = Buffer.alloc(0)] = vhds;

/** Two layers over one base. */
function fork(): { readonly entries: Entry[]; readonly content: Buffer } {
  const stack = createStack({ kind: 'dynamic', size: 200, blockSize: 4096 });
  stack.write(0, 200);
  stack.snapshot();
  stack.write(3, 2);
  const [top, bottom] = stack.layers;
  if (top === undefined || bottom === undefined) throw new Error('two layers');
  const form = { seed: 1 };
  const entries: Entry[] = [
    ['vm/a.avhd', layerVhd(top, form, identity(1), identity(3))],
    ['vm/base.disk.vhd', layerVhd(bottom, form, identity(3))],
    ['vm/b.avhd', layerVhd(top, form, identity(2), identity(3))],
  ];
  return { entries, content: stack.content() };
}

/** Whether each member is next to those before it, so that a stream says where it belongs. */
function isContiguous(order: readonly number[]): boolean {
  return order.every((rank, at) => {
    const before = order.slice(0, at);
    return at === 0 || rank === Math.min(...before) - 1 || rank === Math.max(...before) + 1;
  });
}

describe('layers of any name', () => {
  test('are linked by their unique IDs in every order; in a stream, in each order that says which is over which', async () => {
    const program = fc.record({ layers: fc.integer({ min: 2, max: 5 }), fixed: fc.boolean(), seed: fc.nat() });
    await fc.assert(
      fc.asyncProperty(program, async ({ layers, fixed, seed }) => {
        const stack = createStack({ kind: fixed ? 'fixed' : 'dynamic', size: 40, blockSize: 4096 });
        stack.write(0, 40);
        for (let layer = 1; layer < layers; layer++) {
          stack.snapshot();
          stack.write((seed + layer * 5) % 35, 3);
        }
        const chain = chainOf(stack);
        const all = permutations(layers);
        const order = all[seed % all.length] ?? [];
        const entries = order.map(
          (rank): Entry => [`disk-${(rank * 7 + seed) % 11}-${rank}.${rank % 2 ? 'vhd' : 'avhd'}`, chain.vhds[rank] ?? base],
        );
        for (const { name, input, jumps } of waysOf(testFolder(), entries)) {
          const target = join(testFolder(), 'disk');
          const found = await codeOf(writeDisk(input(), target, { verify: true, virtualSize: chain.content.length }));
          expect(found, `${name}, order ${order}`).toBe(jumps || isContiguous(order) ? 'ok' : 'CHAIN_ORDER');
          if (found === 'ok') expect(readFileSync(target).equals(chain.content), `${name}, order ${order}`).toBe(true);
          const described = await info(input());
          expect(described.disks.map((disk) => disk.layers.map(({ member }) => member))).toEqual([
            entries.map(([entry]) => entry).sort((a, b) => Number(a.match(/(\d+)\./)?.[1]) - Number(b.match(/(\d+)\./)?.[1])),
          ]);
          await expect(check(input()), name).resolves.toMatchObject({ ok: true, findings: [] });
        }
      }),
      { numRuns: roundsOf({ inSuite: 8, long: 300 }) },
    );
  });

  test.each([
    ['a full backup and the delta over it', ['20240101T010101Z.vhd', '20240102T010101Z.vhd']],
    ['a Hyper-V checkpoint', ['Virtual Hard Disks/disk.vhd', 'Virtual Hard Disks/disk_0A1B2C3D.avhd']],
    ['in folders of their own', ['full/disk.vhd', 'delta/disk.vhd']],
    ['a layer over the leaf of a numbered chain', ['0.vhd', 'later.vhd']],
  ])('%s, base first or leaf first', async (_, [lower = '', upper = '']) => {
    const chain = pair();
    const entries: Entry[] = [
      [lower, chain.vhds[1] ?? base],
      [upper, chain.vhds[0] ?? leaf],
      ['readme', Buffer.from('hi')],
    ];
    for (const order of [entries, entries.toReversed()]) {
      for (const result of await written(order, chain.content))
        expect(result).toMatchObject({ member: upper, layers: 2, ignored: ['readme'] });
      for (const { input } of waysOf(testFolder(), order)) {
        await expect(check(input(), {})).resolves.toMatchObject({ ok: true, findings: [] });
      }
    }
  });

  test('may be gzipped each', async () => {
    const entries: Entry[] = [
      ['new.avhd.gz', gzipSync(leaf)],
      ['middle.vhd', mid],
      ['old.vhd.gz', gzipSync(base)],
    ];
    for (const result of await written(entries, content)) expect(result).toMatchObject({ layers: 3 });
  });

  test('are the parents of the disk that the OVF names, or the caller', async () => {
    const entries: Entry[] = [
      ['a.vhd', other.vhd],
      ['leaf.vhd', leaf],
      ['mid.vhd', mid],
      ['b.vhd', sample(9).vhd],
      ['base.vhd.gz', gzipSync(base)],
    ];
    for (const result of await written([['box.ovf', ovfOf(['leaf.vhd'])], ...entries], content))
      expect(result).toMatchObject({ layers: 3 });
    for (const result of await written(entries, content, { disk: 'leaf.vhd' })) {
      expect(result).toMatchObject({ member: 'leaf.vhd', layers: 3, ignored: ['a.vhd', 'b.vhd'] });
    }
  });

  test('whose leaf has another size than the base that comes first need that size in a stream', async () => {
    const chain = pair(200, 320);
    const entries: Entry[] = [
      ['full.vhd', chain.vhds[1] ?? base],
      ['delta.vhd', chain.vhds[0] ?? leaf],
    ];
    await written(entries, chain.content, { virtualSize: chain.content.length });
    for (const { input, jumps, name } of waysOf(testFolder(), entries)) {
      expect(await codeOf(writeDisk(input(), join(testFolder(), 'disk'))), name).toBe(jumps ? 'ok' : 'CHAIN_SIZE');
    }
  });

  test('with a manifest are read in the order of the archive', async () => {
    const entries: Entry[] = [
      ['leaf.vhd', leaf],
      ['base.vhd', base],
      ['mid.vhd', mid],
    ];
    const tar: Entry[] = [['box.mf', manifestOf(entries)], ...entries];
    for (const { input, jumps } of waysOf(testFolder(), tar)) {
      expect(await codeOf(writeDisk(input(), join(testFolder(), 'disk'), { verify: true, manifest: 'require' }))).toBe(
        jumps ? 'ok' : 'CHAIN_ORDER',
      );
    }
  });
});

describe('a tree with several leaves', () => {
  const { entries, content: disk } = fork();

  test('is refused, and the message shows it if the archive can seek', async () => {
    const tree = '"vm/a.avhd" over "vm/base.disk.vhd" and "vm/b.avhd" over "vm/base.disk.vhd"';
    await refused(entries, ({ jumps }) => ({
      code: 'DISK_AMBIGUOUS',
      message: expect.stringContaining(jumps ? tree : 'none was chosen'),
    }));
    await refused(
      [entries[0], entries[2], entries[1]].filter((entry) => entry !== undefined),
      { code: 'DISK_AMBIGUOUS' },
    );
  });

  test('is described by info and checked, each disk with all its layers', async () => {
    for (const { input } of waysOf(testFolder(), entries)) {
      const { disks } = await info(input());
      expect(disks.map(({ layers }) => layers.map(({ member }) => member))).toEqual([
        ['vm/a.avhd', 'vm/base.disk.vhd'],
        ['vm/b.avhd', 'vm/base.disk.vhd'],
      ]);
      await expect(check(input())).resolves.toMatchObject({ ok: true, findings: [] });
    }
  });

  test('holds the disk that is requested', async () => {
    await written(entries, disk, { disk: 'a.avhd' });
    for (const { input, jumps } of waysOf(testFolder(), entries)) {
      expect(await codeOf(writeDisk(input(), join(testFolder(), 'disk'), { disk: 'vm/b.avhd' }))).toBe(jumps ? 'ok' : 'CHAIN_ORDER');
    }
  });

  test('has a message of bounded length, whatever the names', async () => {
    const many = Array.from({ length: 30 }, (_, at): Entry => [`${'x'.repeat(40)}/${'y'.repeat(50)}${at}.vhd`, sample(at + 20).vhd]);
    const [way] = waysOf(testFolder(), many);
    const { message } = await failure(writeDisk(way?.input() ?? '', 'null:'));
    expect(message.length).toBeLessThan(1500);
    expect(message).toContain('22 more');
  });
});

test('a chain that ends in itself is a loop', async () => {
  const stack = createStack({ kind: 'dynamic', size: 40, blockSize: 4096 });
  stack.snapshot();
  stack.write(1, 2);
  const [top] = stack.layers;
  if (top === undefined) throw new Error('a layer');
  const form = { seed: 1 };
  const entries: Entry[] = [
    ['a.vhd', layerVhd(top, form, identity(1), identity(2))],
    ['b.vhd', layerVhd(top, form, identity(2), identity(1))],
  ];
  await refused(entries, { code: 'CHAIN_LOOP' });
});

describe('a disk in another format beside a VHD', () => {
  const name = (ending: string): string => `system.${ending}`;
  test.each<[string, Buffer]>([
    ...['vmdk', 'vhdx', 'avhdx', 'qcow2', 'qcow', 'vdi', 'VMDK'].map((ending): [string, Buffer] => [name(ending), Buffer.alloc(700, 1)]),
  ])('%s makes the choice ambiguous', async (file, bytes) => {
    const entries: Entry[] = [['cfg.vhd', other.vhd], [file, bytes]]; // biome-ignore format: one line
    const expected = { code: 'DISK_AMBIGUOUS', message: expect.stringMatching(new RegExp(`cfg\\.vhd.*${file}`)) };
    await refused(entries, expected);
    await refused(entries.toReversed(), expected);
    for (const options of [{ disk: 'cfg.vhd' }] satisfies WriteOptions[]) {
      for (const result of await written(entries, other.content, options)) expect(result.ignored).toEqual([file]);
    }
    await written([['box.ovf', ovfOf(['cfg.vhd'])], ...entries], other.content);
  });

  test('is recognised by its first bytes where the archive can seek', async () => {
    const qcow = Buffer.alloc(4096);
    qcow.write('QFI\xfb', 'latin1');
    const entries: Entry[] = [['cfg.vhd', other.vhd], ['box.img.0', qcow]]; // biome-ignore format: one line
    for (const { input, jumps } of waysOf(testFolder(), entries)) {
      expect(await codeOf(writeDisk(input(), join(testFolder(), 'disk')))).toBe(jumps ? 'DISK_AMBIGUOUS' : 'ok');
    }
  });

  test('but not beside text, an ISO or a swap disk', async () => {
    const entries: Entry[] = [
      ['disk.vhd', other.vhd],
      ['a.xml', Buffer.from('<?xml version="1.0"?>')],
      ['tools.iso', Buffer.alloc(4096, 3)],
      ['swap.vhd', sample(3).vhd],
    ];
    await written(entries, other.content);
  });
});
