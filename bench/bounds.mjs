#!/usr/bin/env node
/**
 * `sudo node bench/bounds.mjs [--only TEXT]`: the longest turn of the event loop, and the peak of memory, of each kind of command. Images are
 * made in memory, and written to a loop device over a file there. About 6 GiB.
 */

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  createWriteStream,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import tar from 'tar-stream';
import { sampleBlocks } from './content.mjs';
import { loopDevice } from './device.mjs';
import { writeTar } from './ova.mjs';
import { runTrial } from './trial.mjs';
import { BLOCK, vhdParts } from './vhd.mjs';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const SECTOR = 512;
const MAX_TURN = 20;
const MAX_RSS = 128 * MiB;
const MAX_VHD = 2040 * GiB;

const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));
const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });

const folder = mkdtempSync('/dev/shm/vdistream-bench-bounds-');
const device = loopDevice({ dir: folder, size: MAX_VHD, room: 2 * GiB });
process.on('exit', () => {
  device.close();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));

const inFolder = (/** @type {string} */ name) => join(folder, name);
const image = inFolder('image');

/** 1 GiB of data on 2 GiB. */
function someBlocks() {
  const samples = [...sampleBlocks(Array.from({ length: 32 }, (_, index) => index)).values()];
  return new Map(Array.from({ length: 512 }, (_, index) => [index * 2, samples[index % samples.length] ?? new Uint8Array(0)]));
}

const plain = () => writeTar(image, [['0.vhd', { size: 2 * GiB, blocks: someBlocks() }]]);

async function gzipped() {
  await plain();
  execFileSync('bash', ['-c', 'gzip -1 -c "$1" > "$1.gz" && mv "$1.gz" "$1"', 'bash', image]);
}

/** Leaf first: a quarter of the blocks of the base are hidden. */
async function chain() {
  const identity = { id: new Uint8Array(16).fill(9), timestamp: 1 };
  const blocks = someBlocks();
  const leaf = new Map([...blocks].filter(([number]) => number % 8 === 0));
  await writeTar(image, [
    ['0.vhd', { size: 2 * GiB, blocks: leaf, parent: { ...identity, name: '1.vhd' } }],
    ['1.vhd', { size: 2 * GiB, blocks, identity }],
  ]);
}

/** 200,000 other files before the disk. */
async function members() {
  const pack = tar.pack();
  const written = pipeline(pack, createWriteStream(image));
  for (let index = 0; index < 200_000; index++) await new Promise((resolve) => pack.entry({ name: `folder/file-${index}` }, '', resolve));
  const vhd = Buffer.concat([...vhdParts({ size: 64 * MiB, blocks: sampleBlocks([0, 3]) })]);
  await pipeline(Readable.from([vhd]), pack.entry({ name: '0.vhd', size: vhd.length }));
  pack.finalize();
  await written;
}

/** A disk of 2040 GiB with `count` allocated blocks, in reverse, and `sectors` present in each; the rest of the file is a hole. @param {number} count @param {number} sectors */
function huge(count, sectors) {
  const [footer = Buffer.alloc(0), header = Buffer.alloc(0), table] = vhdParts({ size: MAX_VHD, blocks: new Map() });
  const bat = Buffer.from(table ?? []);
  const first = footer.length + header.length + bat.length;
  const step = Math.floor(MAX_VHD / BLOCK / count);
  const file = openSync(image, 'w');
  const bitmap = Buffer.alloc(SECTOR);
  for (let sector = 0; sector < sectors; sector++) bitmap[sector >> 3] = (bitmap[sector >> 3] ?? 0) | (0x80 >> (sector & 7));
  for (let index = 0; index < count; index++) {
    const at = first + index * (SECTOR + BLOCK);
    bat.writeUInt32BE(at / SECTOR, (count - 1 - index) * step * 4);
    if (sectors > 0) writeSync(file, Buffer.concat([bitmap, Buffer.alloc(sectors * SECTOR, `block ${index} `)]), 0, undefined, at);
  }
  const end = first + count * (SECTOR + BLOCK);
  ftruncateSync(file, end);
  writeSync(file, Buffer.concat([footer, header, bat]), 0, undefined, 0);
  writeSync(file, footer, 0, footer.length, end);
  closeSync(file);
}

