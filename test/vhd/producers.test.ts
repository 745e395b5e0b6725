import { closeSync, existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { createPool, info, type SourceInput, type WriteOptions, writeDisk } from '../../src/index.ts';
import { chunked, stored } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd, makeFooter, makeHeader } from '../support/make-vhd.mjs';
import { waysOf } from '../support/packages.ts';
import { batmapOffset, type Change, entryOf, withBytes, withFooters } from '../support/patch.ts';
import { createStack, type Form, identity, layerVhd } from '../support/vhd-model.ts';

const MIB = 1 << 20;
const TAP = { creator: 'tap\0', creatorVersion: 0x00010003 };

interface Sample {
  readonly vhd: Buffer;
  readonly content: Buffer;
}

/** Partly filled blocks, an absent one, and a last one that extends past the end of the disk. */
function sample(form: Partial<Form> = {}, blockSize = 64 << 10): Sample {
  const each = blockSize / 512;
  const stack = createStack({ kind: 'dynamic', blockSize, size: 5 * each + Math.ceil(each / 3) });
  stack.write(0, each);
  stack.write(each + 3, Math.ceil(each / 2));
  stack.writeZeros(2 * each, 2);
  stack.write(4 * each - 1, each + 2);
  const [layer] = stack.layers;
  if (layer === undefined) throw new Error('a stack has a layer');
  return { vhd: layerVhd(layer, { seed: 5, ...form }, identity(1)), content: stack.content() };
}

/** A bare VHD and one in an archive, as files and streams, plain and compressed. */
function everyWay(vhd: Buffer): Array<() => SourceInput> {
  const folder = testFolder();
  const [path, packed] = [stored(folder, 'bare.vhd', vhd), gzipSync(vhd, { level: 1 })];
  const packedPath = stored(folder, 'bare.vhd.gz', packed);
  const bare = [() => path, () => packedPath, () => chunked(vhd, [511, 7000]), () => chunked(packed)];
  return [...bare, ...waysOf(folder, [['image.vhd', vhd]]).map(({ input }) => input)];
}

/** In every way it is the disk, with these warnings; with `strict` a warning is an error. */
async function reads({ vhd, content }: Sample, warnings: readonly string[] = []): Promise<void> {
  for (const input of everyWay(vhd)) {
    const target = stored(testFolder(), 'disk', Buffer.alloc(content.length, 0xaa));
    const result = await writeDisk(input(), target, { verify: true, force: ['content'] });
    expect(result.warnings.map(({ code }) => code)).toEqual(warnings);
    expect(readFileSync(target).equals(content)).toBe(true);
    const made = join(testFolder(), 'disk');
    const strict = writeDisk(input(), made, { strict: true });
    if (warnings.length === 0) await strict;
    else expect(await failure(strict)).toMatchObject({ code: 'STRICT', message: expect.stringContaining(warnings[0] ?? '') });
    expect(existsSync(made)).toBe(warnings.length === 0);
    expect((await info(input())).warnings.map(({ code }) => code)).toEqual(warnings);
  }
}

async function refuses(vhd: Buffer, shape: object, options: WriteOptions = {}): Promise<void> {
  for (const input of everyWay(vhd)) {
    const target = join(testFolder(), 'disk');
    expect(await failure(writeDisk(input(), target, options))).toMatchObject(shape);
    expect(existsSync(target)).toBe(false);
  }
}

