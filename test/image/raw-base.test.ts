import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { check, exportDisk, info, verifyDisk, writeDisk } from '../../src/index.ts';
import { stored, streamed } from '../support/chains.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, sample, waysOf } from '../support/packages.ts';
import { createStack, type Identity, identity, layerVhd } from '../support/vhd-model.ts';

const form = { seed: 1 };
const RAW: Identity = { id: Buffer.alloc(16), timestamp: 0 };

/** Two layers over a raw disk, as libvhd makes them. */
function overRaw(lowest: Identity = RAW): {
  readonly top: Buffer;
  readonly middle: Buffer;
  readonly base: Buffer;
  readonly content: Buffer;
} {
  const stack = createStack({ kind: 'fixed', size: 300, blockSize: 4096 });
  stack.write(0, 300);
  const base = stack.content();
  stack.snapshot();
  stack.write(7, 20);
  stack.snapshot();
  stack.write(20, 9);
  const [first, second] = stack.layers;
  if (first === undefined || second === undefined) throw new Error('three layers');
  const [top, middle] = [layerVhd(first, form, identity(1), identity(2)), layerVhd(second, form, identity(2), lowest)];
  return { top, middle, base, content: stack.content() };
}

const { top, middle, base, content } = overRaw();
const foreign = overRaw(identity(9));

function files(name: string, bytes = base, layers = { top, middle }): string[] {
  const folder = testFolder();
  return [stored(folder, 'leaf.vhd', layers.top), stored(folder, 'mid.vhd', layers.middle), stored(folder, name, bytes)];
}

