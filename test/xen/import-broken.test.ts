/** Images that are broken, and devices that break: nothing is left of the VDI, whether it was not begun yet, half written or all but done. */

import { closeSync, constants, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, vi } from 'vitest';
import type { ErrorCode, ImportOptions, SourceInput } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import { noise, streamOf } from '../support/chunks.ts';
import {
  broken,
  callsFromNow,
  clientsOf,
  expectArrived,
  image,
  imported,
  inParts,
  newPlace,
  type Place,
  places,
} from '../support/import-host.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();

const KiB = 1024;
const MiB = 2 ** 20;

/** The import fails with `code`; whether a VDI has been made by then is given. */
async function fails(place: Place, input: SourceInput, code: ErrorCode | RegExp, made: boolean, options: Partial<ImportOptions> = {}) {
  const before = (await place.host.calls()).length;
  const { error } = await imported(place, options, input);
  const expected = typeof code === 'string' ? code : expect.stringMatching(code);
  expect([error?.code, error?.left], error?.message).toEqual([expected, []]);
  expect(clientsOf(place.host)).toEqual([]);
  assertClean(place.host);
  const calls = (await place.host.calls()).slice(before);
  expect(calls.some(([command]) => command === 'vdi-create')).toBe(made);
}

/** The bytes of `image`: footer, header, block table, then a sector bitmap before each block, and the footer once more. */
const TABLE = 1536;
const FIRST_BLOCK = TABLE + 512 + 512;
const LAST_BLOCK = FIRST_BLOCK + 2 * MiB + 512;
const END = LAST_BLOCK + 2 * MiB;

const flipped = (bytes: Uint8Array, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 0x40, at);
  return copy;
};

async function* breaking(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
  throw new Error('the disk under the image has gone');
}

const zipped = gzipSync(image, { level: 1 });
const archive = tarOf([
  ['image.ovf', Buffer.from('<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"/>')],
  ['image.mf', Buffer.from(`SHA256(disk.vhd)= ${'0'.repeat(64)}\n`)],
  ['disk.vhd', image],
]);

describe.concurrent('an image', () => {
  test.each<[string, () => SourceInput, ErrorCode]>([
    ['has no bytes', () => streamOf([]), 'SOURCE_EMPTY'],
    ['cannot be read at all', () => breaking(new Uint8Array(0)), 'SOURCE_READ'],
    ['is of another format', () => inParts(Buffer.alloc(MiB, 'QFI\xfb\0\0\0\x03', 'latin1')), 'FORMAT_OTHER'],
    ['cannot be read from a stream', () => inParts(Buffer.alloc(MiB, 'no disk ')), 'DISK_SIZE_UNKNOWN'],
    ['has a flipped bit in its footer', () => inParts(flipped(image, 100)), 'VHD_FOOTER_CHECKSUM'],
    ['has a flipped bit in its header', () => inParts(flipped(image, 512 + 100)), 'VHD_HEADER_CHECKSUM'],
    ['has overlapping blocks', () => inParts(overlapping()), 'VHD_BLOCK_OVERLAP'],
    ['ends in its header', () => inParts(image.subarray(0, 1000)), 'SOURCE_TRUNCATED'],
    ['ends in its block table', () => inParts(image.subarray(0, TABLE + 4)), 'SOURCE_TRUNCATED'],
    ['fails in its block table', () => breaking(image.subarray(0, TABLE + 4)), 'SOURCE_READ'],
  ])('that %s creates no VDI', (_, input, code) => onPlace((place) => fails(place, input(), code, false)));

  test.each<[string, () => SourceInput, ErrorCode, Partial<ImportOptions>?]>([
    ['ends before its first block', () => inParts(image.subarray(0, FIRST_BLOCK)), 'SOURCE_TRUNCATED'],
    ['ends in its first block', () => inParts(image.subarray(0, FIRST_BLOCK + MiB)), 'SOURCE_TRUNCATED'],
    ['ends between its blocks', () => inParts(image.subarray(0, FIRST_BLOCK + 2 * MiB)), 'SOURCE_TRUNCATED'],
    ['ends in its last block', () => inParts(image.subarray(0, LAST_BLOCK + 4 * KiB)), 'SOURCE_TRUNCATED'],
    ['fails before its first block', () => breaking(image.subarray(0, FIRST_BLOCK)), 'SOURCE_READ'],
    ['fails in the middle', () => breaking(image.subarray(0, LAST_BLOCK)), 'SOURCE_READ'],
    ['fails after its last block', () => breaking(image.subarray(0, END)), 'SOURCE_READ'],
    ['fails after its last byte', () => breaking(image), 'SOURCE_READ'],
    [
      'has different footers at its start and end',
      () => inParts(Buffer.concat([image.subarray(0, END), otherFooter()])),
      'VHD_FOOTERS_DIFFER',
    ],
    ['is compressed and has a wrong checksum', () => inParts(flipped(zipped, zipped.length - 8)), 'COMPRESSION_CHECKSUM'],
    ['is compressed and has a wrong length', () => inParts(flipped(zipped, zipped.length - 1)), 'COMPRESSION_CHECKSUM'],
    ['is compressed and ends in the middle', () => inParts(zipped.subarray(0, zipped.length / 2)), 'COMPRESSION_TRUNCATED'],
    ['is compressed and lacks its last byte', () => inParts(zipped.subarray(0, -1)), 'COMPRESSION_TRUNCATED'],
    ['is compressed and has data after its end', () => inParts(Buffer.concat([zipped, Buffer.from('more')])), 'COMPRESSION_TRAILING'],
    ['has an unexpected checksum', () => inParts(image), 'SOURCE_CHECKSUM', { sha256: '0'.repeat(64) }],
    ['does not match the manifest', () => inParts(archive), 'MANIFEST_DIGEST'],
  ])('that %s leaves no VDI', (_, input, code, options) => onPlace((place) => fails(place, input(), code, true, options)));

  /** The third block is at the offset of the first. */
  function overlapping(): Buffer {
    const copy = Buffer.from(image);
    copy.copy(copy, TABLE + 8, TABLE, TABLE + 4);
    return copy;
  }

  /** The footer of a disk with another size, with its checksum right. */
  function otherFooter(): Buffer {
    const footer = Buffer.from(image.subarray(END));
    footer.writeBigUInt64BE(footer.readBigUInt64BE(48) + 512n, 48);
    footer.writeUInt32BE(0, 64);
    footer.writeUInt32BE(~footer.reduce((sum, byte) => sum + byte, 0) >>> 0, 64);
    return footer;
  }
});

