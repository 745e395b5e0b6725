import { describe, expect, test } from 'vitest';
import type { Disk } from '../../src/disk/disk.ts';
import { decodeVhd } from '../../src/vhd/decode.ts';
import { plainBuffers } from '../support/buffers.ts';
import { noise } from '../support/chunks.ts';
import { readDisk } from '../support/disk.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, makeFooter, makeHeader } from '../support/make-vhd.mjs';
import { blocks, flipped, good, resealed } from '../support/vhd-damage.ts';
import { fromFile, stream, waysOf } from '../support/vhd-decoding.ts';

const TABLE = 1536;
const entryAt = (block: number): number => TABLE + block * 4;

/** The VHD with one entry of its table changed. */
function withEntry(block: number, sector: number): Buffer {
  const copy = Buffer.from(good);
  copy.writeUInt32BE(sector, entryAt(block));
  return copy;
}

describe('a misplaced block is refused before any extent:', () => {
  test.each([
    ['inside the footer', 0, 'VHD_BLOCK_METADATA'],
    ['inside the header', 2, 'VHD_BLOCK_METADATA'],
    ['inside the block table', 3, 'VHD_BLOCK_METADATA'],
    ['inside another block', 5, 'VHD_BLOCK_OVERLAP'],
    ['at the same offset as another block', 13, 'VHD_BLOCK_OVERLAP'],
    ['in the last sector of another block', 21, 'VHD_BLOCK_OVERLAP'],
    ['on the end footer', (good.length - 512) / 512, 'VHD_BLOCK_RANGE'],
    ['so that its last sector is the end footer', (good.length - 4608) / 512, 'VHD_BLOCK_RANGE'],
    ['beyond the end', good.length / 512 + 1, 'VHD_BLOCK_RANGE'],
    ['beyond 1 TiB, where a signed number would be negative', 0xfffffffe, 'VHD_BLOCK_RANGE'],
  ])('%s', async (_, sector, code) => {
    const vhd = withEntry(9, sector);
    const refused = async (decoding: Promise<Disk>): Promise<void> => {
      const error = await failure(decoding);
      expect(error.code).toBe(code);
      // The entry at fault: of two blocks on the same bytes, either.
      expect([entryAt(9), ...(code === 'VHD_BLOCK_OVERLAP' ? [entryAt(0), entryAt(4)] : [])]).toContain(error.offset);
    };
    // Whether a stream ends in a footer shows only at its end.
    const isFooter = sector === (good.length - 4608) / 512;
    if (!isFooter) await refused(decodeVhd(stream(vhd, vhd.length)));
    await fromFile(vhd, testFolder(), refused);
    if (code !== 'VHD_BLOCK_RANGE') await refused(decodeVhd(stream(vhd)));
  });

  test('over the end footer of a stream, which shows when it ends, however it is read', async () => {
    const vhd = withEntry(9, (good.length - 4608) / 512);
    for (const length of [undefined, vhd.length]) {
      for (const use of [readDisk, (disk: Disk) => disk.skip()]) {
        const error = await failure(decodeVhd(stream(vhd, length)).then<unknown>(use));
        expect(error).toMatchObject({ code: 'VHD_BLOCK_RANGE', offset: good.length - 512 });
      }
    }
  });

  test('beyond the end of a stream of unknown length, which is reported as truncated', async () => {
    const buffers = plainBuffers();
    const disk = await decodeVhd(stream(withEntry(9, 1000)));
    expect(await failure(readDisk(disk, buffers))).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: good.length });
    expect(buffers.held).toBe(0);
  });

  test('but an entry beyond the size of the disk is ignored', async () => {
    const vhd = dynamicVhd({ size: 40960, blockSize: 4096, blocks, tableEntries: 12 });
    vhd.writeUInt32BE(1, entryAt(10));
    vhd.writeUInt32BE(0, entryAt(11));
    await waysOf(vhd, [999], testFolder(), async (decoding) => {
      const read = await readDisk(await decoding);
      for (const [block, data] of blocks) expect(Buffer.compare(read.subarray(block * 4096, (block + 1) * 4096), data)).toBe(0);
    });
  });
});

