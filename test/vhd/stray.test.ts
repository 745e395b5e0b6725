import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check } from '../../src/index.ts';
import { openReadableFile } from '../../src/source/readable-file.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import type { Warning } from '../../src/warnings.ts';
import { chunked } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { readDisk } from '../support/disk.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, makeFooter } from '../support/make-vhd.mjs';
import { entryOf } from '../support/patch.ts';
import { waysOf } from '../support/vhd-decoding.ts';

const BLOCK = 4096;
const STORED = BLOCK + 512;

/** The warnings of each way to read a VHD, and of a check of the file and of a stream. */
async function warningsOf(vhd: Buffer): Promise<string[][]> {
  const found: string[][] = [];
  const text = ({ code, offset }: Pick<Warning, 'offset'> & { readonly code: string }): string => `${code}@${offset}`;
  const folder = testFolder();
  for (const use of ['read', 'skip'] as const) {
    let warnings: string[] = [];
    const decode = async (decoding: Promise<Awaited<ReturnType<typeof decodeVhd>>>): Promise<void> => {
      const disk = await decoding;
      await (use === 'read' ? readDisk(disk) : disk.skip());
      found.push(warnings);
      warnings = [];
    };
    await waysOf(vhd, [700, 3000], folder, decode, (warning) => warnings.push(text(warning)));
  }
  const path = join(folder, 'checked.vhd');
  writeFileSync(path, vhd);
  for (const input of [path, chunked(vhd, [511, 3000])]) found.push((await check(input)).findings.map(text));
  return found;
}

async function expectWarnings(vhd: Buffer, ...expected: string[]): Promise<void> {
  for (const warnings of await warningsOf(vhd)) expect(warnings).toEqual(expected);
}

/** A VHD of blocks, each after its gap, and with a tail before the footer. Bytes. The gaps are filled by `fill`. */
function withGaps(gaps: readonly number[], tail: number, fill: (bytes: Buffer, gap: number) => void = () => {}): Buffer {
  const blocks = new Map(gaps.map((_, block) => [block, noise(BLOCK, block + 1)]));
  const vhd = dynamicVhd({ size: gaps.length * BLOCK, blockSize: BLOCK, blocks });
  const front = vhd.subarray(0, 2048);
  const parts: Buffer[] = [front];
  let at = front.length;
  for (const [block, gap] of [...gaps, tail].entries()) {
    const bytes = Buffer.alloc(gap);
    fill(bytes, block);
    parts.push(bytes);
    at += gap;
    if (block === gaps.length) break;
    front.writeUInt32BE(at / 512, 1536 + block * 4);
    parts.push(vhd.subarray(2048 + block * STORED, 2048 + (block + 1) * STORED));
    at += STORED;
  }
  return Buffer.concat([...parts, vhd.subarray(-512)]);
}

const startOf = (gaps: readonly number[], gap: number): number => 2048 + gaps.slice(0, gap).reduce((sum, bytes) => sum + bytes + STORED, 0);

describe('bytes that belong to no part of a VHD', () => {
  test('are found in any gap, by their first sector, and in every way of reading', async () => {
    const plan = fc.record({
      gaps: fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 5 }),
      tail: fc.integer({ min: 0, max: 40 }),
      gap: fc.nat(5),
      sector: fc.nat(39),
      count: fc.integer({ min: 1, max: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ gaps, tail, gap, sector, count }) => {
        const sizes = gaps.map((sectors) => sectors * 512);
        const sectors = [...gaps, tail][gap] ?? 0;
        const vhd = withGaps(sizes, tail * 512, (bytes, index) => {
          if (index === gap) for (let at = sector; at < Math.min(sector + count, sectors); at++) bytes[at * 512 + 77] = 5;
        });
        // Up to 4 KiB before a block align its data.
        const isSeen = sector < sectors && (gap === gaps.length || sectors > 8);
        await expectWarnings(vhd, ...(isSeen ? [`VHD_STRAY@${startOf(sizes, gap) + sector * 512}`] : []));
      }),
      { numRuns: 25 },
    );
  });

  test('are named with their number: 64 KiB inserted where a download was resumed', async () => {
    const good = withGaps([0, 0, 0, 0], 0);
    const at = startOf([0, 0, 0, 0], 2);
    const vhd = Buffer.concat([good.subarray(0, at), noise(65_536, 9), good.subarray(at)]);
    const { ok, findings } = await check(chunked(vhd, [4096]));
    expect(ok).toBe(true);
    expect(findings).toMatchObject([{ code: 'VHD_STRAY', offset: startOf([0, 0, 0, 0], 4) }]);
    // Of those 128, two are bitmaps full of ones, which look like padding.
    expect(findings[0]?.message).toMatch(/^64512 bytes with data, from byte/);
  });

  test('include what a whole VHD has that was appended to the first part of one', async () => {
    const good = withGaps([0, 0, 0, 0, 0], 0);
    for (const part of [0.2, 0.6, 0.95]) {
      const vhd = Buffer.concat([good.subarray(0, Math.floor((good.length * part) / 512) * 512), good]);
      for (const warnings of await warningsOf(vhd)) expect(warnings.join()).toMatch(/^VHD_STRAY@/);
    }
  });

  test('are in a gap between the header and the table, too', async () => {
    const good = withGaps([0], 0);
    const moved = Buffer.concat([good.subarray(0, 1536), Buffer.alloc(8192), good.subarray(1536)]);
    moved.writeBigUInt64BE(9728n, 528);
    moved.writeUInt32BE(20, 9728);
    moved.writeUInt32BE(0, 548);
    moved.writeUInt32BE(~moved.subarray(512, 1536).reduce((sum, byte) => sum + byte, 0) >>> 0, 548);
    await expectWarnings(moved);
    moved.writeUInt8(1, 3000);
    await expectWarnings(moved, 'VHD_STRAY@2560');
  });
});

