import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { check, type Finding, type SourceInput, writeDisk } from '../../src/index.ts';
import { chunked, stored } from '../support/chains.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { batmapOffset, entryOf, withBytes, withEntry, withFooters, withHeader } from '../support/patch.ts';
import { tarOf } from '../support/tar.ts';

const BLOCK = 4096;
const summaries = (findings: readonly Finding[]): string[] =>
  findings.map(({ severity, code, member, offset }) => `${severity} ${code} ${member ?? ''}@${offset ?? ''}`);

/** A file and a stream of the same bytes. */
const both = (bytes: Buffer): SourceInput[] => [stored(testFolder(), 'image', bytes), chunked(bytes, [511, 3000])];

/** Blocks of tapdisk, all full by the batmap; those of `wrong` lack a bit. */
function tapped(count: number, wrong: readonly number[] = []): Buffer {
  const numbers = [...Array(count).keys()];
  const blocks = new Map(numbers.map((block) => [block, Buffer.alloc(BLOCK, block + 1)]));
  const vhd = dynamicVhd({
    size: count * BLOCK,
    blockSize: BLOCK,
    blocks,
    gap: 8,
    batmap: true,
    creator: 'tap\0',
    creatorVersion: 0x00010003,
  });
  return withBytes(vhd, (bytes) => {
    for (const block of wrong) bytes.writeUInt8(0xfe, entryOf(vhd, block) * 512);
  });
}

describe('checking one VHD', () => {
  test('reports everything that is wrong', async () => {
    const vhd = tapped(8, [6]);
    const front = withFooters(
      vhd,
      'front',
      (footer) => {
        footer.writeUInt32BE(0, 8);
        footer.writeUInt8(1, 300);
      },
      false,
    );
    const header = withHeader(front, (bytes) => bytes.writeUInt8(1, 800), false);
    const placed = withEntry(withEntry(header, 2, entryOf(vhd, 1)), 4, 1);
    const bytes = withFooters(placed, 'end', (footer) => void footer.write('v_poison'), false);
    for (const input of both(bytes)) {
      expect(summaries((await check(input)).findings).sort()).toEqual([
        'error VHD_BLOCK_METADATA @1552',
        'error VHD_BLOCK_OVERLAP @1544',
        'error VHD_FOOTER_CHECKSUM @64',
        'error VHD_HEADER_CHECKSUM @548',
        `warning VHD_BATMAP @${entryOf(vhd, 6) * 512}`,
        'warning VHD_FEATURES @8',
        `warning VHD_FOOTER_END @${vhd.length - 512}`,
      ]);
    }
  });

  test('reports ten bad entries of each kind and counts the rest, and still checks the well-placed blocks', async () => {
    let vhd = tapped(30, [25]);
    for (let block = 2; block < 15; block++) vhd = withEntry(vhd, block, 0x10000 * block);
    const { findings } = await check(stored(testFolder(), 'image', vhd));
    expect(summaries(findings).sort()).toEqual([
      ...Array.from({ length: 10 }, (_, index) => `error VHD_BLOCK_RANGE @${1536 + (index + 2) * 4}`).sort(),
      'warning MORE_FINDINGS @',
      `warning VHD_BATMAP @${entryOf(vhd, 25) * 512}`,
    ]);
    expect(findings.find(({ code }) => code === 'MORE_FINDINGS')?.message).toMatch(/VHD_BLOCK_RANGE.* 3 /);
  });

  test('reports ten bitmaps that contradict the batmap and counts the rest', async () => {
    const vhd = tapped(30, [...Array(12).keys()]);
    for (const input of both(vhd)) {
      const { ok, findings } = await check(input);
      expect(ok).toBe(true);
      expect(summaries(findings)).toEqual([
        ...Array.from({ length: 10 }, (_, block) => `warning VHD_BATMAP @${entryOf(vhd, block) * 512}`),
        'warning MORE_FINDINGS @',
      ]);
    }
  });

  test('reports a block that overlaps several structures only once', async () => {
    let vhd = tapped(8);
    for (let block = 0; block < 4; block++) vhd = withEntry(vhd, block, 0);
    for (const input of both(vhd)) {
      const { findings } = await check(input);
      const entries = findings.filter(({ code }) => code === 'VHD_BLOCK_METADATA').map(({ offset }) => offset);
      expect(entries).toEqual([1536, 1540, 1544, 1548]);
      expect(findings.filter(({ code }) => code === 'MORE_FINDINGS')).toEqual([]);
    }
  });

  test('reports that a VHD is encrypted, and also what is wrong after that', async () => {
    const vhd = tapped(3);
    const locked = withBytes(vhd, (bytes) => bytes.writeUInt8(1, batmapOffset(vhd) + 29));
    const bytes = withFooters(locked, 'end', (footer) => footer.fill(0, 0, 8), false);
    const expected = [`error VHD_ENCRYPTED @${batmapOffset(vhd) + 29}`, `warning VHD_FOOTER_END @${vhd.length - 512}`];
    for (const input of both(bytes)) expect(summaries((await check(input)).findings)).toEqual(expected);
  });

  test.each([1, 511, 512, 700, BLOCK, BLOCK + 511])(
    'reports the last block as truncated if %d of its bytes are missing, and the footer',
    async (less) => {
      const vhd = tapped(3);
      const bytes = vhd.subarray(0, vhd.length - 512 - less);
      for (const input of [...both(bytes), stored(testFolder(), 'image.gz', gzipSync(bytes))]) {
        expect(await check(input)).toMatchObject({ ok: false });
      }
    },
  );

  test('finds the footer at the end even if the block table claims to extend past it', async () => {
    const vhd = withHeader(dynamicVhd({ size: 1 << 20, blocks: new Map() }), (header) => header.writeUInt32BE(256, 28));
    const bytes = withFooters(vhd, 'end', (footer) => footer.writeBigUInt64BE(512n, 48));
    for (const input of both(bytes))
      expect(summaries((await check(input)).findings)).toContain(`error VHD_FOOTERS_DIFFER @${vhd.length - 512 + 48}`);
  });

  test.each<[string, Buffer, string]>([
    ['without a footer', Buffer.alloc(4096, 1), 'error VHD_FOOTER @'],
    [
      'whose footer has a wrong checksum',
      withFooters(fixedVhd(Buffer.alloc(4096, 1)), 'end', (footer) => footer.writeUInt8(1, 300), false),
      'error VHD_FOOTER_CHECKSUM @',
    ],
    ['that is shorter than it says', fixedVhd(Buffer.alloc(4096, 1)).subarray(1024), 'error SOURCE_TRUNCATED @'],
  ])('reports damage to a fixed VHD %s', async (_, vhd, expected) => {
    await expect(check(stored(testFolder(), 'image.tar', tarOf([['fixed.vhd', vhd]])))).resolves.toMatchObject({ ok: false });
    const { findings } = await check(stored(testFolder(), 'image.tar', tarOf([['fixed.vhd', vhd]])));
    expect(
      summaries(findings)
        .join()
        .replace(/fixed\.vhd@.*/, '@'),
    ).toBe(expected);
  });

  test('accepts a fixed VHD whose content begins with the magic of another format', async () => {
    const data = Buffer.alloc(4096, 1);
    data.write('PK\x03\x04', 'latin1');
    const path = stored(testFolder(), 'image.vhd', fixedVhd(data));
    await expect(writeDisk(path, 'null:')).resolves.toMatchObject({ virtualSize: data.length });
    expect(await check(path)).toMatchObject({ ok: true, findings: [] });
  });
});
