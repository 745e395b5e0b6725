/** Images: what the bench writes. Each is created once, in its own folder, and kept for the next run. */

import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeChain } from './chain.mjs';
import { sampleBlocks } from './content.mjs';
import { makeFilesystem } from './filesystem.mjs';
import { gzipFile, MEMBER, MEMBER_OFFSET, RawBlocks, writeOva } from './ova.mjs';
import { BLOCK } from './vhd.mjs';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
/** Version of the recipes: images of another version are created again. */
const RECIPE = 3;

/**
 * @typedef {object} Image
 * @property {string} name
 * @property {string} what  description, for the reader of the results
 * @property {string} tar  path
 * @property {string} gzip  path
 * @property {string} [raw]  path of the disk itself, if it is small enough to keep
 * @property {string} member
 * @property {number} memberOffset  bytes, in the plain tar
 * @property {number} copies  of the disk, side by side on the device
 * @property {number} size  virtual, bytes, of all copies
 * @property {number} allocated  bytes in allocated blocks, of all copies
 * @property {number} tarBytes
 * @property {number} gzipBytes
 * @property {import('./chain.mjs').Chain} [chain]  the same disk as several VHDs
 */

/**
 * @typedef {object} Recipe
 * @property {string} name
 * @property {number} size  of one copy
 * @property {number} [copies]  1 by default
 * @property {(folder: string) => { what: string, blocks: Map<number, Uint8Array>, bitmaps?: Map<number, Uint8Array>, raw?: string }} make
 *
 * @typedef {object} ChainRecipe
 * @property {string} name
 * @property {number} size
 * @property {Recipe} of  the disk
 */

/** @param {{ quick: boolean }} options @returns {(Recipe | ChainRecipe)[]} */
export function recipes({ quick }) {
  const disk = realistic(quick ? { size: GiB / 2, content: 96 * MiB } : { size: 8 * GiB, content: 2700 * MiB });
  return [
    disk,
    { name: 'chain', size: disk.size, of: disk },
    sparse({ size: 64 * GiB, count: quick ? 64 : 512 }),
    eight({ size: 2 * GiB, count: quick ? 32 : 256 }),
    {
      name: 'empty',
      size: 2040 * GiB,
      make: () => ({ what: 'an empty disk of the maximum VHD size', blocks: new Map() }),
    },
  ];
}

/** @param {{ size: number, content: number }} options @returns {Recipe} */
function realistic({ size, content }) {
  return {
    name: 'realistic',
    size,
    make(folder) {
      const raw = join(folder, 'disk.raw');
      const count = makeFilesystem(raw, { size, content });
      return { what: `an ext4 file system with ${count} files of this machine's /usr`, blocks: new RawBlocks(raw), raw };
    },
  };
}

/**
 * Scattered blocks with two used runs of 64 KiB each, as left by a guest that writes a little everywhere.
 * @param {{ size: number, count: number }} options @returns {Recipe}
 */
function sparse({ size, count }) {
  const used = [0, BLOCK / 2].map((start) => ({ start, end: start + 64 * 1024 }));
  return {
    name: 'sparse',
    size,
    make() {
      const bytes = Buffer.alloc(BLOCK);
      const bitmap = new Uint8Array(BLOCK / 512 / 8);
      for (const { start, end } of used) {
        for (let at = start; at < end; at += 4) bytes.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
        bitmap.fill(0xff, start / 4096, end / 4096);
      }
      const step = Math.floor(size / BLOCK / count);
      const numbers = Array.from({ length: count }, (_, index) => index * step);
      return {
        what: `${count} scattered blocks, with 128 KiB used in each`,
        blocks: new Map(numbers.map((number) => [number, bytes])),
        bitmaps: new Map(numbers.map((number) => [number, bitmap])),
      };
    },
  };
}

/**
 * A small image, written eight times at the same time.
 * @param {{ size: number, count: number }} options @returns {Recipe}
 */
function eight({ size, count }) {
  return {
    name: 'eight',
    size,
    copies: 8,
    make() {
      const samples = [...sampleBlocks(Array.from({ length: 32 }, (_, index) => index)).values()];
      const blocks = new Map(
        Array.from({ length: count }, (_, index) => [index * 2, samples[index % samples.length] ?? new Uint8Array(0)]),
      );
      return { what: `${count} blocks, every other of the disk, written to eight parts of the device at the same time`, blocks };
    },
  };
}

/**
 * The image of a recipe, from `dir` if it exists there.
 * @param {Recipe | ChainRecipe} recipe @param {string} dir @param {(line: string) => void} say @returns {Promise<Image>}
 */
export async function prepareImage(recipe, dir, say) {
  const whole = 'of' in recipe ? await prepareImage(recipe.of, dir, say) : undefined;
  const folder = join(dir, `${recipe.name}-${recipe.size / GiB}g-v${RECIPE}`);
  const facts = join(folder, 'image.json');
  // Written last, so that an incomplete image is never used.
  if (existsSync(facts)) return JSON.parse(readFileSync(facts, 'utf8'));

  say(`creating the image "${recipe.name}" in ${folder}; the next run reuses it`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const image = 'of' in recipe ? await chained(recipe, folder, whole) : await single(recipe, folder);
  writeFileSync(facts, JSON.stringify(image));
  return image;
}

/** One VHD in a tar. @param {Recipe} recipe @param {string} folder @returns {Promise<Image>} */
async function single(recipe, folder) {
  const { copies = 1 } = recipe;
  const { what, blocks, bitmaps, raw } = recipe.make(folder);
  const tar = join(folder, 'image.tar');
  await writeOva(tar, { size: recipe.size, blocks, ...(bitmaps && { bitmaps }) });
  if (blocks instanceof RawBlocks) blocks.close();
  const gzip = `${tar}.gz`;
  await gzipFile(tar, gzip);
  return {
    name: recipe.name,
    what,
    tar,
    gzip,
    ...(raw && { raw }),
    member: MEMBER,
    memberOffset: MEMBER_OFFSET,
    copies,
    size: recipe.size * copies,
    allocated: blocks.size * BLOCK * copies,
    tarBytes: statSync(tar).size,
    gzipBytes: statSync(gzip).size,
  };
}

/** An existing disk, as a chain too. @param {ChainRecipe} recipe @param {string} folder @param {Image | undefined} whole */
async function chained(recipe, folder, whole) {
  if (whole?.raw === undefined) throw new Error(`the image "${recipe.of.name}" has no raw disk to make a chain from`);
  const chain = await makeChain(folder, whole.raw, recipe.size);
  return { ...whole, name: recipe.name, what: `the disk of the image "${whole.name}", as one VHD and as a chain of three`, chain };
}
