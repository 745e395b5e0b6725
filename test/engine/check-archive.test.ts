import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { check, type Finding, type SourceInput } from '../../src/index.ts';
import { chainTar, chunked, pair, permutations, sampleChain, stored, storedVhds } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, ovfOf, sample, waysOf } from '../support/packages.ts';
import { withFooters, withHeader } from '../support/patch.ts';
import { tarHeader, tarMember, tarOf } from '../support/tar.ts';
import { identity, layerVhd } from '../support/vhd-model.ts';

const good = sample(1).vhd;
const noHeader = withHeader(good, (header) => header.fill(0, 0, 8));
const badSum = withFooters(good, 'front', (footer) => footer.writeUInt8(1, 300), false);

const summaries = (findings: readonly Finding[]): string[] =>
  findings.map(({ severity, code, member, offset }) => `${severity} ${code} ${member ?? ''}@${offset ?? ''}`);

/** A file and a stream of the same bytes. */
const both = (bytes: Buffer): SourceInput[] => [stored(testFolder(), 'image', bytes), chunked(bytes, [511, 3000])];

/** In every way these findings in this order, `SEVERITY CODE MEMBER@OFFSET`. */
async function expectFindings(entries: readonly Entry[], ...expected: string[]): Promise<void> {
  for (const { input, name } of waysOf(testFolder(), entries)) {
    const { ok, findings } = await check(input());
    expect(summaries(findings), name).toEqual(expected);
    expect(ok, name).toBe(!expected.some((line) => line.startsWith('error')));
  }
}

describe('checking an archive', () => {
  test('reports every damaged member by name', async () => {
    const other = Buffer.alloc(2048, 'QFI\xfb\0\0\0\x03', 'latin1');
    await expectFindings(
      [
        ['a.vhd', noHeader],
        ['b.vhd', other],
        ['c.vhd', good],
        ['d.vhd', good.subarray(0, 900)],
        ['e.vhd', Buffer.alloc(0)],
        ['f.vhd', badSum],
      ],
      'error VHD_HEADER a.vhd@512',
      'error FORMAT_OTHER b.vhd@0',
      'error SOURCE_TRUNCATED d.vhd@900',
      'error DISK_EMPTY e.vhd@0',
      'error VHD_FOOTER_CHECKSUM f.vhd@64',
    );
  });

  test('reports a member whose own compression is damaged by name, and checks the next one', async () => {
    const packed = gzipSync(good);
    packed[packed.length - 8] = (packed[packed.length - 8] ?? 0) ^ 1;
    for (const { input, name } of waysOf(testFolder(), [
      ['a.vhd.gz', packed],
      ['b.vhd', badSum],
    ])) {
      const { findings } = await check(input());
      expect(findings, name).toMatchObject([
        { code: 'COMPRESSION_CHECKSUM', member: 'a.vhd.gz' },
        { code: 'VHD_FOOTER_CHECKSUM', member: 'b.vhd' },
      ]);
    }
  });

  test('stops at a damaged header, and reports what it found before', async () => {
    const tar = tarOf([
      ['a.vhd', badSum],
      ['b.vhd', good],
    ]);
    const second = 512 + Math.ceil(good.length / 512) * 512;
    tar.writeUInt8(0xff, second + 5);
    for (const input of [chunked(tar), chunked(gzipSync(tar))]) {
      expect(summaries((await check(input)).findings)).toEqual(['error VHD_FOOTER_CHECKSUM a.vhd@64', `error TAR_HEADER @${second}`]);
    }
    expect(summaries((await check(stored(testFolder(), 'image.tar', tar))).findings)).toContain(`error TAR_HEADER @${second}`);
  });
});

