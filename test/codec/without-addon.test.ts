/** Without the addon, gzip is read and written with node:zlib. */

import { execFile } from 'node:child_process';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { testFolder } from '../support/folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const PROGRAM = `
  import { gunzipSync, gzipSync } from 'node:zlib';
  import { Readable } from 'node:stream';
  import { gunzip } from './dist/codec/gunzip.js';
  import { gzip } from './dist/codec/gzip.js';
  import { inflateName } from './dist/codec/inflate.js';
  const collect = async (chunks) => {
    const parts = [];
    for await (const chunk of chunks) parts.push(Buffer.from(chunk));
    return Buffer.concat(parts);
  };
  const codeOf = (work) => { try { work(); } catch (error) { return error.code; } };
  const content = Buffer.concat([Buffer.alloc(5_000_000, 'some text, '), Buffer.from(gzipSync(Buffer.alloc(900_000, 'x')))]);
  const gz = await collect(gzip(Readable.from([content]), { level: 3 }));
  const empty = await collect(gzip(Readable.from([])));
  console.log(JSON.stringify({
    inflate: inflateName(),
    isal: codeOf(() => inflateName('isal')),
    restored: gunzipSync(gz).equals(content) && gunzipSync(empty).length === 0,
    read: (await collect(gunzip(Readable.from([gz])))).equals(content),
    readOne: (await collect(gunzip(Readable.from([gzipSync(content)])))).equals(content),
    damaged: await collect(gunzip(Readable.from([gz.subarray(0, -4), Buffer.alloc(4)]))).catch((error) => error.code),
  }));`;

test('a gzip is restored, and a damaged one is a typed error', async () => {
  const folder = testFolder();
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  writeFileSync(join(folder, 'program.mjs'), PROGRAM);
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'program.mjs')]);
  expect(JSON.parse(stdout)).toEqual({
    inflate: 'node',
    isal: 'NATIVE_MISSING',
    restored: true,
    read: true,
    readOne: true,
    damaged: 'COMPRESSION_CHECKSUM',
  });
});