describe('no warning is caused by', () => {
  const footer = withGaps([0], 0).subarray(0, 512);
  const put = (sector: Buffer): Buffer => withGaps([8192, 0], 8192, (bytes) => void sector.copy(bytes, 1024));

  test.each<[string, Buffer]>([
    ['zeros', Buffer.alloc(0)],
    ['padding of ff', Buffer.alloc(1536, 0xff)],
    ['the footer of a file that grew since', Buffer.from(footer)],
    ['the footer of a VHD that was there before', Buffer.from(makeFooter({ size: 1 << 30, type: 4, id: 99 }))],
    ['an old parent locator in ASCII', Buffer.from('file://./parent.vhd'.padEnd(512, '\0'))],
    ['an old parent locator in UTF-16', Buffer.from('.\\parent.vhd'.padEnd(256, '\0'), 'utf16le')],
  ])('%s', async (_, sector) => {
    await expectWarnings(put(sector));
  });

  test.each<[string, Buffer]>([
    ['a footer whose checksum is wrong', Buffer.concat([footer.subarray(0, 500), Buffer.alloc(12, 1)])],
    ['a sector that begins with ff', Buffer.concat([Buffer.alloc(511, 0xff), Buffer.alloc(1)])],
  ])('but by %s', async (_, sector) => {
    await expectWarnings(put(sector), 'VHD_STRAY@3072');
  });

  test.each<[string, number, number]>([
    ['the block that vhd-lib moved to make room, whose place it leaves', (2 << 20) - 1024, 0],
    ['the start of the file that an old vhd-lib copied to its end', 0, 2 << 20],
  ])('%s', async (_, head, tail) => {
    const blocks = new Map([[0, noise(2 << 20, 3)]]);
    const vhd = dynamicVhd({ size: 2 << 20, blocks });
    const front = Buffer.from(vhd.subarray(0, 2048));
    front.writeUInt32BE((2048 + head) / 512, 1536);
    const start = Buffer.concat([front, Buffer.from(noise(head, 4)), vhd.subarray(2048, -512)]);
    await expectWarnings(Buffer.concat([start, start.subarray(0, tail), vhd.subarray(-512)]));
  });
});

test('what a device holds after the blocks of its VHD is no warning about the image', async () => {
  const end = startOf([0, 0], 2);
  const path = join(testFolder(), 'device');
  for (const [bytes, offset] of [
    [withGaps([0, 0], 8192, (tail, gap) => void (gap === 2 && tail.fill(7))), undefined],
    [Buffer.concat([withGaps([0, 0], 0), Buffer.alloc(8192, 7)]), end + 512],
    [Buffer.concat([withGaps([0, 0], 0), Buffer.alloc(8192)]), end + 512],
  ] as const) {
    writeFileSync(path, bytes);
    const file = await openReadableFile(path);
    const warnings: Warning[] = [];
    const disk = await decodeVhd({ ...file.cursor(), isDevice: true }, { onWarning: (warning) => warnings.push(warning) });
    await disk.skip().finally(() => file.close());
    expect(warnings).toMatchObject(offset === undefined ? [] : [{ code: 'VHD_DEVICE_REST', offset }]);
  }
});

test('the table of the good VHD here is what the tests take it for', () => {
  const gaps = [512, 8192];
  const vhd = withGaps(gaps, 0);
  expect([0, 1].map((block) => entryOf(vhd, block) * 512)).toEqual([startOf(gaps, 0) + 512, startOf(gaps, 1) + 8192]);
});