describe('storage that is full', () => {
  /** So long that the kernel must split the write of a block: it does not report the part that reaches the end of the storage. */
  const disk = noise(8 * MiB, 3);
  const long = dynamicVhd({
    size: disk.length,
    blocks: new Map([0, 1, 2, 3].map((block) => [block, disk.subarray(2 * MiB * block, 2 * MiB * (block + 1))])),
  });
  const FULL = /^TARGET_(FULL|WRITE)$/;

  test.each([
    ['with the first block', 256 * KiB],
    ['in the middle', 3 * MiB],
    ['with the last block', 6.1 * MiB],
  ])('%s leaves no VDI', async (_, room) => {
    const place = await newPlace({ place: tinyFolder(Math.round(room)).path });
    try {
      await fails(place, inParts(long), FULL, true);
    } finally {
      await place.host.stop();
    }
  });

  test('and has space again accepts the image', async () => {
    const { path } = tinyFolder(9 * MiB);
    const place = await newPlace({ place: path });
    try {
      const spoiler = join(path, 'spoiler');
      writeFileSync(spoiler, Buffer.alloc(4 * MiB));
      await fails(place, inParts(long), FULL, true);
      rmSync(spoiler);
      const { vdi = '' } = await imported(place, {}, inParts(long));
      assertClean(place.host, { vdis: [vdi] });
      expectDisk(bytesOf(place.host, vdi), disk);
    } finally {
      await place.host.stop();
    }
  });
});

describe.concurrent('a device', () => {
  test('that does not hold what was written to it leaves no VDI', () =>
    onPlace(async (place) => {
      const { host } = place;
      let isSpoilt = false;
      const onProgress: ImportOptions['onProgress'] = ({ phase, done, total }) => {
        if (phase !== 'write' || done < total || isSpoilt) return;
        isSpoilt = true;
        const file = openSync(host.state().vdi[0]?.disk.path ?? '', 'r+');
        writeSync(file, Buffer.from('spoilt'), 0, 6, 4 * MiB + 7);
        closeSync(file);
      };
      await fails(place, inParts(image), 'VERIFY_MISMATCH', true, { verify: true, onProgress });
      expect(isSpoilt).toBe(true);
    }));

  test('that another process has claimed is not written to, and leaves no VDI once it is released', () =>
    onPlace(async (place) => {
      const { host } = place;
      const called = await callsFromNow(host);
      await host.fault({ command: 'vbd-plug', when: 'after', what: 'late' });
      const failing = fails(place, inParts(image), 'TARGET_BUSY', true);
      await called('vbd-plug');
      const device = await vi.waitUntil(() => host.state().vbd.find((vbd) => vbd.currentlyAttached)?.device, { timeout: 30_000 });
      const file = openSync(`/dev/${device}`, constants.O_RDONLY | constants.O_EXCL);
      await host.release();
      await called('vbd-unplug', 2);
      closeSync(file);
      await failing;
    }));

  test('that is raw exposes nothing of its previous owner, and leaves no VDI of a broken image either', () =>
    onPlace(async (place) => {
      const { vdi = '' } = await imported(place, { rawVdi: true });
      expectArrived(place, vdi, {}, 8 * MiB);
      await place.host.run(['vdi-destroy', `uuid=${vdi}`]);
      await fails(place, inParts(image.subarray(0, LAST_BLOCK)), 'SOURCE_TRUNCATED', true, { rawVdi: true });
    }));
});

test('a broken image leaves no VDI even if udev cannot be asked whether it has settled', () =>
  onPlace(async (place) => {
    // No environment of a program can be as long.
    vi.stubEnv('LONG', 'x'.repeat(2 ** 18));
    try {
      await fails(place, inParts(broken), 'COMPRESSION_CHECKSUM', true);
    } finally {
      vi.unstubAllEnvs();
    }
  }));

test('after all these failures the same process can still import', () =>
  onPlace(async (place) => {
    const { vdi = '' } = await imported(place, { verify: true });
    expectArrived(place, vdi);
  }));