describe('checking a compressed image', () => {
  // More than one window of decompressed data, so that the start is read before the end turns out to be damaged.
  const packed = gzipSync(
    tarOf([
      ['a.vhd', badSum],
      ['b.bin', noise(3 << 20, 1)],
    ]),
    { level: 1 },
  );
  const flip = (at: number): Buffer => Buffer.from(packed.map((byte, index) => (index === packed.length + at ? byte ^ 1 : byte)));

  test.each<[string, Buffer, string]>([
    ['a wrong CRC', flip(-8), 'COMPRESSION_CHECKSUM'],
    ['a wrong length', flip(-4), 'COMPRESSION_CHECKSUM'],
    ['a missing end', packed.subarray(0, -9), 'COMPRESSION_TRUNCATED'],
    ['data after its end', Buffer.concat([packed, Buffer.from('more')]), 'COMPRESSION_TRAILING'],
  ])('reports %s in addition to what is wrong with the VHD', async (_, bytes, code) => {
    for (const input of both(bytes)) {
      const { ok, compression, findings } = await check(input);
      expect({ ok, compression }).toEqual({ ok: false, compression: 'gzip' });
      expect(findings).toMatchObject([
        { code: 'VHD_FOOTER_CHECKSUM', member: 'a.vhd' },
        { severity: 'error', code, member: undefined },
      ]);
    }
  });
});

test('reports damage to the compression also when the first window is the only one', async () => {
  const packed = gzipSync(tarOf([['a.vhd', good]]));
  packed[packed.length - 8] = (packed[packed.length - 8] ?? 0) ^ 1;
  for (const input of both(packed))
    expect(await check(input)).toMatchObject({ ok: false, compression: 'gzip', findings: [{ code: 'COMPRESSION_CHECKSUM' }] });
});

describe('checking something that is not an image', () => {
  const link = Buffer.concat([tarHeader({ name: 'a.vhd', type: '2', linkname: '/etc/passwd' }), tarOf([])]);
  test.each<[string, Buffer, string]>([
    ['an empty input', Buffer.alloc(0), 'error SOURCE_EMPTY @0'],
    ['text', Buffer.alloc(3000, 'text '), 'error FORMAT_UNKNOWN @0'],
    ['a zip', Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(3000)]), 'error FORMAT_OTHER @0'],
    ['an archive without a disk', tarOf([['readme', Buffer.from('hi')]]), 'error DISK_NONE @'],
    ['a link with the name of a disk', link, 'error TAR_NOT_A_FILE a.vhd@0'],
  ])('reports what is wrong with %s', async (_, bytes, expected) => {
    const { ok, findings, disks } = await check(stored(testFolder(), 'image', bytes));
    expect({ ok, disks }).toEqual({ ok: false, disks: [] });
    expect(summaries(findings).join()).toMatch(expected);
  });

  test('does not call an archive without a disk good, whatever warnings it has', async () => {
    const odd = tarMember({ name: 'readme' }, Buffer.from('hi'));
    for (const input of both(odd)) {
      const { ok, findings } = await check(input);
      expect(findings.map(({ code }) => code).sort()).toEqual(['DISK_NONE', 'TAR_END_MISSING']);
      expect(ok).toBe(false);
    }
  });

  test('throws for a source that cannot be opened and for a cancelled call, instead of listing a finding', async () => {
    expect(await failure(check('/nowhere/image.ova'))).toMatchObject({ code: 'SOURCE_OPEN' });
    const signal = AbortSignal.abort(new Error('enough'));
    expect(await failure(check(chunked(good), { signal }))).toMatchObject({ code: 'CANCELLED' });
  });
});

test('warns of an unusual end of a tar', async () => {
  const tar = tarOf([['a.vhd', good]]);
  const trailing = Buffer.concat([tar, Buffer.alloc(512, 'x')]);
  for (const input of both(tar.subarray(0, -1024)))
    expect(summaries((await check(input)).findings)).toEqual([`warning TAR_END_MISSING @${tar.length - 1024}`]);
  for (const input of both(trailing)) expect(await check(input)).toMatchObject({ ok: true, findings: [{ code: 'TAR_TRAILING' }] });
});

