/**
 * Makes VHDs for tests, the demo and the bench, by the specification and without a line of the code under test. Every
 * degree of freedom that the format leaves to a producer is an option.
 */

const SECTOR = 512;

/**
 * @typedef {object} VhdOptions
 * @property {number} size  virtual size in bytes
 * @property {Map<number, Uint8Array>} blocks  data of the allocated blocks, by block number
 * @property {number} [blockSize]  bytes, 2 MiB by default
 * @property {number[]} [order]  block numbers in the order in which they stand in the file; ascending by default
 * @property {Map<number, Uint8Array>} [bitmaps]  sector bitmaps; all set by default
 * @property {number} [tableEntries]  entries in the BAT; what the size needs by default
 * @property {number} [gap]  sectors left free before each block
 * @property {string} [creator]  four letters
 * @property {number} [type]  3 dynamic, 4 differencing
 * @property {boolean} [endFooter]  true by default
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

/** @param {{ size: number, type: number, creator?: string | undefined, id?: number }} options */
export function makeFooter({ size, type, creator = 'test', id = 7 }) {
  const footer = Buffer.alloc(512);
  footer.write('conectix', 0, 'latin1');
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x00010000, 12);
  footer.writeBigUInt64BE(type === 2 ? 0xffffffffffffffffn : 512n, 16);
  footer.write(creator, 28, 4, 'latin1');
  footer.writeBigUInt64BE(BigInt(size), 40);
  footer.writeBigUInt64BE(BigInt(size), 48);
  footer.writeUInt16BE(1, 56);
  footer[58] = 1;
  footer[59] = 1;
  footer.writeUInt32BE(type, 60);
  footer.fill(id, 68, 84);
  return seal(footer, 64);
}

/** @param {{ entries: number, blockSize: number, tableOffset?: number }} options */
export function makeHeader({ entries, blockSize, tableOffset = 1536 }) {
  const header = Buffer.alloc(1024);
  header.write('cxsparse', 0, 'latin1');
  header.writeBigUInt64BE(0xffffffffffffffffn, 8);
  header.writeBigUInt64BE(BigInt(tableOffset), 16);
  header.writeUInt32BE(0x00010000, 24);
  header.writeUInt32BE(entries, 28);
  header.writeUInt32BE(blockSize, 32);
  return seal(header, 36);
}

/**
 * The pieces of a dynamic VHD in the order of the file, so that a large one need not fit into memory.
 * @param {VhdOptions} options
 * @returns {Generator<Buffer>}
 */
export function* dynamicParts(options) {
  const { size, blocks, blockSize = 2 << 20, gap = 0, creator, type = 3 } = options;
  const order = options.order ?? [...blocks.keys()].sort((a, b) => a - b);
  const entries = options.tableEntries ?? Math.ceil(size / blockSize);
  const bitmapBytes = up(Math.ceil(blockSize / SECTOR / 8), SECTOR);
  const table = Buffer.alloc(up(entries * 4, SECTOR), 0xff);

  let sector = (1536 + table.length) / SECTOR;
  for (const block of order) {
    sector += gap;
    table.writeUInt32BE(sector, block * 4);
    sector += (bitmapBytes + blockSize) / SECTOR;
  }

  const footer = makeFooter({ size, type, creator });
  yield footer;
  yield makeHeader({ entries, blockSize });
  yield table;
  for (const block of order) {
    yield Buffer.alloc(gap * SECTOR, 0xee);
    const bitmap = Buffer.alloc(bitmapBytes, 0xff);
    const given = options.bitmaps?.get(block);
    if (given) bitmap.set(given);
    yield bitmap;
    const data = Buffer.alloc(blockSize);
    data.set(blocks.get(block) ?? []);
    yield data;
  }
  if (options.endFooter !== false) yield footer;
}

/** @param {VhdOptions} options */
export const dynamicVhd = (options) => Buffer.concat([...dynamicParts(options)]);

/** @param {Uint8Array} data @param {string} [creator] */
export const fixedVhd = (data, creator) => Buffer.concat([data, makeFooter({ size: data.length, type: 2, creator })]);
