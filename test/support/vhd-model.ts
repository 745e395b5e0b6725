/**
 * A stack of snapshots in the plainest form there is, and the VHDs that a host would have of it. What the disk holds is found
 * sector by sector, by asking one layer after the other; nothing here is shared with the code under test.
 */

import { noise } from './chunks.ts';
import { dynamicVhd, fixedVhd, type ParentNote } from './make-vhd.mjs';

export const SECTOR = 512;

/** Sizes and positions are in sectors, block sizes in bytes. */
export interface Layer {
  readonly kind: 'fixed' | 'dynamic' | 'differencing';
  readonly blockSize: number;
  readonly size: number;
  /** What was written here: the number of the write, 0 for zeros. A sector that is not here is absent. */
  readonly sectors: ReadonlyMap<number, number>;
}

export interface Stack {
  /** Leaf first. */
  readonly layers: readonly Layer[];
  readonly size: number;
  write(offset: number, length: number): void;
  writeZeros(offset: number, length: number): void;
  /** The leaf is frozen, and a differencing child of its size is the new leaf. */
  snapshot(blockSize?: number): void;
  /** Of the leaf. What lay beyond a smaller size is gone. */
  resize(size: number): void;
  /** The whole disk. */
  content(): Buffer;
}

export interface BaseOptions {
  readonly kind: 'fixed' | 'dynamic';
  readonly size: number;
  readonly blockSize?: number;
}

export function createStack(base: BaseOptions): Stack {
  const layers = [{ blockSize: 2 << 20, ...base, kind: base.kind as Layer['kind'], sectors: new Map<number, number>() }];
  let writes = 0;

  const leaf = (): (typeof layers)[number] => {
    const [first] = layers;
    if (first === undefined) throw new Error('a stack has a layer');
    return first;
  };

  function put(offset: number, length: number, write: number): void {
    const { sectors, size } = leaf();
    for (let sector = offset; sector < Math.min(offset + length, size); sector++) sectors.set(sector, write);
  }

  return {
    layers,
    get size() {
      return leaf().size;
    },
    write: (offset, length) => put(offset, length, ++writes),
    writeZeros: (offset, length) => put(offset, length, 0),
    snapshot(blockSize = leaf().blockSize) {
      layers.unshift({ kind: 'differencing', blockSize, size: leaf().size, sectors: new Map() });
    },
    resize(size) {
      const { sectors } = leaf();
      for (const sector of [...sectors.keys()]) if (sector >= size) sectors.delete(sector);
      layers[0] = { ...leaf(), size };
    },
    content() {
      return Buffer.concat(Array.from({ length: leaf().size }, (_, sector) => sectorBytes(sector, shown(layers, sector))));
    },
  };
}

/** The write visible at a sector. Where a layer ends there are zeros, and no deeper layer counts; a base without the sector is zero. */
function shown(layers: readonly Layer[], sector: number): number {
  for (const { size, sectors } of layers) {
    if (sector >= size) return 0;
    const write = sectors.get(sector);
    if (write !== undefined) return write;
  }
  return 0;
}

/** No two writes and no two offsets produce the same bytes. Every fourth write leaves a sector almost entirely zero. */
export function sectorBytes(sector: number, write: number): Buffer {
  const bytes = Buffer.alloc(SECTOR);
  if (write === 0) return bytes;
  if (write % 4 !== 3) bytes.fill(write);
  bytes.writeUInt32BE(sector, SECTOR - 8);
  bytes.writeUInt32BE(write, SECTOR - 4);
  return bytes;
}

/** How a producer lays a layer out. Nothing of this may change what the disk holds. */
export interface Form {
  readonly seed: number;
  readonly creator?: string;
  /** Blocks are in any order in the file. */
  readonly shuffled?: boolean;
  /** Foreign bytes under clear bits, and after the end of the disk, there with the bits set. */
  readonly garbage?: boolean;
  readonly batmap?: boolean;
  /** Entries of the BAT beyond what the size needs; where there is garbage they hold some. */
  readonly spare?: number;
  /** Sectors left free before each block. */
  readonly gap?: number;
  /** A block in so many is allocated though nothing was written there. */
  readonly idle?: number;
  /** If the last block of the disk is last in the file, it ends where the disk ends. */
  readonly short?: boolean;
  readonly locators?: 'sectors' | 'bytes';
  /** The name that a child records for its parent. Wrong by default, since the files were renamed when the image was made. */
  readonly parentName?: string;
}

/** The identity of a layer, for its own footer and the header of its child. */
export interface Identity {
  readonly id: Uint8Array;
  readonly timestamp: number;
}