describe('impossible metadata is refused with its own code and the offset of the field:', () => {
  test.each<[string, Uint8Array, string, number]>([
    ['a footer with a wrong checksum', flipped(good, 30), 'VHD_FOOTER_CHECKSUM', 64],
    ['a footer of version 2', resealed({ footer: (f) => f.writeUInt32BE(0x20000, 12) }), 'VHD_VERSION', 12],
    ['an unknown type', resealed({ footer: (f) => f.writeUInt32BE(5, 60) }), 'VHD_TYPE', 60],
    ['a size of zero', resealed({ footer: (f) => f.writeBigUInt64BE(0n, 48) }), 'VHD_SIZE', 48],
    ['a size of no whole sectors', resealed({ footer: (f) => f.writeBigUInt64BE(40961n, 48) }), 'VHD_SIZE', 48],
    ['a size beyond exact numbers', resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 53n, 48) }), 'VHD_SIZE', 48],
    ['a size of 2^64 - 512', resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 64n - 512n, 48) }), 'VHD_SIZE', 48],
    ['a header inside the footer', resealed({ footer: (f) => f.writeBigUInt64BE(0n, 16) }), 'VHD_HEADER_OFFSET', 16],
    ['an unaligned header', resealed({ footer: (f) => f.writeBigUInt64BE(513n, 16) }), 'VHD_HEADER_OFFSET', 16],
    ['a header at 2^64 - 1', resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 64n - 1n, 16) }), 'VHD_HEADER_OFFSET', 16],
    ['a header without its cookie', resealed({ header: (h) => h.write('cxspirce') }), 'VHD_HEADER', 512],
    ['a header with a wrong checksum', flipped(good, 512 + 700), 'VHD_HEADER_CHECKSUM', 512 + 36],
    ['a header of version 3', resealed({ header: (h) => h.writeUInt32BE(0x30000, 24) }), 'VHD_VERSION', 512 + 24],
    ['a block size of zero', resealed({ header: (h) => h.writeUInt32BE(0, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of half a sector', resealed({ header: (h) => h.writeUInt32BE(256, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 3 MiB', resealed({ header: (h) => h.writeUInt32BE(3 << 20, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 1 GiB', resealed({ header: (h) => h.writeUInt32BE(1 << 30, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 2 GiB', resealed({ header: (h) => h.writeUInt32BE(2 ** 31, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a block size of 4 GiB - 1', resealed({ header: (h) => h.writeUInt32BE(2 ** 32 - 1, 32) }), 'VHD_BLOCK_SIZE', 512 + 32],
    ['a table with an entry too few', resealed({ header: (h) => h.writeUInt32BE(9, 28) }), 'VHD_TABLE', 512 + 28],
    ['a table of no entries', resealed({ header: (h) => h.writeUInt32BE(0, 28) }), 'VHD_TABLE', 512 + 28],
    [
      'more blocks than a real disk has',
      resealed({ footer: (f) => f.writeBigUInt64BE(2n ** 40n, 48), header: (h) => h.writeUInt32BE(0xffffffff, 28) }),
      'VHD_TABLE_LARGE',
      512 + 32,
    ],
    ['a table inside the footer', resealed({ header: (h) => h.writeBigUInt64BE(0n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['a table inside the header', resealed({ header: (h) => h.writeBigUInt64BE(1024n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['an unaligned table', resealed({ header: (h) => h.writeBigUInt64BE(1537n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['a table at 2^63', resealed({ header: (h) => h.writeBigUInt64BE(2n ** 63n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    ['a table at 2^64 - 1', resealed({ header: (h) => h.writeBigUInt64BE(2n ** 64n - 1n, 16) }), 'VHD_TABLE_OFFSET', 512 + 16],
    // Four thousand million entries are 16 GiB, and every block lies inside those.
    ['a table of ffffffff entries', resealed({ header: (h) => h.writeUInt32BE(0xffffffff, 28) }), 'VHD_BLOCK_METADATA', entryAt(0)],
  ])('%s', async (_, vhd, code, offset) => {
    await waysOf(vhd, [300, 4000], testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code, offset });
    });
  });

  test('a footer of a fixed disk at the start of a stream is refused, since a fixed disk has none there', async () => {
    const vhd = resealed({ footer: (f) => f.writeUInt32BE(2, 60) });
    for (const length of [undefined, vhd.length]) {
      expect(await failure(decodeVhd(stream(vhd, length)))).toMatchObject({ code: 'VHD_TYPE', offset: 60 });
    }
  });

  test('a fixed disk larger than the data before its footer is truncated', async () => {
    await fromFile(Buffer.concat([noise(4096, 1), makeFooter({ size: 8192, type: 2 })]), testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: 4096 });
    });
  });

  test('a table after the blocks can be read from a file, but is refused with the reason in a stream', async () => {
    // The header comes after the table, which has already been read when its place becomes known.
    const header = makeHeader({ entries: 10, blockSize: 4096, tableOffset: 512 });
    const footer = resealed({ footer: (f) => f.writeBigUInt64BE(1024n, 16) }).subarray(0, 512);
    const vhd = Buffer.concat([footer, Buffer.alloc(512, 0xff), header, footer]);
    expect(await failure(decodeVhd(stream(vhd)))).toMatchObject({ code: 'SOURCE_ORDER', offset: 512 });
    await fromFile(vhd, testFolder(), async (decoding) => {
      expect(Buffer.compare(await readDisk(await decoding), new Uint8Array(40960))).toBe(0);
    });
  });

  test.each([
    ['a VHDX image', Buffer.concat([Buffer.from('vhdxfile'), noise(2000, 1)])],
    ['a qcow2 image', Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), noise(2000, 1)])],
    ['a VMDK image', Buffer.concat([Buffer.from('KDMV'), noise(2000, 1)])],
    ['a web page', Buffer.from('<!DOCTYPE html>\n<html><title>Please log in</title></html>'.padEnd(2000))],
  ])('another format is named: %s', async (name, bytes) => {
    const error = await failure(decodeVhd(stream(bytes, bytes.length)));
    expect(error.code).toBe('FORMAT_OTHER');
    expect(error.message).toContain(name);
  });

  test('an empty input, and every prefix of a footer, is a typed error too', async () => {
    const footer = makeFooter({ size: 40960, type: 3 });
    for (let length = 0; length < 512; length++) {
      const part = footer.subarray(0, length);
      await failure(decodeVhd(stream(part)));
      await failure(decodeVhd(stream(part, length)).then((disk) => readDisk(disk)));
    }
    await fromFile(new Uint8Array(0), testFolder(), async (decoding) => {
      expect(await failure(decoding)).toMatchObject({ code: 'DISK_EMPTY' });
    });
  });
});
