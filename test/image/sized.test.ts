/** The size of a disk that is only at its end, in a stream that is read for its facts. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { check, info, type Warning, writeDisk } from '../../src/index.ts';
import { testFolder } from '../support/folder.ts';
import { fixedVhd } from '../support/make-vhd.mjs';

const MIB = 1 << 20;
const vhd = fixedVhd(Buffer.alloc(4 * MIB, 'disk'));
const footer = vhd.subarray(-512);

/** The VHD with `extra` between the disk and its footer, gzipped, in chunks of an odd size. */
async function* stream(extra: Uint8Array): AsyncGenerator<Uint8Array> {
  const packed = gzipSync(Buffer.concat([vhd.subarray(0, -512), extra, footer]), { level: 1 });
  for (let at = 0; at < packed.length; at += 7001) yield packed.subarray(at, at + 7001);
}

const middle = Buffer.alloc(2 * MIB);
middle[MIB + 5] = 1;

/** What is written from `stream(extra)`: the warnings, and whether it is the disk. */
async function written(extra: Uint8Array): Promise<{ readonly warnings: readonly Warning[]; readonly isDisk: boolean }> {
  const target = join(testFolder(), 'disk.raw');
  const { warnings } = await writeDisk(stream(extra), target, { virtualSize: 4 * MIB });
  return { warnings, isDisk: readFileSync(target).equals(vhd.subarray(0, -512)) };
}

describe('a compressed fixed VHD in a stream', () => {
  test('has the size that its footer says', async () => {
    await expect(info(stream(Buffer.alloc(0)))).resolves.toMatchObject({ virtualSize: 4 * MIB, warnings: [] });
  });

  test('with zeros before its footer has that size too, and a warning', async () => {
    const code = 'VHD_LONGER';
    await expect(info(stream(Buffer.alloc(2 * MIB)))).resolves.toMatchObject({ virtualSize: 4 * MIB, warnings: [{ code }] });
    const { findings } = await check(stream(Buffer.alloc(2 * MIB)));
    expect(findings).toMatchObject([{ code, severity: 'warning' }]);
  });

  test('with a single byte before its footer, wherever the sectors end, has it looked at', async () => {
    for (const byte of [0, 7]) {
      const { ok } = await check(stream(Buffer.of(byte)));
      expect([byte, ok]).toEqual([byte, byte === 0]);
    }
  });

  test('with anything else before its footer is an error', async () => {
    await expect(info(stream(middle))).rejects.toMatchObject({ code: 'VHD_SIZE' });
    await expect(check(stream(middle))).resolves.toMatchObject({ ok: false, findings: [{ code: 'VHD_SIZE' }] });
  });

  test('is written with its size, also if zeros are before its footer', async () => {
    expect(await written(Buffer.alloc(0))).toEqual({ warnings: [], isDisk: true });
    expect(await written(Buffer.alloc(2 * MIB))).toEqual({
      warnings: [expect.objectContaining({ code: 'VHD_LONGER', offset: 4 * MIB })],
      isDisk: true,
    });
    await expect(written(middle)).rejects.toMatchObject({ code: 'VHD_SIZE' });
  });
});
