/**
 * Chain: a disk as three VHDs, as after two snapshots. Flattened, they are that disk again, so the result needs no reference decoder: data
 * of a layer that is hidden by a nearer one is taken from elsewhere on the disk.
 *
 * The simulated guest writes stretches of adjacent blocks, some rewritten whole, the others in runs of whole pages.
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, statSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { gzipFile, RawBlocks } from './ova.mjs';
import { BLOCK, vhdParts } from './vhd.mjs';

const PAGE = 4096;
const PAGES = BLOCK / PAGE;
/** Pages: 64 KiB and 1 MiB. */
const RUN = { least: 16, most: 256 };
const MOST_RUNS = 4;
/** Maximum number of adjacent blocks written together. */
const STRETCH = 8;
/** Share of stretches rewritten whole. */
const WHOLE = 0.4;
/** Share of those that were never written before. */
const FRESH = 0.3;
/** Share of the disk's blocks that are written after each snapshot. */
const SHARES = { mid: 0.25, leaf: 0.1 };

/**
 * @typedef {object} LayerFacts  bytes
 * @property {number} file
 * @property {number} allocated  in blocks
 * @property {number} present  according to the sector bitmaps
 * @property {number} shown  present, and not hidden by a nearer layer
 *
 * @typedef {object} Chain
 * @property {string[]} files  paths, leaf first
 * @property {string} leafFirst  path of a tar
 * @property {string} baseFirst
 * @property {string} leafFirstGzip
 * @property {string} baseFirstGzip
 * @property {LayerFacts[]} layers  leaf first
 */

/** Writes the disk `raw` as a chain, in files and in tars. @param {string} folder @param {string} raw @param {number} size */
export async function makeChain(folder, raw, size) {
  const disk = new RawBlocks(raw);
  const layers = plan([...disk.keys()]);
  /** @type {Chain} */
  const chain = {
    files: layers.map((_, rank) => join(folder, nameOf(rank))),
    leafFirst: join(folder, 'leaf-first.tar'),
    baseFirst: join(folder, 'base-first.tar'),
    leafFirstGzip: join(folder, 'leaf-first.tar.gz'),
    baseFirstGzip: join(folder, 'base-first.tar.gz'),
    layers: [],
  };
  for (const [rank, path] of chain.files.entries()) {
    const blocks = new LayerBlocks(disk, layers, rank);
    const bitmaps = new Map([...(layers[rank] ?? [])].map(([number, pages]) => [number, bitmapOf(pages)]));
    const parent = rank < layers.length - 1 ? { ...identityOf(rank + 1), name: nameOf(rank + 1) } : undefined;
    const vhd = { size, blocks, bitmaps, identity: identityOf(rank), ...(parent && { parent }) };
    await pipeline(Readable.from(vhdParts(vhd), { objectMode: true }), createWriteStream(path));
    chain.layers.push({ file: statSync(path).size, ...factsOf(layers, rank) });
  }
  disk.close();

  const names = layers.map((_, rank) => nameOf(rank));
  tar(chain.leafFirst, folder, names);
  tar(chain.baseFirst, folder, names.reverse());
  await gzipFile(chain.leafFirst, chain.leafFirstGzip);
  await gzipFile(chain.baseFirst, chain.baseFirstGzip);
  return chain;
}

/** Numbered as in Nova. @param {number} rank */
const nameOf = (rank) => `${rank}.vhd`;

/** Reproducible; a parent is older than its child. @param {number} rank */
function identityOf(rank) {
  const id = createHash('sha256').update(`vdistream bench, layer ${rank}`).digest().subarray(0, 16);
  return { id, timestamp: 800_000_000 - rank * 86_400 };
}

/** @param {string} path @param {string} folder @param {readonly string[]} names */
function tar(path, folder, names) {
  execFileSync('tar', ['-cf', path, '--format=ustar', '--owner=0', '--group=0', '--mode=0644', '--mtime=@0', '-C', folder, ...names]);
}

/** @typedef {Map<number, Uint8Array>} Layer  for each of its blocks, in file order: one byte per page, 1 if it is present */

/** The layers, leaf first. @param {readonly number[]} numbers  of the disk's blocks, ascending */
function plan(numbers) {
  const random = randomizer();
  const mid = touch(numbers, SHARES.mid, random);
  const leaf = touch(numbers, SHARES.leaf, random);
  /** @type {Layer} */
  const base = new Map();
  for (const number of numbers) {
    if (!mid.fresh.has(number) && !leaf.fresh.has(number)) base.set(number, new Uint8Array(PAGES).fill(1));
  }
  return [leaf.layer, mid.layer, base];
}

