import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { info, verifyDisk, writeDisk } from '../../src/index.ts';
import { chainTar, chunked, pair, permutations, sampleChain, stored, storedVhds } from '../support/chains.ts';
import { testFolder } from '../support/folder.ts';
import { identity, layerVhd } from '../support/vhd-model.ts';

/** A child of a disk with one id and time, over a base with another. */
function relinked(named: Partial<ReturnType<typeof identity>>): { readonly vhds: Buffer[]; readonly content: Buffer } {
  const { stack, content } = pair();
  const [leaf, base] = stack.layers;
  if (leaf === undefined || base === undefined) throw new Error('a pair has two layers');
  const form = { seed: 1 };
  return { content, vhds: [layerVhd(leaf, form, identity(1), { ...identity(2), ...named }), layerVhd(base, form, identity(2))] };
}

describe('a parent with a different unique id than the child names', () => {
  const { vhds, content } = relinked({ id: identity(3).id });

  test.each([[[0, 1]], [[1, 0]]])('is refused, and the target file is not touched, order %j', async (order) => {
    const folder = testFolder();
    const tar = chainTar(vhds, order);
    const before = Buffer.alloc(content.length, 0xaa);
    const target = stored(folder, 'target', before);
    const refusal = { code: 'CHAIN_PARENT', exitCode: 1, guard: 'parent' };
    await expect(writeDisk(stored(folder, 'chain.tar', tar), target)).rejects.toMatchObject(refusal);
    expect(readFileSync(target).equals(before)).toBe(true);
    await expect(writeDisk(chunked(tar), join(folder, 'new'), { virtualSize: content.length })).rejects.toMatchObject(refusal);
    expect(readdirSync(folder).sort()).toEqual(['chain.tar', 'target']);
  });

  test('is refused among separate files', async () => {
    await expect(writeDisk(storedVhds(testFolder(), vhds), 'null:')).rejects.toMatchObject({ code: 'CHAIN_PARENT' });
  });

  test('is accepted only with the guard named parent lifted, with a warning: Nova relinks by number', async () => {
    const folder = testFolder();
    const target = join(folder, 'target');
    for (const order of permutations(2)) {
      const path = stored(folder, 'chain.tar', chainTar(vhds, order));
      await expect(writeDisk(path, target, { force: ['type', 'busy', 'size', 'vhd'] })).rejects.toMatchObject({ code: 'CHAIN_PARENT' });
      const result = await writeDisk(path, target, { force: ['parent', 'content'], verify: true });
      expect(result.warnings.map(({ code }) => code)).toEqual(['CHAIN_PARENT']);
      expect(readFileSync(target).equals(content)).toBe(true);
      await verifyDisk(path, target, { force: ['parent'] });
    }
  });
});

test('a parent that was created after its child is only a warning', async () => {
  const { vhds, content } = relinked({ timestamp: identity(2).timestamp - 1 });
  const folder = testFolder();
  const target = join(folder, 'target');
  for (const order of permutations(2)) {
    const reported: string[] = [];
    const path = stored(folder, 'chain.tar', chainTar(vhds, order));
    const result = await writeDisk(path, target, { force: ['content'], onWarning: ({ code }) => reported.push(code) });
    expect(result.warnings.map(({ code }) => code)).toEqual(['CHAIN_TIMESTAMP']);
    expect(reported).toEqual(['CHAIN_TIMESTAMP']);
    expect(readFileSync(target).equals(content)).toBe(true);
    expect((await info(path)).warnings.map(({ code }) => code)).toEqual(['CHAIN_TIMESTAMP']);
  }
});

