/** An archive of many small files is read in pieces of a fixed size, however small its members are. */

import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readTar } from '../../src/ova/tar.ts';
import { fileCursor } from '../../src/source/file.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { tarOf } from '../support/tar.ts';

interface Counted {
  readonly cursor: ReturnType<typeof fileCursor>;
  /** Reads of the file so far, and the bytes that they asked for. */
  readonly reads: { calls: number; bytes: number };
}

async function counted(bytes: Uint8Array): Promise<Counted> {
  const path = join(testFolder(), 'image');
  writeFileSync(path, bytes);
  const file = await open(path);
  onTestFinished(() => file.close());
  const reads = { calls: 0, bytes: 0 };
  const readv = file.readv.bind(file);
  file.readv = (buffers, position) => {
    reads.calls++;
    for (const { byteLength } of buffers) reads.bytes += byteLength;
    return readv(buffers, position);
  };
  return { cursor: fileCursor(file, bytes.length, 'image', () => {}), reads };
}

test('the headers of 3,000 small members take one read for each 64 KiB', async () => {
  const image = tarOf(Array.from({ length: 3000 }, (_, index) => [`file-${index}`, Buffer.alloc(100, index)] as const));
  const { cursor, reads } = await counted(image);
  let members = 0;
  for await (const { name, body } of readTar(cursor)) {
    expect(name).toBe(`file-${members}`);
    expect(Buffer.from(await body.peek(512)).equals(Buffer.alloc(100, members))).toBe(true);
    members++;
  }
  expect(members).toBe(3000);
  // The last two are for the padding at the end.
  expect(reads.calls).toBeLessThanOrEqual(Math.ceil(image.length / 65536) + 2);
});

test('the headers of large members are read alone', async () => {
  const image = tarOf(Array.from({ length: 8 }, (_, index) => [`disk-${index}`, Buffer.alloc(300_000, index)] as const));
  const { cursor, reads } = await counted(image);
  for await (const { body } of readTar(cursor)) await body.moveTo(body.length ?? 0);
  expect(reads.bytes).toBeLessThan(11 * 64 * 1024);
});

test('peeks and reads anywhere return the bytes of the file, also those that were peeked at before', async () => {
  const bytes = noise(400_000, 7);
  const { cursor } = await counted(bytes);
  const places = new Uint32Array(noise(4 * 400, 3).buffer);
  let previous: { readonly at: number; readonly peeked: Uint8Array } | undefined;
  for (const [index, place] of places.entries()) {
    // Near the last one, or anywhere.
    const at = index % 3 === 0 ? place % bytes.length : Math.min(cursor.position + (place % 9000), bytes.length);
    await cursor.moveTo(at);
    const count = place % 5000;
    const peeked = await cursor.peek(count);
    expect(Buffer.compare(peeked, bytes.subarray(at, at + count))).toBe(0);
    if (previous) expect(Buffer.compare(previous.peeked, bytes.subarray(previous.at, previous.at + previous.peeked.length))).toBe(0);
    previous = { at, peeked };
    const length = Math.min(place % 700, bytes.length - at);
    expect(Buffer.compare(await cursor.read(length), bytes.subarray(at, at + length))).toBe(0);
    expect(cursor.position).toBe(at + length);
  }
});