/**
 * The writes after a snapshot, to `share` of the blocks, in random order of their stretches.
 * @param {readonly number[]} numbers @param {number} share @param {() => number} random
 */
function touch(numbers, share, random) {
  const between = (/** @type {number} */ least, /** @type {number} */ most) => least + Math.floor(random() * (most - least + 1));
  /** @type {{ key: number, stretch: readonly number[] }[]} */
  const stretches = [];
  for (let at = 0, length = 0; at < numbers.length; at += length) {
    length = between(1, STRETCH);
    stretches.push({ key: random(), stretch: numbers.slice(at, at + length) });
  }
  stretches.sort((a, b) => a.key - b.key);

  function somePages() {
    const pages = new Uint8Array(PAGES);
    for (let run = between(1, MOST_RUNS); run > 0; run--) {
      const first = between(0, PAGES - RUN.least);
      pages.fill(1, first, first + between(RUN.least, RUN.most));
    }
    return pages;
  }

  /** @type {Layer} */
  const layer = new Map();
  /** @type {Set<number>} */
  const fresh = new Set();
  for (const { stretch } of stretches) {
    if (layer.size >= share * numbers.length) break;
    const whole = random() < WHOLE;
    const isFresh = whole && random() < FRESH;
    for (const number of stretch) {
      layer.set(number, whole ? new Uint8Array(PAGES).fill(1) : somePages());
      if (isFresh) fresh.add(number);
    }
  }
  return { layer, fresh };
}

/** Numbers from 0 to 1, the same sequence each time. */
function randomizer() {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * The bytes of a layer's blocks, generated on demand: those of the disk where they are visible, old data where a nearer layer hides them,
 * zeros where the layer has none.
 * @extends {Map<number, Uint8Array>}
 */
class LayerBlocks extends Map {
  #disk;
  #layers;
  #rank;
  /** @type {number[]} */
  #numbers;

  /** @param {RawBlocks} disk @param {readonly Layer[]} layers @param {number} rank */
  constructor(disk, layers, rank) {
    super([...(layers[rank] ?? []).keys()].map((number) => [number, new Uint8Array(0)]));
    this.#disk = disk;
    this.#layers = layers;
    this.#rank = rank;
    this.#numbers = [...disk.keys()];
  }

  /** @override @param {number} number */
  get(number) {
    const present = this.#layers[this.#rank]?.get(number);
    if (present === undefined) return undefined;
    const nearer = this.#layers.slice(0, this.#rank);
    const shown = this.#disk.get(number) ?? new Uint8Array(BLOCK);
    const bytes = new Uint8Array(BLOCK);
    /** @type {Uint8Array | undefined} */
    let old;
    for (let page = 0; page < PAGES; page++) {
      if (!present[page]) continue;
      const hidden = nearer.some((layer) => layer.get(number)?.[page]);
      if (hidden) old ??= this.#elsewhere(number);
      bytes.set((hidden && old ? old : shown).subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
    }
    return bytes;
  }

  /** A different block of the disk for each layer. @param {number} number */
  #elsewhere(number) {
    const step = 97 * this.#rank;
    const other = this.#numbers[(this.#numbers.indexOf(number) + step) % this.#numbers.length] ?? number;
    return this.#disk.get(other) ?? new Uint8Array(BLOCK);
  }
}

/** One bit per sector, the most significant first; eight sectors per page. @param {Uint8Array} pages */
const bitmapOf = (pages) => pages.map((present) => (present ? 0xff : 0));

/** @param {readonly Layer[]} layers  leaf first @param {number} rank @returns {Omit<LayerFacts, 'file'>} */
function factsOf(layers, rank) {
  const layer = layers[rank] ?? new Map();
  const facts = { allocated: layer.size * BLOCK, present: 0, shown: 0 };
  for (const [number, pages] of layer) {
    const nearer = layers.slice(0, rank).map((other) => other.get(number));
    const present = pages.reduce((/** @type {number} */ sum, /** @type {number} */ page) => sum + page, 0);
    const shown = pages.reduce(
      (/** @type {number} */ sum, /** @type {number} */ page, /** @type {number} */ at) =>
        sum + (page && !nearer.some((other) => other?.[at]) ? 1 : 0),
      0,
    );
    facts.present += present * PAGE;
    facts.shown += shown * PAGE;
  }
  return facts;
}
