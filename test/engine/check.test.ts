import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { check, type Finding, type SourceInput } from '../../src/index.ts';
import { chunked, stored } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { batmapOffset, type Change, entryOf, withBytes, withEntry, withFooters, withHeader } from '../support/patch.ts';
import { tarOf } from '../support/tar.ts';
import { createStack, type Form, identity, layerVhd } from '../support/vhd-model.ts';

const BLOCK = 64 << 10;

/** Six blocks, of which the third is absent and the second partly filled, and the half of a seventh. */
function sample(form: Partial<Form> = {}, kind: 'dynamic' | 'fixed' = 'dynamic'): Buffer {
  const each = BLOCK / 512;
  const stack = createStack({ kind, blockSize: BLOCK, size: 6 * each + each / 2 });
  for (const block of [0, 3, 4, 5]) stack.write(block * each, each);
  stack.write(each + 3, 40);
  stack.write(6 * each, each / 2);
  const [layer] = stack.layers;
  if (layer === undefined) throw new Error('a stack has a layer');
  return layerVhd(layer, { seed: 5, ...form }, identity(1));
}

const good = sample();
const tapped = sample({ batmap: true, spare: 9 });
const end = (vhd: Buffer): number => vhd.length - 512;

/** `error CODE member@offset`, sorted. */
const summaries = (findings: readonly Finding[]): string[] =>
  findings.map(({ severity, code, member, offset }) => `${severity} ${code} ${member ?? ''}@${offset ?? ''}`).sort();

/** Alone and in an archive, as a file, compressed, and as a stream. */
function waysOf(vhd: Buffer): { readonly name: string; readonly member: string; readonly input: SourceInput }[] {
  const folder = testFolder();
  const ways = (name: string, member: string, bytes: Buffer) => [
    { name: `${name} as a file`, member, input: stored(folder, name, bytes) },
    { name: `${name} compressed`, member, input: stored(folder, `${name}.gz`, gzipSync(bytes, { level: 1 })) },
    { name: `${name} in a stream`, member, input: chunked(bytes, [3000, 511]) },
  ];
  return [...ways('bare', '', vhd), ...ways('archive', 'image.vhd', tarOf([['image.vhd', vhd]]))];
}

/** In every way these findings, `SEVERITY CODE@OFFSET`, and no other. */
async function expectFindings(vhd: Buffer, ...expected: string[]): Promise<void> {
  for (const { name, member, input } of waysOf(vhd)) {
    const { ok, findings } = await check(input);
    expect(summaries(findings), name).toEqual(expected.map((line) => line.replace('@', ` ${member}@`)).sort());
    expect(ok, name).toBe(!expected.some((line) => line.startsWith('error')));
    for (const { severity, message, advice } of findings) {
      expect(message).toMatch(/^\S.{10,}$/);
      expect(typeof advice).toBe(severity === 'error' ? 'string' : 'undefined');
    }
  }
}

const FUTURE = Math.floor(Date.now() / 1000) - 946_684_800 + 86_400;

describe('a good image has no findings:', () => {
  test.each<[string, Buffer]>([
    ['a dynamic disk', good],
    [
      'a disk with a batmap, a long table, gaps and garbage',
      sample({ batmap: true, spare: 700, gap: 7, garbage: false, shuffled: true, idle: 2 }),
    ],
    ['a disk with garbage under clear bits', sample({ garbage: true })],
    ['a disk whose footer is one byte short', good.subarray(0, -1)],
    ['a disk without blocks', dynamicVhd({ size: 1 << 30, blocks: new Map() })],
    ['a disk of 2040 GiB', dynamicVhd({ size: 2040 * 2 ** 30, blocks: new Map() })],
  ])('%s', async (_, vhd) => {
    await expectFindings(vhd);
    for (const { input } of waysOf(vhd)) {
      const virtualSize = Number(vhd.readBigUInt64BE(48));
      expect(await check(input)).toMatchObject({ ok: true, disks: [{ type: 'dynamic', virtualSize }] });
    }
  });

  test('but the footer of a fixed disk is checked as well', async () => {
    const vhd = fixedVhd(Buffer.from(noise(70_144, 1)));
    const odd = withFooters(vhd, 'end', (footer) => {
      footer.writeUInt32BE(FUTURE, 24);
      footer.writeUInt32BE(0x82, 8);
      footer.writeBigUInt64BE(512n, 16);
    });
    const expected = ['warning VHD_FEATURES', 'warning VHD_RESERVED', 'warning VHD_TIMESTAMP'];
    for (const input of [stored(testFolder(), 'fixed.vhd', odd), chunked(tarOf([['fixed.vhd', odd]]), [3000])]) {
      const { findings } = await check(input);
      expect(findings.map(({ severity, code }) => `${severity} ${code}`).sort()).toEqual(expected);
    }
  });

  test('a fixed disk, even if its content begins like a VHD', async () => {
    const inner = Buffer.concat([good, Buffer.alloc(512)]);
    for (const content of [Buffer.from(noise(70_144, 1)), inner]) {
      const input = stored(testFolder(), 'fixed.vhd', fixedVhd(content));
      expect(await check(input)).toEqual({
        ok: true,
        compression: 'none',
        findings: [],
        disks: [{ type: 'fixed', virtualSize: content.length }],
      });
    }
  });
});