export const identity = (seed: number): Identity => ({ id: noise(16, seed * 97 + 1), timestamp: 700_000_000 + (seed % 1_000_000) });

/** The VHDs of a stack, leaf first. The forms repeat where there are fewer than layers. */
export function chainVhds(layers: readonly Layer[], forms: readonly Form[] = [{ seed: 1 }]): Buffer[] {
  const formOf = (rank: number): Form => forms[rank % forms.length] ?? { seed: 1 };
  const identities = layers.map((_, rank) => identity(formOf(rank).seed * 64 + rank));
  return layers.map((layer, rank) => layerVhd(layer, formOf(rank), identities[rank] ?? identity(rank), identities[rank + 1]));
}

export function layerVhd(layer: Layer, form: Form, self: Identity, parent?: Identity): Buffer {
  if (layer.kind === 'fixed') return fixedVhd(fixedData(layer), form.creator, self);
  const { seed, garbage = false, batmap = false, spare = 0, gap = 0 } = form;
  const size = layer.size * SECTOR;
  const needed = Math.ceil(size / layer.blockSize);
  const { blocks, bitmaps } = blocksOf(layer, form, needed);
  const order = form.shuffled ? shuffle([...blocks.keys()], seed) : [...blocks.keys()].sort((a, b) => a - b);
  return dynamicVhd({
    size,
    blockSize: layer.blockSize,
    blocks,
    bitmaps,
    order,
    gap,
    tableEntries: needed + spare,
    spareEntry: garbage ? 3 : 0xffffffff,
    cut: form.short && order.at(-1) === needed - 1 ? needed * layer.blockSize - size : 0,
    batmap,
    creator: batmap ? 'tap\0' : (form.creator ?? 'test'),
    creatorVersion: batmap ? 0x00010003 : 0,
    ...self,
    type: layer.kind === 'differencing' ? 4 : 3,
    ...(layer.kind === 'differencing' ? { parent: noteOf(parent ?? identity(0), form) } : {}),
  });
}

function fixedData({ size, sectors }: Layer): Buffer {
  const data = Buffer.alloc(size * SECTOR);
  for (const [sector, write] of sectors) data.set(sectorBytes(sector, write), sector * SECTOR);
  return data;
}

/** The blocks that anything was written to, and their bitmaps: most significant bit first, set where a sector is present. */
function blocksOf(layer: Layer, { seed, garbage, idle }: Form, needed: number): Record<'blocks' | 'bitmaps', Map<number, Buffer>> {
  const each = layer.blockSize / SECTOR;
  const blocks = new Map<number, Buffer>();
  const bitmaps = new Map<number, Buffer>();

  function allocate(block: number): void {
    if (blocks.has(block)) return;
    blocks.set(block, garbage ? Buffer.from(noise(layer.blockSize, seed + block)) : Buffer.alloc(layer.blockSize));
    bitmaps.set(block, Buffer.alloc(Math.ceil(Math.ceil(each / 8) / SECTOR) * SECTOR));
    // After the end of the disk, which may be inside the last block, bits mean nothing.
    for (let sector = layer.size; garbage && sector < (block + 1) * each; sector++) setBit(bitmaps.get(block), sector % each);
  }

  for (const [sector, write] of layer.sectors) {
    const block = Math.floor(sector / each);
    allocate(block);
    blocks.get(block)?.set(sectorBytes(sector, write), (sector % each) * SECTOR);
    setBit(bitmaps.get(block), sector % each);
  }
  if (idle) for (let block = seed % idle; block < needed; block += idle) allocate(block);
  return { blocks, bitmaps };
}

function setBit(bitmap: Buffer | undefined, bit: number): void {
  if (bitmap) bitmap[bit >> 3] = (bitmap[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
}

function noteOf({ id, timestamp }: Identity, { locators, parentName: name = 'C:\\elsewhere\\parent.vhd' }: Form): ParentNote {
  const space = locators === 'bytes' ? SECTOR : 1;
  const found = [
    { code: 'W2ku', path: Buffer.from(name, 'utf16le'), space },
    { code: 'MacX', path: Buffer.from('file://./../../etc/passwd'), space },
  ];
  return { id, timestamp, name, locators: locators === undefined ? [] : found };
}

/** A shuffled order, determined by the seed. */
export function shuffle<T>(items: readonly T[], seed: number): T[] {
  const keys = new Uint32Array(noise(items.length * 4, seed).buffer);
  return items
    .map((item, index) => ({ item, key: keys[index] ?? 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