describe('tapdisk', () => {
  test.each([0, 130, 1 << 20])('writes a batmap after a table with %d spare entries, which is accepted', async (spare) => {
    const { vhd, content } = sample({ batmap: true, garbage: true, gap: 7, spare });
    expect(vhd.toString('latin1', batmapOffset(vhd), batmapOffset(vhd) + 8)).toBe('tdbatmap');
    await reads({ vhd, content });
  });

  test('records encryption in the batmap, and such a VHD is refused before anything is written', async () => {
    for (const spare of [0, 1 << 20]) {
      const { vhd } = sample({ batmap: true, spare });
      const at = batmapOffset(vhd) + 29;
      const encrypted = withBytes(vhd, (bytes) => bytes.writeUInt8(1, at));
      await refuses(encrypted, { code: 'VHD_ENCRYPTED', offset: at });
      for (const input of everyWay(encrypted)) expect(await failure(info(input()))).toMatchObject({ code: 'VHD_ENCRYPTED' });
    }
  });

  test('aligns the data of each block to 4 KiB, with its bitmap in the preceding sector', async () => {
    const blocks = new Map([0, 1, 3].map((block) => [block, Buffer.from(noise(64 << 10, block + 1))]));
    // A table of five sectors, so that the first block has seven free ones before it, too.
    const vhd = dynamicVhd({ size: 4 * (64 << 10), blockSize: 64 << 10, blocks, tableEntries: 600, gap: 7, ...TAP });
    for (const block of blocks.keys()) expect((entryOf(vhd, block) + 1) % 8).toBe(0);
    const content = Buffer.concat([0, 1, 2, 3].map((block) => blocks.get(block) ?? Buffer.alloc(64 << 10)));
    await reads({ vhd, content });
  });

  test('poisons the end footer while it writes, so the copy at the start is used, with a warning', async () => {
    const { vhd, content } = sample();
    const poison: Change = (footer) => void footer.write('v_poison', 'latin1');
    await reads({ vhd: withFooters(vhd, 'end', poison, false), content }, ['VHD_FOOTER_END']);
    await reads({ vhd: withFooters(vhd, 'end', poison), content }, ['VHD_FOOTER_END']);
  });

  test('hides a parent, in old versions without updating the checksum, which is accepted only for tapdisk', async () => {
    const hide: Change = (footer) => void footer.writeUInt8(1, 85);
    const tap: Change = (footer) => {
      footer.write('tap\0', 28, 'latin1');
      footer.writeUInt32BE(0x00010000, 32);
    };
    const { vhd, content } = sample();
    const taps = withFooters(vhd, 'both', tap);
    await reads({ vhd: withFooters(taps, 'both', hide, false), content });
    await reads({ vhd: withFooters(taps, 'both', hide), content });
    await refuses(withFooters(vhd, 'both', hide, false), { code: 'VHD_FOOTER_CHECKSUM', offset: 64 });
    const reserved: Change = (footer) => void footer.writeUInt8(1, 86);
    await refuses(withFooters(taps, 'both', reserved, false), { code: 'VHD_FOOTER_CHECKSUM', offset: 64 });
  });
});