describe('a raw disk under VHD layers, as several files,', () => {
  test.each(['base.raw', 'base.IMG', 'base', 'base.bin'])('is recognised in %s, since the layer over it says so', async (name) => {
    const paths = files(name);
    const target = join(testFolder(), 'disk');
    await expect(writeDisk(paths, target, { verify: true, strict: true })).resolves.toMatchObject({ layers: 3, warnings: [] });
    expect(readFileSync(target).equals(content)).toBe(true);
    await expect(verifyDisk(paths, target)).resolves.toMatchObject({ verified: true });
    await expect(info(paths)).resolves.toMatchObject({ disks: [{ layers: [{ type: 'differencing' }, {}, { type: 'raw' }] }] });
    await expect(check(paths)).resolves.toMatchObject({ ok: true, findings: [] });
  });

  test('may be compressed, and its layers streams', async () => {
    const [leaf = '', mid = '', raw = ''] = files('base.raw.gz', gzipSync(base));
    const target = join(testFolder(), 'disk');
    await writeDisk([streamed(leaf), mid, raw], target, { verify: true });
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test.each([
    ['base.raw', {}],
    ['base.img', {}],
    ['base', { rawBase: true }],
  ])('%s with %j is refused if the layer over it names a VHD, unless the guard is lifted', async (name, options) => {
    const paths = files(name, base, foreign);
    expect(await failure(writeDisk(paths, 'null:', options))).toMatchObject({ code: 'CHAIN_PARENT', guard: 'parent' });
    const target = join(testFolder(), 'disk');
    const result = await writeDisk(paths, target, { ...options, force: ['parent'] });
    expect(result.warnings.map(({ code }) => code)).toEqual(['CHAIN_PARENT']);
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test('without a name, an ID or the option that says so is not a VHD', async () => {
    expect(await failure(writeDisk(files('base', base, foreign), 'null:'))).toMatchObject({ code: 'FORMAT_UNKNOWN' });
  });

  test('is refused if it is smaller than the layer over it, unless the guard is lifted', async () => {
    const paths = files('base.raw', base.subarray(0, -512));
    const refusal = { code: 'CHAIN_RAW_SIZE', guard: 'parent', member: expect.stringContaining('mid.vhd') };
    expect(await failure(writeDisk(paths, 'null:'))).toMatchObject(refusal);
    await expect(check(paths)).resolves.toMatchObject({ ok: false, findings: [{ code: 'CHAIN_RAW_SIZE' }] });
    const result = await writeDisk(paths, 'null:', { force: ['parent'] });
    expect(result.warnings.map(({ code }) => code)).toEqual(['CHAIN_RAW_SIZE']);
  });

  test('may be larger: a volume is rounded up', async () => {
    const target = join(testFolder(), 'disk');
    await writeDisk(files('base.raw', Buffer.concat([base, Buffer.alloc(8192, 7)])), target, { strict: true });
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test('that is a VHD after all is not taken for a raw disk', async () => {
    expect(await failure(writeDisk(files('base.raw', sample(4).vhd), 'null:'))).toMatchObject({ code: 'CHAIN_PARENT' });
  });

  test('that is missing is named as one', async () => {
    const [leaf = '', mid = ''] = files('base.raw');
    expect(await failure(writeDisk([leaf, mid], 'null:'))).toMatchObject({
      code: 'VHD_DIFFERENCING',
      message: expect.stringContaining('a raw disk'),
    });
  });
});

describe('in an archive', () => {
  const entries: Entry[] = [
    ['leaf.vhd', top],
    ['mid.vhd', middle],
    ['base.raw', base],
    ['readme', Buffer.from('hi')],
  ];
  const numbered: Entry[] = [['0.vhd', top], ['1.vhd', middle], ['disk.img', base]]; // biome-ignore format: one line

  test.each([
    ['leaf first', entries],
    ['base first', [entries[2], entries[1], entries[0]].filter((entry) => entry !== undefined)],
    ['under numbers', numbered],
  ])('it is the base, %s', async (_, members) => {
    for (const { input, name } of waysOf(testFolder(), members)) {
      const target = join(testFolder(), 'disk');
      await expect(writeDisk(input(), target, { verify: true, strict: true }), name).resolves.toMatchObject({ layers: 3 });
      expect(readFileSync(target).equals(content), name).toBe(true);
      await expect(info(input()), name).resolves.toMatchObject({ disks: [{ layers: [{}, {}, { type: 'raw' }] }] });
      await expect(check(input()), name).resolves.toMatchObject({ ok: true, findings: [] });
    }
  });

  test('that names another parent it is one only by request', async () => {
    const members: Entry[] = [['leaf.vhd', foreign.top], ['mid.vhd', foreign.middle], ['base.raw', base]]; // biome-ignore format: one line
    for (const { input, name } of waysOf(testFolder(), members)) {
      expect(await failure(writeDisk(input(), 'null:')), name).toMatchObject({ code: 'VHD_DIFFERENCING' });
      expect(await failure(writeDisk(input(), 'null:', { rawBase: true })), name).toMatchObject({ code: 'CHAIN_PARENT' });
      const target = join(testFolder(), 'disk');
      await writeDisk(input(), target, { rawBase: true, force: ['parent'] });
      expect(readFileSync(target).equals(content), name).toBe(true);
    }
  });
});

describe('the export of a chain over a raw disk', () => {
  test.each(['base.raw', 'base'])('over %s is that of one disk', async (name) => {
    const output = join(testFolder(), 'out.vhd');
    const result = await exportDisk(files(name), output, { verify: true });
    expect(result.disks).toMatchObject([{ virtualSize: content.length }]);
    const target = join(testFolder(), 'disk');
    await writeDisk(output, target);
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test('checks ID and size as a write does', async () => {
    const out = (): string => join(testFolder(), 'out.vhd');
    expect(await failure(exportDisk(files('base', base, foreign), out(), { rawBase: true }))).toMatchObject({ code: 'CHAIN_PARENT' });
    expect(await failure(exportDisk(files('base.raw', base.subarray(0, -512)), out()))).toMatchObject({ code: 'CHAIN_RAW_SIZE' });
    await exportDisk(files('base.raw', base, foreign), out(), { force: ['parent'] });
  });
});

test('files in the wrong order are named', async () => {
  const paths = files('base.raw').slice(0, 2).reverse();
  expect(await failure(writeDisk(paths, 'null:'))).toMatchObject({
    code: 'CHAIN_ORDER',
    message: expect.stringMatching(/leaf\.vhd is a layer over this disk.*first/),
    member: expect.stringContaining('mid.vhd'),
  });
});
