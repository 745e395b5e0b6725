/**
 * Inflates a gzip file to nowhere: `node inflate.mjs CODEC FILE`. What a program that decodes with this codec cannot beat,
 * however well it writes.
 */

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';

const CHUNK = 1 << 20;
const [codec, path = ''] = process.argv.slice(2);
const source = createReadStream(path, { highWaterMark: CHUNK });

if (codec === 'zlib-sync') {
  // By a name in a variable, since it is not among the dependencies: `npm i --no-save zlib-sync` brings it.
  const { default: zlib } = await import(codec);
  const inflate = new zlib.Inflate({ chunkSize: CHUNK, windowBits: 31 });
  for await (const chunk of source) {
    // Without a flush it would keep everything it has decoded in memory.
    inflate.push(chunk, zlib.Z_SYNC_FLUSH);
    if (inflate.err < 0) throw new Error(`zlib-sync: ${inflate.msg}`);
  }
} else {
  await pipeline(source, createGunzip({ chunkSize: CHUNK }), async (chunks) => {
    for await (const _ of chunks);
  });
}
