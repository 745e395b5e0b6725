/**
 * Makes VHDs for the tests and the fuzzing, by the specification and without a line of the code under test. Every
 * degree of freedom that the format leaves to a producer is an option.
 */

const SECTOR = 512;

/**
 * @typedef {object} VhdOptions
 * @property {number} size  virtual size in bytes
 * @property {Map<number, Uint8Array>} blocks  data of the allocated blocks, by block number
 * @property {number} [blockSize]  bytes, 2 MiB by default
 * @property {number[]} [order]  block numbers in the order of the file; ascending by default
 * @property {Map<number, Uint8Array>} [bitmaps]  sector bitmaps; all set by default
 * @property {number} [tableEntries]  entries in the BAT; what the size needs by default
 * @property {number} [gap]  sectors left free before each block
 * @property {number} [cut]  bytes that the last block in the file lacks
 * @property {number} [spareEntry]  the value of BAT entries that the size does not need
 * @property {boolean} [batmap]  tapdisk's map of full blocks, after the BAT
 * @property {string} [creator]  four letters
 * @property {number} [creatorVersion]
 * @property {number} [type]  3 dynamic, 4 differencing
 * @property {number | Uint8Array} [id]  unique id: 16 bytes, or one for all of them
 * @property {number} [timestamp]
 * @property {ParentNote} [parent]
 * @property {boolean} [endFooter]  true by default
 */

/**
 * What a differencing VHD says of its parent.
 * @typedef {object} ParentNote
 * @property {number | Uint8Array} id
 * @property {number} timestamp
 * @property {string} [name]  in the header
 * @property {Array<{ code: string, path: Uint8Array, space?: number }>} [locators]  each in a sector of its own, in front of the BAT
 */

/** @param {number} value @param {number} unit */
const up = (value, unit) => Math.ceil(value / unit) * unit;

/** The checksum of the specification. @param {Buffer} bytes @param {number} at */
function seal(bytes, at) {
  bytes.writeUInt32BE(0, at);
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes.writeUInt32BE(~sum >>> 0, at);
  return bytes;
}

/**
 * @param {Pick<VhdOptions, 'size' | 'id' | 'timestamp' | 'creatorVersion'> & { type: number, creator?: string | undefined }} options
 */
export function makeFooter({ size, type, creator = 'test', creatorVersion = 0, id = 7, timestamp = 0 }) {
  const footer = Buffer.alloc(512);
  footer.write('conectix', 0, 'latin1');
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x00010000, 12);
  footer.writeBigUInt64BE(type === 2 ? 0xffffffffffffffffn : 512n, 16);
  footer.writeUInt32BE(timestamp, 24);
  footer.write(creator, 28, 4, 'latin1');
  footer.writeUInt32BE(creatorVersion, 32);
  footer.writeBigUInt64BE(BigInt(size), 40);
  footer.writeBigUInt64BE(BigInt(size), 48);
  footer.writeUInt16BE(1, 56);
  footer[58] = 1;
  footer[59] = 1;
  footer.writeUInt32BE(type, 60);
  footer.fill(id, 68, 84);
  return seal(footer, 64);
}

/** @param {{ entries: number, blockSize: number, tableOffset?: number, parent?: ParentNote | undefined }} options */
export function makeHeader({ entries, blockSize, tableOffset = 1536, parent }) {
  const header = Buffer.alloc(1024);
  header.write('cxsparse', 0, 'latin1');
  header.writeBigUInt64BE(0xffffffffffffffffn, 8);
  header.writeBigUInt64BE(BigInt(tableOffset), 16);
  header.writeUInt32BE(0x00010000, 24);
  header.writeUInt32BE(entries, 28);
  header.writeUInt32BE(blockSize, 32);
  if (parent) {
    header.fill(parent.id, 40, 56);
    header.writeUInt32BE(parent.timestamp, 56);
    header.set(Buffer.from(parent.name ?? '', 'utf16le').swap16(), 64);
    for (const [index, { code, path, space = 1 }] of (parent.locators ?? []).entries()) {
      const at = 576 + index * 24;
      header.write(code, at, 4, 'latin1');
      header.writeUInt32BE(space, at + 4);
      header.writeUInt32BE(path.length, at + 8);
      header.writeBigUInt64BE(BigInt(1536 + index * SECTOR), at + 16);
    }
  }
  return seal(header, 36);
}

