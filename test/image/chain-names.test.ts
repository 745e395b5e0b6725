import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { info, writeDisk } from '../../src/index.ts';
import { chainOf, chainTar, chunked, pair, permutations, sampleChain, stored } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { tarOf } from '../support/tar.ts';
import { createStack } from '../support/vhd-model.ts';

const { vhds, content } = sampleChain();
const [leaf = Buffer.alloc(0), mid = Buffer.alloc(0), base = Buffer.alloc(0)] = vhds;
const virtualSize = content.length;

type Members = ReadonlyArray<readonly [name: string, body: Uint8Array]>;

/** Writes an archive as a file and as a stream, and compares. */
async function expectDisk(members: Members, disk = content): Promise<void> {
  const folder = testFolder();
  const tar = tarOf(members);
  for (const input of [stored(folder, 'chain.tar', tar), chunked(tar, [3000, 500])]) {
    const target = stored(folder, 'target', Buffer.alloc(disk.length, 0xaa));
    await writeDisk(input, target, { virtualSize: disk.length, verify: true, force: ['content'] });
    expect(Buffer.compare(readFileSync(target), disk)).toBe(0);
  }
}

/** Refused, as a file before a byte is written, and as a stream at least in the end. */
async function expectRefusal(members: Members, code: string): Promise<void> {
  const folder = testFolder();
  const tar = tarOf(members);
  const before = Buffer.alloc(virtualSize, 0xaa);
  const target = stored(folder, 'target', before);
  await expect(writeDisk(stored(folder, 'chain.tar', tar), target)).rejects.toMatchObject({ code });
  expect(readFileSync(target).equals(before), 'nothing written').toBe(true);
  await expect(writeDisk(chunked(tar), join(folder, 'new'), { virtualSize })).rejects.toMatchObject({ code });
  await expect(info(stored(folder, 'chain.tar', tar))).rejects.toMatchObject({ code });
}

const named = (names: readonly string[], order: readonly number[]): Members =>
  order.map((rank) => [names[rank] ?? '', vhds[rank] ?? Buffer.alloc(0)]);

describe('a chain', () => {
  test.each(permutations(3).map((order) => [order]))(
    'of snap, image and base, the old naming, is written in the order %j',
    async (order) => {
      await expectDisk(named(['snap.vhd', 'image.vhd', 'base.vhd'], order));
    },
  );

  // The plugin of 2012 renamed what was there in this order, and skipped what was missing.
  test.each([
    ['snap and base', 'snap.vhd', 'base.vhd'],
    ['snap and image', 'snap.vhd', 'image.vhd'],
    ['image and base', 'image.vhd', 'base.vhd'],
  ])('of %s alone is written in both orders', async (_, upper, lower) => {
    const chain = pair();
    const [child = Buffer.alloc(0), parent = Buffer.alloc(0)] = chain.vhds;
    const members: Members = [
      [upper, child],
      [lower, parent],
    ];
    await expectDisk(members, chain.content);
    await expectDisk(members.toReversed(), chain.content);
  });

  test.each([
    ['a leading "./", as tar writes them', ['./0.vhd', './1.vhd', './2.vhd']],
    ['a leading folder, as the first plugins wrote them', ['image/0.vhd', 'image/1.vhd', 'image/2.vhd']],
    ['capital letters', ['0.VHD', '1.VHD', '2.VHD']],
  ])('whose names have %s is written', async (_, names) => {
    await expectDisk(named(names, [1, 0, 2]));
  });

  test('among directories, swap disks and files that are not disks is written', async () => {
    await expectDisk([
      ['./', Buffer.alloc(0)],
      ['./notes.txt', Buffer.from('hello')],
      ['./1.vhd', mid],
      ['./swap.vhd', fixedVhd(noise(2048, 1))],
      ['./2.vhd', base],
      ['./manifest.json', Buffer.from('{}')],
      ['./0.vhd', leaf],
    ]);
  });

  test('of more than ten layers is ordered numerically, not alphabetically', async () => {
    const stack = createStack({ kind: 'dynamic', size: 40, blockSize: 4096 });
    for (let layer = 0; layer < 12; layer++) {
      if (layer > 0) stack.snapshot();
      stack.write(layer, 20);
    }
    const chain = chainOf(stack);
    const tar = chainTar(chain.vhds, [10, 1, 2, 11, 0, 9, 8, 3, 4, 7, 5, 6]);
    const target = join(testFolder(), 'target');
    await writeDisk(chunked(tar), target, { force: ['content'], virtualSize: chain.content.length, verify: true });
    expect(readFileSync(target).equals(chain.content)).toBe(true);
  });

  test('that is only a base is an ordinary disk, under any name', async () => {
    const chain = pair();
    const alone = chain.vhds[1] ?? Buffer.alloc(0);
    const stack = createStack({ kind: 'dynamic', size: 200, blockSize: 4096 });
    stack.write(0, 200);
    for (const name of ['0.vhd', 'image.vhd', 'base.vhd', 'disk-of-somebody.vhd'])
      await expectDisk([[name, alone]], chainOf(stack).content);
  });
});

describe('is refused:', () => {
  test.each<[string, Members]>([
    ['0 and 2', [['0.vhd', leaf], ['2.vhd', base]]], // biome-ignore format: one line each
    ['2 and 0', [['2.vhd', base], ['0.vhd', leaf]]], // biome-ignore format: one line each
    ['0, 1 and 3', [['0.vhd', leaf], ['1.vhd', mid], ['3.vhd', base]]], // biome-ignore format: one line each
  ])('a gap in the numbers: %s', async (_, members) => {
    await expectRefusal(members, 'CHAIN_GAP');
  });

  test('a chain without its leaf', async () => {
    const folder = testFolder();
    const path = stored(folder, 'chain.tar', tarOf(named(['', '1.vhd', '2.vhd'], [1, 2])));
    await expect(writeDisk(path, join(folder, 'target'))).rejects.toMatchObject({ code: 'CHAIN_GAP' });
  });

  test('numbered disks that are all complete', async () => {
    await expectRefusal([['0.vhd', base], ['1.vhd', base]], 'CHAIN_TYPE'); // biome-ignore format: one line
    await expectRefusal([['1.vhd', base], ['0.vhd', base]], 'CHAIN_TYPE'); // biome-ignore format: one line
  });

  test.each([
    ['alone', [['0.vhd', leaf]]],
    ['under another name', [['disk.vhd', leaf]]],
    [
      'at the end of a chain',
      [
        ['0.vhd', leaf],
        ['1.vhd', mid],
      ],
    ],
  ] as const)(
    // biome-ignore format: one line
    'a differencing disk %s, with the reason',
    async (_, members) => {
      await expectRefusal(members, 'VHD_DIFFERENCING');
      const path = stored(testFolder(), 'chain.tar', tarOf(members));
      await expect(writeDisk(path, 'null:')).rejects.toMatchObject({ message: expect.stringMatching(/only the changes.*parent/) });
    },
  );

  test('a differencing VHD without an archive', async () => {
    const folder = testFolder();
    const path = stored(folder, 'leaf.vhd', leaf);
    const refusal = { code: 'VHD_DIFFERENCING', message: expect.stringMatching(/parent/) };
    for (const input of [path, chunked(leaf), [path], [path, stored(folder, 'mid.vhd', mid)]]) {
      await expect(writeDisk(input, 'null:')).rejects.toMatchObject(refusal);
    }
  });
});
