/**
 * VHD: writes a dynamic or differencing VHD block by block, so that no disk is ever held in memory. Written from the specification, without
 * any code of vdistream.
 */

export const BLOCK = 2 << 20;
const SECTOR = 512;
const FOOTER = 512;
const HEADER = 1024;
/** Bytes of a child's only parent locator. */
const LOCATOR = SECTOR;
const ABSENT = 0xffffffff;

/** tapdisk's: for an unknown creator, qemu-img uses the size from the rounded geometry. */
const CREATOR = 'tap\0';

/**
 * @typedef {object} Identity
 * @property {Uint8Array} id  16 bytes
 * @property {number} timestamp  seconds since 2000-01-01
 *
 * @typedef {object} Vhd
 * @property {number} size  virtual, bytes
 * @property {ReadonlyMap<number, Uint8Array>} blocks  by number, in file order
 * @property {number} [blockSize]  bytes, by default BLOCK
 * @property {ReadonlyMap<number, Uint8Array>} [bitmaps]  one bit per sector, the most significant first; all set by default
 * @property {Identity} [identity]
 * @property {Identity & { name: string }} [parent]  makes it a differencing VHD
 */

/** @type {Identity} */
const NOBODY = { id: new Uint8Array(16).fill(7), timestamp: 0 };

/** Size of the file in bytes. @param {Vhd} vhd */
export function vhdBytes(vhd) {
  const { blockSize = BLOCK } = vhd;
  return firstBlock(vhd) + vhd.blocks.size * (bitmapBytes(blockSize) + blockSize) + FOOTER;
}

/** The file, piece by piece. @param {Vhd} vhd @returns {Generator<Uint8Array>} */
export function* vhdParts(vhd) {
  const { blocks, bitmaps, parent, blockSize = BLOCK } = vhd;
  const table = Buffer.alloc(tableBytes(vhd), 0xff);
  const full = Buffer.alloc(bitmapBytes(blockSize), 0xff);
  let at = firstBlock(vhd);
  for (const number of blocks.keys()) {
    table.writeUInt32BE(at / SECTOR, number * 4);
    at += full.length + blockSize;
  }
  const footer = makeFooter(vhd);
  yield footer;
  yield makeHeader(vhd);
  if (parent) yield Buffer.alloc(LOCATOR).fill(Buffer.from(parent.name, 'utf16le'), 0, parent.name.length * 2);
  yield table;
  for (const number of blocks.keys()) {
    const bitmap = bitmaps?.get(number) ?? full;
    yield bitmap;
    if (bitmap.length < full.length) yield Buffer.alloc(full.length - bitmap.length);
    const data = blocks.get(number) ?? Buffer.alloc(0);
    yield data.length === blockSize ? data : Buffer.concat([data, Buffer.alloc(blockSize - data.length)]);
  }
  yield footer;
}

/** One bit per sector, in whole sectors. @param {number} blockSize */
const bitmapBytes = (blockSize) => Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR;

/** @param {Vhd} vhd */
const tableBytes = ({ size, blockSize = BLOCK }) => Math.ceil((Math.ceil(size / blockSize) * 4) / SECTOR) * SECTOR;

/** @param {Vhd} vhd */
const tableOffset = ({ parent }) => FOOTER + HEADER + (parent ? LOCATOR : 0);

/** @param {Vhd} vhd */
const firstBlock = (vhd) => tableOffset(vhd) + tableBytes(vhd);

/** @param {Vhd} vhd */
function makeFooter({ size, parent, identity: { id, timestamp } = NOBODY }) {
  const footer = Buffer.alloc(FOOTER);
  footer.write('conectix', 0, 'latin1');
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x00010000, 12);
  footer.writeBigUInt64BE(BigInt(FOOTER), 16);
  footer.writeUInt32BE(timestamp, 24);
  footer.write(CREATOR, 28, 'latin1');
  footer.writeBigUInt64BE(BigInt(size), 40);
  footer.writeBigUInt64BE(BigInt(size), 48);
  const { cylinders, heads, sectors } = geometry(size / SECTOR);
  footer.writeUInt16BE(cylinders, 56);
  footer[58] = heads;
  footer[59] = sectors;
  footer.writeUInt32BE(parent ? 4 : 3, 60);
  footer.set(id, 68);
  return seal(footer, 64);
}

/** @param {Vhd} vhd */
function makeHeader(vhd) {
  const { size, parent, blockSize = BLOCK } = vhd;
  const header = Buffer.alloc(HEADER);
  header.write('cxsparse', 0, 'latin1');
  header.writeUInt32BE(ABSENT, 8);
  header.writeUInt32BE(ABSENT, 12);
  header.writeBigUInt64BE(BigInt(tableOffset(vhd)), 16);
  header.writeUInt32BE(0x00010000, 24);
  header.writeUInt32BE(Math.ceil(size / blockSize), 28);
  header.writeUInt32BE(blockSize, 32);
  if (parent) {
    header.set(parent.id, 40);
    header.writeUInt32BE(parent.timestamp, 56);
    header.set(Buffer.from(parent.name, 'utf16le').swap16(), 64);
    header.write('W2ru', 576, 'latin1');
    header.writeUInt32BE(LOCATOR, 580);
    header.writeUInt32BE(parent.name.length * 2, 584);
    header.writeBigUInt64BE(BigInt(FOOTER + HEADER), 592);
  }
  return seal(header, 36);
}

/** The checksum of the specification. @param {Buffer} bytes @param {number} at */
function seal(bytes, at) {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes.writeUInt32BE(~sum >>> 0, at);
  return bytes;
}

/** The specification's algorithm from a size to cylinders, heads and sectors. @param {number} total  sectors */
function geometry(total) {
  const most = Math.min(total, 65535 * 16 * 255);
  let sectors = 17;
  let tracks = Math.floor(most / sectors);
  let heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
  if (most >= 65535 * 16 * 63) [sectors, heads] = [255, 16];
  else {
    if (tracks >= heads * 1024 || heads > 16) [sectors, heads] = [31, 16];
    tracks = Math.floor(most / sectors);
    if (tracks >= heads * 1024) [sectors, heads] = [63, 16];
  }
  return { cylinders: Math.floor(Math.floor(most / sectors) / heads), heads, sectors };
}
