/** What mutations start from: small images of every kind, and small real ones where the corpus is there. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { sampleChain } from '../test/support/chains.ts';
import { noise } from '../test/support/chunks.ts';
import { type DiskPlan, makeDisk } from '../test/support/disk.ts';
import { dynamicVhd, fixedVhd } from '../test/support/make-vhd.mjs';
import { corpusFolder } from '../test/support/needs.ts';
import { paxHeader, TAR_END, tarHeader, tarMember } from '../test/support/tar.ts';

const plan: DiskPlan = {
  blockSize: 4096,
  size: 40_448,
  order: [9, 2, 0, 5],
  bitmaps: 'random',
  gap: 1,
  spare: 3,
  short: false,
  shortFooter: false,
  seed: 1,
};

const real = [
  'real/ocaml-vhd/test.vhd.gz',
  'real/rdisk/vhd_dynamic_small.vhd.gz',
  'real/secronin/fixed.vhd.gz',
  'hostile/last-block-short.vhd.gz',
]
  .map((name) => join(corpusFolder, name))
  .filter((path) => existsSync(path))
  .map((path) => gunzipSync(readFileSync(path)))
  .filter((bytes) => bytes.length < 3 << 20);

/** Bare VHDs. */
export const vhdSeeds: readonly Buffer[] = [
  makeDisk(plan).vhd,
  makeDisk({ ...plan, blockSize: 512, size: 20 * 512, order: [19, 3, 4, 0], gap: 0 }).vhd,
  makeDisk({ ...plan, blockSize: 65_536, size: 3 * 65_536 + 512, order: [3, 1], short: true, shortFooter: true }).vhd,
  dynamicVhd({ size: 2 ** 41 - 512, blockSize: 256 << 20, blocks: new Map() }),
  // Larger than a file can be on many file systems.
  dynamicVhd({ size: 2 ** 44 + 512, blockSize: 256 << 20, blocks: new Map() }),
  dynamicVhd({ size: 40_960, blockSize: 4096, blocks: new Map([[1, noise(4096, 1)]]), type: 4 }),
  fixedVhd(noise(9216, 2)),
  fixedVhd(noise(5120, 2)).subarray(0, -1),
  ...real,
];

const long = `${'long/'.repeat(30)}disk.vhd`;

/** Ways to put a VHD into an archive. */
export const wraps = {
  bare: (vhd: Uint8Array) => Buffer.from(vhd),
  tar: (vhd: Uint8Array) =>
    Buffer.concat([tarMember({ name: 'image.ovf' }, Buffer.from('<Envelope/>')), tarMember({ name: '0.vhd' }, vhd), TAR_END]),
  gnu: (vhd: Uint8Array) =>
    Buffer.concat([
      tarHeader({ name: './', type: '5', magic: 'ustar  \0' }),
      tarMember({ name: '././@LongLink', type: 'L', magic: 'ustar  \0' }, Buffer.from(`${long}\0`)),
      tarMember({ name: long.slice(0, 100), magic: 'ustar  \0' }, vhd),
      tarMember({ name: 'swap.vhd', magic: 'ustar  \0' }, noise(700, 1)),
      TAR_END,
      Buffer.alloc(3000),
    ]),
  pax: (vhd: Uint8Array) =>
    Buffer.concat([
      paxHeader({ comment: 'of all' }, 'g'),
      paxHeader({ path: long, size: String(vhd.length) }),
      tarMember({ size: 0 }, vhd),
      TAR_END,
    ]),
} as const;

/** The layers of a chain, leaf first, and the size of what they make together. */
const chain = sampleChain();
export const chainSize = chain.content.length;
export const chainLayers: readonly Buffer[] = chain.vhds;

export type Wrap = keyof typeof wraps;

/** No compression, gzip, and gzip in two members. */
export const packs = {
  none: (bytes: Uint8Array) => Buffer.from(bytes),
  gzip: (bytes: Uint8Array) => gzipSync(bytes, { level: 1 }),
  members: (bytes: Uint8Array) => Buffer.concat([gzipSync(bytes.subarray(0, 1000)), gzipSync(bytes.subarray(1000), { level: 1 })]),
} as const;

export type Pack = keyof typeof packs;
