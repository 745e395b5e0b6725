import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check, info, type SourceInput, writeDisk } from '../../src/index.ts';
import { chunked, stored } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { withBytes, withFooters } from '../support/patch.ts';
import { tarOf } from '../support/tar.ts';

const BLOCK = 4096;
const STORED = BLOCK + 512;

interface Way {
  readonly name: string;
  readonly input: () => SourceInput;
}

/** Bare and in an archive, as a file, gzipped, and as a stream. */
function waysOf(vhd: Buffer): Way[] {
  const folder = testFolder();
  const ways = (name: string, bytes: Buffer): Way[] => [
    { name, input: () => stored(folder, name, bytes) },
    { name: `${name}.gz`, input: () => stored(folder, `${name}.gz`, gzipSync(bytes, { level: 1 })) },
    { name: `stream of ${name}`, input: () => chunked(bytes, [3000, 511]) },
  ];
  return [...ways('disk.vhd', vhd), ...ways('image.tar', tarOf([['disk.vhd', vhd]]))];
}

/** What a stream does not say is the size of a fixed VHD. */
const known = (ways: Way[]): Way[] => ways.filter(({ name }) => name !== 'stream of disk.vhd');

/** Each way writes these bytes to a new file, with these warnings; `check` has the same, and no error; with `strict` it is one. */
async function expectDisk(ways: readonly Way[], content: Buffer, ...codes: string[]): Promise<void> {
  for (const { name, input } of ways) {
    const target = join(testFolder(), 'disk');
    const result = await writeDisk(input(), target, { verify: true });
    expect(result, name).toMatchObject({ virtualSize: content.length });
    expect(
      result.warnings.map(({ code }) => code),
      name,
    ).toEqual(codes);
    expect(readFileSync(target).equals(content), name).toBe(true);
    expect((await info(input())).virtualSize, name).toBe(content.length);
    const { ok, findings, disks } = await check(input());
    expect(ok, name).toBe(true);
    expect(disks, name).toMatchObject([{ virtualSize: content.length }]);
    expect(
      findings.map(({ code }) => code),
      name,
    ).toEqual(codes);
    const other = join(testFolder(), 'disk');
    if (codes.length > 0) expect(await failure(writeDisk(input(), other, { strict: true })), name).toMatchObject({ code: 'STRICT' });
    expect(existsSync(other)).toBe(false);
  }
}

async function expectRefusal(ways: readonly Way[], code: string, message = /./): Promise<void> {
  for (const { name, input } of ways) {
    const target = join(testFolder(), 'disk');
    const error = await failure(writeDisk(input(), target));
    expect(error, name).toMatchObject({ code });
    expect(error.message, name).toMatch(message);
    expect(existsSync(target), name).toBe(false);
    const { ok, findings } = await check(input());
    expect(ok, name).toBe(false);
    expect(
      findings.filter(({ severity }) => severity === 'error').map((finding) => finding.code),
      name,
    ).toEqual([code]);
  }
}

const content = Buffer.concat([0, 1, 2, 3].map((block) => Buffer.from(noise(BLOCK, block + 1))));
const blocks = new Map([0, 1, 2, 3].map((block) => [block, content.subarray(block * BLOCK, (block + 1) * BLOCK)]));
const good = dynamicVhd({ size: content.length, blockSize: BLOCK, blocks });
const blockAt = (index: number): number => 2048 + index * STORED;
const fixed = fixedVhd(content);

describe('a fixed VHD', () => {
  test('longer than its footer says has that size if zeros are between, with a warning', async () => {
    for (const zeros of [512, 4096, 3 << 20]) {
      const vhd = Buffer.concat([content, Buffer.alloc(zeros), fixed.subarray(-512)]);
      await expectDisk(known(waysOf(vhd)), content, 'VHD_LONGER');
    }
  });

  test('that ends in zeros itself has them', async () => {
    const data = Buffer.concat([content, Buffer.alloc(8192)]);
    await expectDisk(known(waysOf(fixedVhd(data))), data);
    await expectDisk(known(waysOf(Buffer.concat([data, Buffer.alloc(4096), fixedVhd(data).subarray(-512)]))), data, 'VHD_LONGER');
  });

  test('is refused if anything else is between, whatever byte it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), fc.nat(511), fc.nat(), async (sectors, byte, at) => {
        const extra = Buffer.alloc(sectors * 512);
        extra[((at % sectors) * 512 + byte) % extra.length] = 1;
        await expectRefusal(known(waysOf(Buffer.concat([content, extra, fixed.subarray(-512)]))), 'VHD_SIZE');
      }),
      { numRuns: 4 },
    );
  });

  test('that was made longer is found by its footer before the zeros, in what can seek', async () => {
    for (const zeros of [512, 700, 1 << 20, 9 << 20]) {
      const ways = waysOf(Buffer.concat([fixed, Buffer.alloc(zeros)]));
      const seeks = ways.filter(({ name }) => ['disk.vhd', 'disk.vhd.gz', 'image.tar'].includes(name));
      await expectDisk(seeks, content, 'VHD_LONGER');
      for (const { name, input } of ways.filter((way) => !seeks.includes(way))) {
        const { code, message } = await failure(writeDisk(input(), 'null:'));
        expect(code, name).toMatch(/^(?:VHD_FOOTER|FORMAT_UNKNOWN|DISK_SIZE_UNKNOWN)$/);
        expect(message, name).toMatch(/footer/);
      }
    }
  });

  test('in a disk that ends in zeros is not taken for the disk', async () => {
    const raw = Buffer.concat([noise(8192, 5), fixed, Buffer.alloc(8192)]);
    const target = join(testFolder(), 'disk');
    await writeDisk(stored(testFolder(), 'disk.raw', raw), target, { raw: true });
    expect(readFileSync(target).equals(raw)).toBe(true);
    await expectRefusal([{ name: 'a file', input: () => stored(testFolder(), 'disk.vhd', raw) }], 'FORMAT_UNKNOWN');
  });

  test('in a disk that ends in a dynamic VHD and zeros is not taken for the disk either', async () => {
    const raw = Buffer.concat([noise(8192, 5), dynamicVhd({ size: 2 << 20, blocks: new Map() }), Buffer.alloc(8192)]);
    const target = join(testFolder(), 'disk');
    await writeDisk(stored(testFolder(), 'disk.raw', raw), target, { raw: true });
    expect(readFileSync(target).equals(raw)).toBe(true);
  });
});