test.each([
  ['libvhd, which writes when the file of the parent was modified', 'tap\0', -1],
  ['Windows, which writes 0', 'win ', -identity(2).timestamp],
  ['tools that write when the parent was last modified', 'test', 3600],
  ['tools that write when the parent was created', 'test', 0],
])('the timestamp of a parent by %s is no warning', async (_, creator, off) => {
  const { stack } = pair();
  const [leaf, base] = stack.layers;
  if (leaf === undefined || base === undefined) throw new Error('a pair has two layers');
  const parent = identity(2);
  const child = layerVhd(leaf, { seed: 1, creator }, identity(1), { ...parent, timestamp: parent.timestamp + off });
  const path = stored(testFolder(), 'chain.tar', chainTar([child, layerVhd(base, { seed: 1, creator }, parent)]));
  await expect(writeDisk(path, 'null:', { strict: true })).resolves.toMatchObject({ warnings: [] });
});

test('names and locators of parents are ignored, whatever they contain', async () => {
  const folder = testFolder();
  for (const parentName of ['/etc/passwd', '..\\..\\1.vhd', '\ud800\u0000', 'x'.repeat(256), '']) {
    const { vhds, content } = sampleChain({ parentName: parentName.slice(0, 256), locators: 'bytes' });
    const target = join(folder, 'target');
    await writeDisk(stored(folder, 'chain.tar', chainTar(vhds)), target, { force: ['content'], verify: true });
    expect(readFileSync(target).equals(content)).toBe(true);
  }
});

describe('a stream whose leaf does not come first', () => {
  const { vhds, content } = sampleChain();
  const virtualSize = content.length;
  const late = permutations(3).filter(([first]) => first !== 0);

  test.each(late.map((order) => [order]))('is refused without a virtual size, before anything is written, order %j', async (order) => {
    const folder = testFolder();
    const refusal = { code: 'CHAIN_ORDER', advice: expect.stringMatching(/file.*virtual size.*staging/) };
    await expect(writeDisk(chunked(chainTar(vhds, order)), join(folder, 'target'))).rejects.toMatchObject(refusal);
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each(late.map((order) => [order]))('is written if the virtual size is given, order %j', async (order) => {
    const target = join(testFolder(), 'target');
    await writeDisk(chunked(chainTar(vhds, order)), target, { force: ['content'], virtualSize, verify: true });
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test.each(late.map((order) => [order]))('is written with a staging folder, which is empty afterwards, order %j', async (order) => {
    const folder = testFolder();
    const [target, staging] = [join(folder, 'target'), testFolder()];
    await writeDisk(chunked(chainTar(vhds, order)), target, { force: ['content'], staging, verify: true });
    expect(readFileSync(target).equals(content)).toBe(true);
    expect(readdirSync(staging)).toEqual([]);
    await verifyDisk(chunked(chainTar(vhds, order)), target, { staging });
    expect(readdirSync(staging)).toEqual([]);
  });

  test('leaves the staging folder empty even when it fails', async () => {
    const [folder, staging] = [testFolder(), testFolder()];
    const tar = chainTar(vhds, [2, 1, 0]);
    for (const length of [1500, tar.length - 3000]) {
      const cut = chunked(tar.subarray(0, length));
      await expect(writeDisk(cut, join(folder, 'target'), { staging })).rejects.toMatchObject({ code: 'SOURCE_TRUNCATED' });
      expect(readdirSync(staging)).toEqual([]);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  test.each([512, -512])('is refused if the leaf differs from the given size by %d bytes, and no file is left', async (off) => {
    const folder = testFolder();
    const work = writeDisk(chunked(chainTar(vhds, [1, 2, 0])), join(folder, 'target'), { virtualSize: virtualSize + off });
    await expect(work).rejects.toMatchObject({ code: 'CHAIN_SIZE' });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('needs no virtual size for info, which writes nothing', async () => {
    await expect(info(chunked(chainTar(vhds, [2, 0, 1])))).resolves.toMatchObject({ virtualSize });
  });
});

test('a stream whose leaf comes first needs no virtual size', async () => {
  const { vhds, content } = sampleChain();
  const target = join(testFolder(), 'target');
  for (const order of [
    [0, 1, 2],
    [0, 2, 1],
  ]) {
    // biome-ignore format: one line
    await writeDisk(chunked(chainTar(vhds, order)), target, { force: ['content'], verify: true });
    expect(readFileSync(target).equals(content)).toBe(true);
  }
});