/** A raw disk of 2040 GiB with 512 MiB of data, in pieces that are far apart. */
function rawDisk() {
  writeFileSync(image, '');
  truncateSync(image, MAX_VHD);
  const file = openSync(image, 'r+');
  let at = 0;
  for (const [, block] of someBlocks()) {
    if (at % 2 === 0) writeSync(file, block, 0, block.length, at * 2 * GiB);
    at++;
  }
  closeSync(file);
}

const out = inFolder('out');
const write = ['write', image, device.path, '--force=content', '--zero=assume-zero'];

/** @type {readonly { make: () => Promise<void> | void, commands: Readonly<Record<string, readonly string[]>> }[]} */
const WORK = [
  {
    make: plain,
    commands: {
      'plain, write': write,
      'plain, write --verify to a file': ['write', image, out, '--verify'],
      'plain, verify': ['verify', image, out],
      'plain, check': ['check', image],
    },
  },
  { make: gzipped, commands: { 'tar.gz, write': write, 'tar.gz, check': ['check', image] } },
  { make: chain, commands: { 'chain, write': write, 'chain, check': ['check', image] } },
  {
    make: members,
    commands: { '200,000 members, write': write, '200,000 members, check': ['check', image], '200,000 members, info': ['info', image] },
  },
  {
    make: () => huge(4000, 8),
    commands: {
      '2040 GiB, 4,000 blocks of 4 KiB, write': write,
      '2040 GiB, 4,000 blocks of 4 KiB, write --verify to a file': ['write', image, out, '--verify'],
      '2040 GiB, 4,000 blocks of 4 KiB, verify': ['verify', image, out],
      '2040 GiB, 4,000 blocks of 4 KiB, check': ['check', image],
      '2040 GiB, 4,000 blocks of 4 KiB, info': ['info', image],
      '2040 GiB, 4,000 blocks of 4 KiB, export to VHD': ['export', image, '-o', 'null:'],
    },
  },
  {
    // Its data would be 2 TiB of zeros, so it is not read.
    make: () => huge(Math.floor(MAX_VHD / BLOCK), 0),
    commands: { '2040 GiB, every block, in reverse, info': ['info', image] },
  },
  {
    make: rawDisk,
    commands: {
      'raw, 2040 GiB, export to tar.gz': ['export', image, '-o', inFolder('out.tar.gz')],
      'raw, 2040 GiB, export to VHD': ['export', image, '-o', inFolder('out.vhd'), '--verify'],
    },
  },
];

/** @param {string} name @param {readonly string[]} args */
async function measure(name, args) {
  const turns = inFolder('turns');
  writeFileSync(turns, '');
  const main = path('../dist/cli/main.js');
  const { rss, cpu } = await runTrial([process.execPath, main, ...args, '--quiet']);
  clear(args);
  await runTrial(['env', `VDISTREAM_BENCH_TURNS=${turns}`, process.execPath, '--import', path('turns.mjs'), main, ...args, '--quiet']);
  const longest = Number(readFileSync(turns, 'utf8'));
  const missed = longest > MAX_TURN || rss > MAX_RSS ? '  MISS' : '';
  console.log(
    `${name.padEnd(60)} ${longest.toFixed(1).padStart(7)} ms  ${String(Math.ceil(rss / MiB)).padStart(5)} MiB  CPU ${cpu.toFixed(1)} s${missed}`,
  );
}

/** What a command has created would be in the way of the next. @param {readonly string[]} args */
function clear(args) {
  if (args[0] === 'write' || args[0] === 'export')
    for (const name of ['out', 'out.vhd', 'out.tar.gz']) rmSync(inFolder(name), { force: true });
}

for (const { make, commands } of WORK) {
  const wanted = Object.entries(commands).filter(([name]) => name.includes(values.only));
  if (wanted.length === 0) continue;
  rmSync(image, { force: true });
  await make();
  for (const [name, args] of wanted) {
    clear(args);
    device.reset(0);
    await measure(name, args);
  }
}
