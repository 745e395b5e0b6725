import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Cursor } from '../../src/cursor.ts';
import { openSource } from '../../src/engine/open.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import type { Warning } from '../../src/warnings.ts';
import { readDisk } from '../support/disk.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { makeFooter } from '../support/make-vhd.mjs';
import { blocks, flipped, good, resealed } from '../support/vhd-damage.ts';
import { fromFile, stream } from '../support/vhd-decoding.ts';

describe('the footers', () => {
  const end = good.length - 512;
  const withEnd = (footer: Uint8Array): Buffer => Buffer.concat([good.subarray(0, end), footer]);

  test('with different sizes are an error, before any extent if the end can be read first', async () => {
    const vhd = withEnd(makeFooter({ size: 81920, type: 3 }));
    await fromFile(vhd, testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: end + 48 });
    });
    for (const length of [undefined, vhd.length]) {
      const error = await failure(decodeVhd(stream(vhd, length)).then((disk) => readDisk(disk)));
      expect(error).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: end + 48 });
    }
  });

  test('with different types are an error', async () => {
    const vhd = withEnd(makeFooter({ size: 40960, type: 4 }));
    await fromFile(vhd, testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'VHD_FOOTERS_DIFFER', offset: end + 60 });
    });
  });

  test.each([
    ['damaged', flipped(makeFooter({ size: 40960, type: 3 }), 48)],
    ['poisoned by tapdisk', Buffer.concat([Buffer.from('v_poison'), makeFooter({ size: 40960, type: 3 }).subarray(8)])],
    ['of zeros', new Uint8Array(512)],
    ['of another disk of the same size', makeFooter({ size: 40960, type: 3, id: 8 })],
  ])('need not both be intact: an end footer %s is a warning, and the copy at the start is used', async (_, footer) => {
    const vhd = withEnd(footer);
    const read = async (cursor: Cursor): Promise<void> => {
      const warnings: Warning[] = [];
      const disk = await decodeVhd(cursor, { onWarning: (warning) => warnings.push(warning) });
      const bytes = await readDisk(disk);
      for (const [block, data] of blocks) expect(Buffer.compare(bytes.subarray(block * 4096, (block + 1) * 4096), data)).toBe(0);
      expect(warnings).toMatchObject([{ code: 'VHD_FOOTER_END', offset: end }]);
    };
    await read(stream(vhd));
    await read(stream(vhd, vhd.length));
    const path = join(testFolder(), 'image.vhd');
    writeFileSync(path, vhd);
    const source = await openSource(path);
    await read(source.cursor).finally(() => source.close());
  });

  test('that agree cause no warning, wherever they are', async () => {
    for (const padding of [0, 512, 3584, 1 << 20]) {
      const vhd = Buffer.concat([good.subarray(0, end), new Uint8Array(padding), good.subarray(end)]);
      const warnings: Warning[] = [];
      for (const length of [undefined, vhd.length]) {
        const disk = await decodeVhd(stream(vhd, length), { onWarning: (warning) => warnings.push(warning) });
        await readDisk(disk);
      }
      expect(warnings).toEqual([]);
    }
  });

  test('may claim a geometry larger than the disk, or a saved state, which only causes a warning', async () => {
    const vhd = resealed({
      footer: (footer) => {
        footer.writeUInt16BE(65535, 56);
        footer[84] = 1;
      },
    });
    const warnings: Warning[] = [];
    const disk = await decodeVhd(stream(vhd), { onWarning: (warning) => warnings.push(warning) });
    expect(disk.virtualSize).toBe(40960);
    expect(warnings.map(({ code }) => code)).toEqual(['VHD_GEOMETRY', 'VHD_SAVED_STATE']);
  });
});