/** Fields of the footers, which are changed alike. */
const footers: [string, string[], Change, Buffer?][] = [
  ['a timestamp of tomorrow', ['warning VHD_TIMESTAMP@24'], (footer) => footer.writeUInt32BE(FUTURE, 24)],
  ['no timestamp', [], (footer) => footer.writeUInt32BE(0, 24)],
  ['unknown feature bits', ['warning VHD_FEATURES@8'], (footer) => footer.writeUInt32BE(0x82, 8)],
  ['a clear bit that should always be set', ['warning VHD_FEATURES@8'], (footer) => footer.writeUInt32BE(0, 8)],
  ['a temporary disk', [], (footer) => footer.writeUInt32BE(3, 8)],
  ['no unique id', ['warning VHD_UNIQUE_ID@68'], (footer) => footer.fill(0, 68, 84)],
  ['a geometry larger than the disk', ['warning VHD_GEOMETRY@56'], (footer) => footer.writeUInt32BE(0xffff10fe, 56)],
  ['the largest geometry, which defers to the size field', [], (footer) => footer.writeUInt32BE(0xffff10ff, 56)],
  ['a saved state', ['warning VHD_SAVED_STATE@84'], (footer) => footer.writeUInt8(1, 84)],
  ['the hidden flag of tapdisk, without a child', ['warning VHD_HIDDEN@85'], (footer) => footer.writeUInt8(1, 85), tapped],
  ['the same byte by another creator', [], (footer) => footer.writeUInt8(1, 85)],
  ['a hidden flag that is neither 0 nor 1', ['warning VHD_HIDDEN@85'], (footer) => footer.writeUInt8(7, 85), tapped],
  ['a saved state that is neither 0 nor 1', ['warning VHD_SAVED_STATE@84'], (footer) => footer.writeUInt8(2, 84)],
  ['a minor version that libvhd refuses', ['warning VHD_VERSION@12'], (footer) => footer.writeUInt32BE(0x00010001, 12)],
  ['a later tapdisk', ['warning VHD_VERSION@32'], (footer) => footer.writeUInt32BE(0x00010004, 32), tapped],
  ['an unknown type', ['error VHD_TYPE@60'], (footer) => footer.writeUInt32BE(7, 60)],
  ['a size of half a sector', ['error VHD_SIZE@48'], (footer) => footer.writeBigUInt64BE(256n, 48)],
  ['an unaligned header', ['error VHD_HEADER_OFFSET@16'], (footer) => footer.writeBigUInt64BE(513n, 16)],
];

test.each(footers)('a footer with %s has the findings %j', async (_, expected, change, vhd = good) => {
  await expectFindings(withFooters(vhd, 'both', change), ...expected);
});