test('reports a disk that is named in the OVF but missing, and checks the others', async () => {
  const entries: Entry[] = [
    ['box.ovf', ovfOf(['a.vhd', 'b.vhd', 'c.vhd'])],
    ['a.vhd', badSum],
  ];
  for (const { input, name } of waysOf(testFolder(), entries)) {
    const expected = ['error OVF_DISK_MISSING b.vhd@', 'error OVF_DISK_MISSING c.vhd@', 'error VHD_FOOTER_CHECKSUM a.vhd@64'];
    expect(summaries((await check(input())).findings).sort(), name).toEqual(expected);
  }
});

describe('checking a chain', () => {
  const { vhds } = sampleChain({ locators: 'sectors' });
  const layers = (bodies: readonly Buffer[]): Entry[] => bodies.map((body, rank) => [`${rank}.vhd`, body]);

  test('finds nothing wrong, in any order or as separate files', async () => {
    for (const order of permutations(3)) {
      for (const input of both(chainTar(vhds, order)))
        expect(await check(input), `order ${order}`).toMatchObject({ ok: true, findings: [] });
    }
    const { findings, disks } = await check(storedVhds(testFolder(), vhds));
    expect([findings, disks.map(({ type }) => type)]).toEqual([[], ['differencing', 'differencing', 'dynamic']]);
  });

  test.each<[string, Entry[], string[]]>([
    ['the middle is missing', layers(vhds).toSpliced(1, 1), ['error CHAIN_GAP 2.vhd@']],
    ['the base is missing', layers(vhds).slice(0, 2), ['error VHD_DIFFERENCING 1.vhd@60']],
    ['only the leaf is present', layers(vhds).slice(0, 1), ['error VHD_DIFFERENCING 0.vhd@60']],
    ['a layer is present twice', [...layers(vhds), ['0.vhd', vhds[0] ?? good]], ['error DISK_DUPLICATE 0.vhd@']],
    [
      'a layer has a damaged footer',
      layers(vhds.map((vhd, rank) => (rank === 1 ? withFooters(vhd, 'front', (footer) => footer.writeUInt8(1, 300), false) : vhd))),
      ['error VHD_FOOTER_CHECKSUM 1.vhd@64'],
    ],
    ['the base belongs to another', layers([...vhds.slice(0, 2), good]), ['error CHAIN_PARENT 1.vhd@']],
    ['a parent is hidden, as it should be', layers(vhds.map((vhd, rank) => (rank === 0 ? vhd : hidden(vhd)))), []],
    ['the leaf is hidden', layers(vhds.map(hidden)), ['warning VHD_HIDDEN 0.vhd@85']],
  ])('reports exactly the expected findings if %s', async (_, entries, expected) => {
    await expectFindings(entries, ...expected);
    if (!expected.some((line) => line.includes('DISK_DUPLICATE'))) await expectFindings(entries.toReversed(), ...expected);
  });

  test('warns of a parent that was created after its child', async () => {
    const { stack } = pair();
    const [leaf, base] = stack.layers;
    if (leaf === undefined || base === undefined) throw new Error('a pair has two layers');
    const { id, timestamp } = identity(2);
    const child = layerVhd(leaf, { seed: 1 }, identity(1), { id, timestamp: timestamp - 1 });
    await expectFindings(layers([child, layerVhd(base, { seed: 1 }, identity(2))]), 'warning CHAIN_TIMESTAMP 0.vhd@');
  });

  test('warns of locators that point nowhere or are of an unknown kind', async () => {
    const [leaf = good, ...parents] = vhds;
    const odd = withHeader(leaf, (header) => {
      header.write('Linx', 576, 'latin1');
      header.writeBigUInt64BE(1n << 40n, 576 + 24 + 16);
    });
    await expectFindings(
      layers([odd, ...parents]),
      `warning VHD_LOCATOR 0.vhd@${512 + 576}`,
      `warning VHD_LOCATOR 0.vhd@${512 + 576 + 24}`,
    );
  });
});

/** As tapdisk marks a VHD that has children. */
function hidden(vhd: Buffer): Buffer {
  return withFooters(vhd, 'both', (footer) => {
    footer.write('tap\0', 28, 'latin1');
    footer.writeUInt8(1, 85);
  });
}
