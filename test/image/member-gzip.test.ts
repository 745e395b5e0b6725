import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { info } from '../../src/index.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, ovfOf, refused, sample, waysOf, written } from '../support/packages.ts';

const disk = sample(1);
const text = (words: string): Buffer => Buffer.from(words);

describe('a member that is itself compressed, as the OVF standard allows, and', () => {
  const packed = gzipSync(disk.vhd);
  const package_ = (body: Uint8Array, name = 'disk.vhd.gz'): Entry[] => [
    ['box.ovf', ovfOf([name], 'ovf:compression="gzip"')],
    [name, body],
  ];

  test.each(['disk.vhd.gz', 'disk.vhd', 'disk.bin'])('is named %s is decompressed', async (name) => {
    await written(package_(packed, name), disk.content);
  });

  test('is not named by an OVF, or has several gzip members, is also decompressed', async () => {
    const halves = Buffer.concat([gzipSync(disk.vhd.subarray(0, 70_000)), gzipSync(disk.vhd.subarray(70_000))]);
    await written([['disk.vhd.gz', packed]], disk.content);
    await written([['disk.vhd', halves]], disk.content);
  });

  test.each<[string, string, Buffer]>([
    ['whose CRC is wrong', 'COMPRESSION_CHECKSUM', Buffer.from(packed.map((byte, at) => (at === packed.length - 8 ? byte ^ 1 : byte)))],
    ['whose length is wrong', 'COMPRESSION_CHECKSUM', Buffer.from(packed.map((byte, at) => (at === packed.length - 4 ? byte ^ 1 : byte)))],
    ['that was cut', 'COMPRESSION_TRUNCATED', packed.subarray(0, -1)],
    ['with an unknown method', 'COMPRESSION_DATA', Buffer.from(packed.map((byte, at) => (at === 2 ? 7 : byte)))],
    ['with data after it', 'COMPRESSION_TRAILING', Buffer.concat([packed, text('more')])],
  ])('%s is an error, %s', async (_, code, body) => {
    await refused(package_(body), { code });
    for (const { input, name } of waysOf(testFolder(), package_(body))) await expect(info(input()), name).rejects.toMatchObject({ code });
  });
});
