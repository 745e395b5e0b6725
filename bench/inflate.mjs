/**
 * Inflates a gzip file and discards the result: `node inflate.mjs CODEC FILE`. A lower bound for any program that uses this codec.
 */

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

const CHUNK = 1 << 20;
const [codec, path = ''] = process.argv.slice(2);
const source = createReadStream(path, { highWaterMark: CHUNK });

if (codec === 'zlib-sync') {
  const { default: zlib } = await import('zlib-sync');
  const inflate = new zlib.Inflate({ chunkSize: CHUNK, windowBits: 31 });
  for await (const chunk of source) {
    // Without a flush, it would keep all decoded bytes in memory.
    inflate.push(chunk, zlib.Z_SYNC_FLUSH);
    if (inflate.err < 0) throw new Error(`zlib-sync: ${inflate.msg}`);
  }
} else {
  await pipeline(source, createGunzip({ chunkSize: CHUNK }), async (chunks) => {
    for await (const _ of chunks);
  });
}