describe('the footer at the end', () => {
  const { vhd, content } = sample();

  test.each<[string, Buffer]>([
    ['has lost its cookie', withFooters(vhd, 'end', (footer) => footer.fill(0, 0, 8), false)],
    ['has a wrong checksum', withFooters(vhd, 'end', (footer) => footer.writeUInt8(1, 200), false)],
    ['is of an unknown version', withFooters(vhd, 'end', (footer) => footer.writeUInt32BE(0x00020000, 12))],
    ['is of an unknown type', withFooters(vhd, 'end', (footer) => footer.writeUInt32BE(9, 60))],
    ['has an impossible size', withFooters(vhd, 'end', (footer) => footer.writeBigUInt64BE(1n, 48))],
    ['has another unique id', withFooters(vhd, 'end', (footer) => footer.fill(9, 68, 84))],
    ['is missing', vhd.subarray(0, -512)],
    ['has garbage for its last bytes', Buffer.concat([vhd.subarray(0, -512), Buffer.alloc(512, 0xe5)])],
  ])('that %s is replaced by the copy at the start, with a warning', async (_, bytes) => {
    await reads({ vhd: bytes, content }, ['VHD_FOOTER_END']);
  });

  test.each([512, 4096, 1 << 20])('may have %d zeros after it, with a warning', async (zeros) => {
    await reads({ vhd: Buffer.concat([vhd, Buffer.alloc(zeros)]), content }, ['VHD_LONGER']);
  });

  test('may be one byte shorter, as Virtual PC writes it', async () => {
    await reads({ vhd: vhd.subarray(0, -1), content });
    const folder = testFolder();
    const fixed = fixedVhd(content).subarray(0, -1);
    const target = join(folder, 'disk');
    await writeDisk(stored(folder, 'fixed.vhd', fixed), target, { verify: true });
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test('of another size or type is an error, since either could be right', async () => {
    const size = withFooters(vhd, 'end', (footer) => footer.writeBigUInt64BE(BigInt(content.length + 512), 48));
    await refuses(size, { code: 'VHD_FOOTERS_DIFFER', offset: vhd.length - 512 + 48 });
    const type = withFooters(vhd, 'end', (footer) => footer.writeUInt32BE(4, 60));
    await refuses(type, { code: 'VHD_FOOTERS_DIFFER', offset: vhd.length - 512 + 60 });
  });
});

describe('a footer with', () => {
  const { vhd, content } = sample();
  const chs =
    (cylinders: number, heads: number, sectors: number): Change =>
    (footer) => {
      footer.writeUInt16BE(cylinders, 56);
      footer.set([heads, sectors], 58);
    };

  test.each<[string, Change]>([
    ['a smaller geometry, as almost every disk has', chs(1, 4, 17)],
    ['no geometry', chs(0, 0, 0)],
    ['the largest geometry, for which qemu uses the size field', chs(65535, 16, 255)],
    ['another original size', (footer) => footer.writeBigUInt64BE(1n << 40n, 40)],
    ['boot code of Windows 10 in the reserved bytes, on tapdisk’s hidden mark too', (footer) => footer.fill(noise(426, 6), 85, 511)],
    ['any creator', (footer) => footer.write('\xff\x00x ', 28, 'latin1')],
    ['feature bits', (footer) => footer.writeUInt32BE(0xffffffff, 8)],
  ])('%s causes no warning', async (_, change) => {
    await reads({ vhd: withFooters(vhd, 'both', change), content });
  });

  test.each<[string, Change, string]>([
    ['a geometry of just below 127.5 GiB', chs(65535, 16, 254), 'VHD_GEOMETRY'],
    ['the saved-state flag', (footer) => footer.writeUInt8(1, 84), 'VHD_SAVED_STATE'],
  ])('%s causes a warning, and the size field is used', async (_, change, code) => {
    await reads({ vhd: withFooters(vhd, 'both', change), content }, [code]);
  });
});

test.each([4, 8, 16, 32, 64, 256, 512, 1024, 2048])('blocks of %d KiB are read, whatever data is under clear bits', async (kib) => {
  await reads(sample({ garbage: true, shuffled: true, idle: 3, spare: 9, gap: 1 }, kib << 10));
  if (kib <= 64) await reads(sample({ garbage: true, short: true }, kib << 10));
});

test('the seven free sectors that Windows 10 leaves before the end footer are accepted', async () => {
  const { vhd, content } = sample();
  await reads({ vhd: Buffer.concat([vhd.subarray(0, -512), Buffer.alloc(3584), vhd.subarray(-512)]), content });
});

test('a block of 256 MiB is read in pieces, and the next one as far as the disk goes', async () => {
  const blockSize = 256 * MIB;
  const size = blockSize + 3 * MIB;
  const folder = testFolder();
  const path = join(folder, 'sparse.vhd');
  const table = Buffer.alloc(512, 0xff);
  const bitmapBytes = blockSize / 512 / 8;
  const [first, second] = [4, 4 + (bitmapBytes + blockSize) / 512];
  table.writeUInt32BE(second, 0); // block 0 comes after block 1
  table.writeUInt32BE(first, 4);
  const footer = makeFooter({ size, type: 3 });
  const expected = new Map<number, Buffer>();
  const file = openSync(path, 'w');
  const put = (bytes: Uint8Array, at: number): void => void writeSync(file, bytes, 0, bytes.length, at);
  put(Buffer.concat([footer, makeHeader({ entries: 2, blockSize }), table]), 0);
  for (const [block, sector] of [second, first].entries()) {
    const bitmap = Buffer.alloc(bitmapBytes);
    // Every third of the sectors that have data lacks its bit.
    for (const [index, at] of [0, 512, 8 * MIB - 512, 8 * MIB, 100 * MIB, blockSize - 512, 3 * MIB - 512].entries()) {
      const bytes = Buffer.from(noise(512, block * 100 + index));
      put(bytes, sector * 512 + bitmapBytes + at);
      if (index % 3 === 1) continue;
      bitmap[at >> 12] = (bitmap[at >> 12] ?? 0) | (0x80 >> ((at >> 9) & 7));
      if (block * blockSize + at < size) expected.set(block * blockSize + at, bytes);
    }
    put(bitmap, sector * 512);
  }
  put(footer, second * 512 + bitmapBytes + blockSize);
  closeSync(file);

  const target = join(folder, 'disk');
  await writeDisk(path, target, { verify: true, pool: createPool({ count: 3, size: MIB }) });
  const disk = openSync(target, 'r');
  for (let at = 0; at < size; at += MIB) {
    const found = Buffer.alloc(MIB);
    readSync(disk, found, 0, MIB, at);
    const wanted = Buffer.alloc(MIB);
    for (const [offset, bytes] of expected) if (Math.floor(offset / MIB) * MIB === at) wanted.set(bytes, offset - at);
    expect(found.equals(wanted), `the megabyte at ${at}`).toBe(true);
  }
  closeSync(disk);
});
