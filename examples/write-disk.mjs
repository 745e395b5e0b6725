#!/usr/bin/env node
/**
 * Writes the disk of an image to a device or a file and verifies it, using the building blocks, like `writeDisk` with `verify`. The image is a
 * VHD, or a tar, whose first VHD is written; either may be compressed.
 *
 *   node write-disk.mjs image.tar.gz /dev/vg/lv
 */

import { VdiStreamError } from 'vdistream';
import {
  compressionOf,
  createPool,
  decodeVhd,
  decompress,
  drain,
  emptySums,
  isTarHeader,
  MAGIC_BYTES,
  openSource,
  pump,
  readTar,
  streamCursor,
  TAR_BLOCK,
  targetOpener,
  verifySums,
} from 'vdistream/blocks';

const [input, device] = process.argv.slice(2);
if (input === undefined || device === undefined) {
  console.error('usage: write-disk.mjs SOURCE TARGET');
  process.exit(2);
}

const pool = createPool();

/** @param {import('vdistream/blocks').Cursor} body @param {string} device */
async function writeVhd(body, device) {
  const disk = await decodeVhd(body, { onWarning: ({ message }) => console.error(`warning: ${message}`) });
  const { virtualSize: size } = disk;
  const target = await targetOpener(device).open({ size });
  try {
    const sums = emptySums(size);
    const counts = await pump(disk.extents(pool), target, { size, sums });
    await target.sync();
    await verifySums(target, size, sums, { pool });
    await target.close();
    console.log(`${counts.bytesWritten} bytes written, ${counts.bytesZeroed} zeroed, ${counts.bytesSkipped} skipped`);
  } catch (error) {
    await target.abandon();
    throw error;
  }
}

const source = await openSource(input);
try {
  const compression = compressionOf(await source.cursor.peek(MAGIC_BYTES));
  const plain = compression === 'none' ? source.cursor : streamCursor(decompress(compression, source.cursor.chunks()));
  if (isTarHeader(await plain.peek(TAR_BLOCK))) {
    let written = false;
    for await (const { name, body } of readTar(plain)) {
      if (written || !name.endsWith('.vhd')) continue;
      await writeVhd(body, device);
      written = true;
    }
    if (!written) throw new VdiStreamError('DISK_NONE', `${input} holds no VHD`);
  } else await writeVhd(plain, device);
  await drain(plain);
  // Compares the checksum of the source, if one is known.
  await source.finish();
} catch (error) {
  if (!(error instanceof VdiStreamError)) throw error;
  console.error(`${error.message} (${error.code})\n${error.advice}`);
  process.exitCode = error.exitCode;
} finally {
  await source.close();
}