/**
 * The pieces of a dynamic VHD in the order of the file, so that a large one need not fit into memory.
 * @param {VhdOptions} options
 * @returns {Generator<Buffer>}
 */
export function* dynamicParts(options) {
  const { size, blocks, blockSize = 2 << 20, gap = 0, type = 3, parent, spareEntry = 0xffffffff, cut = 0 } = options;
  const order = options.order ?? [...blocks.keys()].sort((a, b) => a - b);
  const needed = Math.ceil(size / blockSize);
  const entries = options.tableEntries ?? needed;
  const bitmapBytes = up(Math.ceil(blockSize / SECTOR / 8), SECTOR);
  const bitmaps = new Map(order.map((block) => [block, Buffer.alloc(bitmapBytes, 0xff)]));
  for (const [block, bitmap] of bitmaps) bitmap.set(options.bitmaps?.get(block) ?? []);
  const locators = parent?.locators ?? [];
  const tableOffset = 1536 + locators.length * SECTOR;
  const table = Buffer.alloc(up(entries * 4, SECTOR), 0xff);
  for (let spare = needed; spare < entries; spare++) table.writeUInt32BE(spareEntry, spare * 4);
  const batmap = options.batmap ? makeBatmap(tableOffset + table.length, entries, blockSize, bitmaps) : Buffer.alloc(0);

  let sector = (tableOffset + table.length + batmap.length) / SECTOR;
  for (const block of order) {
    sector += gap;
    table.writeUInt32BE(sector, block * 4);
    sector += (bitmapBytes + blockSize) / SECTOR;
  }

  const footer = makeFooter({ ...options, type });
  yield footer;
  yield makeHeader({ entries, blockSize, tableOffset, parent });
  for (const { path } of locators) yield Buffer.concat([path, Buffer.alloc(SECTOR - path.length)]);
  yield table;
  yield batmap;
  for (const [index, block] of order.entries()) {
    // Only a gap that aligns the data may hold anything.
    yield Buffer.alloc(gap * SECTOR, gap * SECTOR > 4096 ? 0 : 0xee);
    yield bitmaps.get(block) ?? Buffer.alloc(0);
    const data = Buffer.alloc(blockSize);
    data.set(blocks.get(block) ?? []);
    yield index === order.length - 1 ? data.subarray(0, blockSize - cut) : data;
  }
  if (options.endFooter !== false) yield footer;
}

/**
 * The header of a batmap and the map, to be placed at `offset`: one bit per block, set where every sector is present (blktap).
 * @param {number} offset @param {number} entries @param {number} blockSize @param {Map<number, Buffer>} bitmaps
 */
function makeBatmap(offset, entries, blockSize, bitmaps) {
  const map = Buffer.alloc(up(Math.ceil(entries / 8), SECTOR));
  const sectors = Array.from({ length: blockSize / SECTOR }, (_, sector) => sector);
  for (const [block, bitmap] of bitmaps) {
    const full = sectors.every((sector) => ((bitmap[sector >> 3] ?? 0) & (0x80 >> (sector % 8))) !== 0);
    if (full) map[block >> 3] = (map[block >> 3] ?? 0) | (0x80 >> (block % 8));
  }
  const header = Buffer.alloc(SECTOR);
  header.write('tdbatmap', 0, 'latin1');
  header.writeBigUInt64BE(BigInt(offset + SECTOR), 8);
  header.writeUInt32BE(map.length / SECTOR, 16);
  header.writeUInt32BE(0x00010002, 20);
  let sum = 0;
  for (const byte of map) sum += byte;
  header.writeUInt32BE(~sum >>> 0, 24);
  return Buffer.concat([header, map]);
}

/** @param {VhdOptions} options */
export const dynamicVhd = (options) => Buffer.concat([...dynamicParts(options)]);

/** @param {Uint8Array} data @param {string} [creator] @param {Pick<VhdOptions, 'id' | 'timestamp'>} [rest] */
export const fixedVhd = (data, creator, rest) => Buffer.concat([data, makeFooter({ size: data.length, type: 2, creator, ...rest })]);