describe('a dynamic VHD', () => {
  test('that lost its footer is read with a warning, also if its last block ends the file', async () => {
    await expectDisk(waysOf(good.subarray(0, -512)), content, 'VHD_FOOTER_END');
    const padded = Buffer.concat([good.subarray(0, -512), Buffer.alloc(3584)]);
    await expectDisk(waysOf(padded), content, 'VHD_FOOTER_END');
  });

  test('followed by zeros has its footer, and a warning', async () => {
    for (const zeros of [512, 1 << 20]) await expectDisk(waysOf(Buffer.concat([good, Buffer.alloc(zeros)])), content, 'VHD_LONGER');
  });

  test('with two footers that differ in any field causes a warning that names it', async () => {
    const fields: [string, number][] = [
      ['features', 11],
      ['timestamp', 27],
      ['creator', 28],
      ['creator version', 35],
      ['creator host OS', 39],
      ['original size', 45],
      ['geometry', 57],
      ['unique ID', 70],
      ['saved state', 84],
      ['hidden flag', 85],
      ['reserved bytes', 300],
    ];
    for (const [name, at] of fields) {
      const vhd = withFooters(good, 'end', (footer) => footer.writeUInt8((footer[at] ?? 0) ^ 1, at));
      for (const { input } of waysOf(vhd)) {
        const { findings } = await check(input());
        expect(findings).toMatchObject([{ severity: 'warning', code: 'VHD_FOOTER_END', offset: vhd.length - 512 }]);
        expect(findings[0]?.message).toContain(`used: ${name}`);
      }
    }
  });
});

describe('blocks whose bitmaps are empty', () => {
  const emptied = (...indices: number[]): Buffer =>
    withBytes(good, (bytes) => {
      for (const index of indices) bytes.fill(0, blockAt(index), blockAt(index) + STORED);
    });
  const left = (...indices: number[]): Buffer => {
    const rest = Buffer.from(content);
    for (const index of indices) rest.fill(0, index * BLOCK, (index + 1) * BLOCK);
    return rest;
  };

  test('are a warning at the end of the file, with their number and the first byte', async () => {
    for (const indices of [[3], [2, 3], [0, 1, 2, 3]]) {
      await expectDisk(waysOf(emptied(...indices)), left(...indices), 'VHD_EMPTY_TAIL');
      const { findings } = await check(chunked(emptied(...indices), [999]));
      expect(findings[0]?.offset).toBe(blockAt(indices[0] ?? 0));
      expect(findings[0]?.message).toContain(indices.length === 1 ? 'the last block' : `the last ${indices.length} blocks`);
    }
  });

  test('are nothing to report elsewhere, as producers that allocate in advance leave them', async () => {
    await expectDisk(waysOf(emptied(0, 2)), left(0, 2));
  });

  test('are an error if the footer is missing too, as in a copy that was stopped', async () => {
    for (const from of [blockAt(1) + 700, blockAt(2), blockAt(2) + 512, blockAt(3) - 1]) {
      const stopped = withBytes(good, (bytes) => void bytes.fill(0, from));
      await expectRefusal(waysOf(stopped), 'VHD_UNFINISHED', /from byte \d+ of the file on, the last/);
    }
  });

  test('are nothing to report in a differencing VHD, where they are those of the parent', async () => {
    const bitmaps = new Map([...blocks.keys()].map((block) => [block, new Uint8Array(512)]));
    const parent = { id: 3, timestamp: 5 };
    const child = dynamicVhd({ size: content.length, blockSize: BLOCK, blocks, bitmaps, type: 4, parent, id: 4, timestamp: 6 });
    const base = dynamicVhd({ size: content.length, blockSize: BLOCK, blocks, id: 3, timestamp: 5 });
    const input = stored(
      testFolder(),
      'chain.tar',
      tarOf([
        ['0.vhd', child],
        ['1.vhd', base],
      ]),
    );
    expect(await check(input)).toMatchObject({ ok: true, findings: [] });
  });
});