describe('exactly one finding is reported for', () => {
  const at = (block: number): string => `@${1536 + block * 4}`;
  // With room for a block in front of each.
  const roomy = sample({ gap: 200 });
  const batmap = (change: Change): Buffer => withBytes(tapped, (bytes) => change(bytes.subarray(batmapOffset(tapped))));
  const sealMap = (area: Buffer): void => {
    let sum = 0;
    for (const byte of area.subarray(512, 1024)) sum += byte;
    area.writeUInt32BE(~sum >>> 0, 24);
  };

  test.each<[string, Buffer, string[]]>([
    [
      'a front footer whose checksum is wrong',
      withFooters(good, 'front', (footer) => footer.writeUInt8(1, 300), false),
      ['error VHD_FOOTER_CHECKSUM@64'],
    ],
    [
      'an end footer whose checksum is wrong',
      withFooters(good, 'end', (footer) => footer.writeUInt8(1, 300), false),
      [`warning VHD_FOOTER_END@${end(good)}`],
    ],
    [
      'a poisoned end footer',
      withFooters(good, 'end', (footer) => void footer.write('v_poison'), false),
      [`warning VHD_FOOTER_END@${end(good)}`],
    ],
    [
      'an end footer of another disk',
      withFooters(good, 'end', (footer) => footer.fill(1, 68, 84)),
      [`warning VHD_FOOTER_END@${end(good)}`],
    ],
    [
      'an end footer of another size',
      withFooters(good, 'end', (footer) => footer.writeBigUInt64BE(512n, 48)),
      [`error VHD_FOOTERS_DIFFER@${end(good) + 48}`],
    ],
    ['a header whose checksum is wrong', withHeader(good, (header) => header.writeUInt8(1, 800), false), ['error VHD_HEADER_CHECKSUM@548']],
    ['a header of a later version', withHeader(good, (header) => header.writeUInt32BE(0x00020000, 24)), ['error VHD_VERSION@536']],
    ['no header', withHeader(good, (header) => header.fill(0, 0, 8)), ['error VHD_HEADER@512']],
    ['a block size of zero', withHeader(good, (header) => header.writeUInt32BE(0, 32)), ['error VHD_BLOCK_SIZE@544']],
    ['a table that is too short', withHeader(good, (header) => header.writeUInt32BE(6, 28)), ['error VHD_TABLE@540']],
    ['a table inside the header', withHeader(good, (header) => header.writeBigUInt64BE(1024n, 16)), ['error VHD_TABLE_OFFSET@528']],
    ['a block that overlaps the table', withEntry(roomy, 3, 3), [`error VHD_BLOCK_METADATA${at(3)}`]],
    ['a block that overlaps the footer', withEntry(roomy, 3, 0), [`error VHD_BLOCK_METADATA${at(3)}`]],
    ['a block that overlaps another', withEntry(roomy, 3, entryOf(roomy, 1) + 1), [`error VHD_BLOCK_OVERLAP${at(3)}`]],
    ['entries past the end of the disk', sample({ spare: 5, garbage: true }), ['warning VHD_TABLE_SPARE@1564']],
    ['a batmap that was changed', batmap((area) => area.writeUInt8(1, 1000)), [`warning VHD_BATMAP@${batmapOffset(tapped)}`]],
    ['a batmap outside of the file', batmap((area) => area.writeBigUInt64BE(1n << 33n, 8)), [`warning VHD_BATMAP@${batmapOffset(tapped)}`]],
    [
      'a batmap that marks a partly filled block and an absent one as full',
      batmap((area) => sealMap(area.fill(0xff, 512, 513))),
      [`warning VHD_BATMAP@${entryOf(tapped, 1) * 512}`, `warning VHD_BATMAP@${batmapOffset(tapped) + 512}`],
    ],
    ['a last block that is stored short', sample({ short: true }), ['warning VHD_BLOCK_SHORT@332288']],
    ['a header of a minor version', withHeader(good, (header) => header.writeUInt32BE(0x00010001, 24)), ['warning VHD_VERSION@536']],
    ['a header with a data offset', withHeader(good, (header) => header.writeUInt8(0, 12)), ['warning VHD_RESERVED@520']],
    ['a header with reserved bytes', withHeader(good, (header) => header.writeUInt8(1, 900)), ['warning VHD_RESERVED@1280']],
    ['a batmap without its cookie', batmap((area) => area.fill(0, 0, 8)), [`warning VHD_BATMAP@${batmapOffset(tapped)}`]],
    [
      'an end footer whose geometry is too large',
      withFooters(good, 'end', (footer) => footer.writeUInt32BE(0xffff10fe, 56)),
      [`warning VHD_FOOTER_END@${end(good)}`, `warning VHD_GEOMETRY@${end(good) + 56}`],
    ],
    ['encryption', batmap((area) => area.writeUInt8(1, 29)), [`error VHD_ENCRYPTED@${batmapOffset(tapped) + 29}`]],
  ])('%s', async (_, vhd, expected) => {
    await expectFindings(vhd, ...expected);
  });

  test('a block beyond the end is reported if the end is known', async () => {
    for (const { input, name } of waysOf(withEntry(good, 3, 1 << 20))) {
      const { ok, findings } = await check(input);
      expect(ok, name).toBe(false);
      expect(findings.map(({ code }) => code).join(), name).toMatch(/^VHD_BLOCK_RANGE$|^SOURCE_TRUNCATED/);
    }
  });

  test('a tapdisk 1.1 batmap, whose checksum sums signed bytes, is not a finding', async () => {
    await expectFindings(
      batmap((area) => {
        const map = area.subarray(512, 1024);
        area.writeUInt32BE(0x00010001, 20);
        area.writeUInt32BE(~map.reduce((sum, byte) => sum + (byte > 127 ? byte - 256 : byte), 0) >>> 0, 24);
      }),
    );
  });
});
