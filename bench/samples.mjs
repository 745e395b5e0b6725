#!/usr/bin/env node
/**
 * `npm run samples`: writes the images that README.md uses into the folder `samples`: an OVA, and a chain as an archive and as two files.
 * Existing files stay as they are.
 */

import { createWriteStream, existsSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sampleBlocks } from './content.mjs';
import { gzipFile, writeTar } from './ova.mjs';
import { vhdParts } from './vhd.mjs';

const MiB = 2 ** 20;
const folder = 'samples';
mkdirSync(folder, { recursive: true });
const say = (/** @type {string} */ text) => void process.stdout.write(`${text}\n`);

const parent = { id: new Uint8Array(16).fill(7), timestamp: 0, name: 'image.vhd' };
const disk = { size: 64 * MiB, blocks: sampleBlocks([1, 2, 9, 10, 11, 20]) };
const base = { size: 12 * MiB, identity: parent, blocks: sampleBlocks([1, 3], 2) };
const leaf = { size: 12 * MiB, identity: { id: new Uint8Array(16).fill(8), timestamp: 0 }, parent, ...firstSectors([1, 4]) };

await write('image.ova', 'a disk of 64 MiB with 12 MiB of data, gzipped', async (path) => {
  const tar = `${path}.tar`;
  await writeTar(tar, [['0.vhd', disk]]);
  await gzipFile(tar, path);
  await rm(tar);
});
await write('chain.ova', 'a chain: its parent, 1.vhd, then its leaf, 0.vhd', (path) =>
  writeTar(path, [
    ['1.vhd', base],
    ['0.vhd', leaf],
  ]),
);
await write('image.vhd', 'the parent as a file', (path) => pipeline(Readable.from(vhdParts(base)), createWriteStream(path)));
await write('leaf.vhd', 'the leaf as a file', (path) => pipeline(Readable.from(vhdParts(leaf)), createWriteStream(path)));

/** @param {string} name @param {string} what @param {(path: string) => Promise<void>} make */
async function write(name, what, make) {
  const path = join(folder, name);
  const exists = existsSync(path);
  if (!exists) await make(path);
  say(`${path.padEnd(18)} ${exists ? 'exists already, and stays as it is' : what}`);
}

/** Blocks of which a guest has written the first 128 KiB after the snapshot. @param {number[]} numbers */
function firstSectors(numbers) {
  const blocks = sampleBlocks(numbers, 3);
  const bitmaps = new Map(numbers.map((number) => [number, Buffer.alloc(512).fill(0xff, 0, 32)]));
  return { blocks, bitmaps };
}
