/** The corpus: disks written by other programs, with the answers of several decoders in corpus.json. */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { LoopDevice } from './loop.ts';
import { corpusFolder, corpusIndex } from './needs.ts';
import type { Answers } from './producers/image.ts';

export interface CorpusFile extends Answers {
  readonly outer: string | null;
  readonly members: readonly string[];
  readonly parents: readonly string[] | null;
}

export function corpus(): CorpusFile[] {
  return existsSync(corpusIndex) ? JSON.parse(readFileSync(corpusIndex, 'utf8')) : [];
}

/** Puts the file meant into `folder`: the outer gzip of the corpus is only its packing. */
function unpack({ file, outer }: CorpusFile, folder: string): Promise<string> {
  const stored = join(corpusFolder, file);
  return outer === 'gzip' ? gunzipped(stored, folder) : Promise.resolve(stored);
}

/** The file and those of its parents, leaf first: the inputs to write. */
export async function unpackChain(entry: CorpusFile, folder: string): Promise<string[]> {
  const parents = (entry.parents ?? []).map((name) => gunzipped(join(corpusFolder, name), folder));
  return Promise.all([unpack(entry, folder), ...parents]);
}

async function gunzipped(stored: string, folder: string): Promise<string> {
  const path = join(folder, basename(stored, '.gz'));
  await pipeline(createReadStream(stored), createGunzip(), createWriteStream(path));
  return path;
}

/** The corpus's digest of a disk too large to hash whole: its non-zero megabytes with their offsets, then its size. */
export function sparseDigest(device: LoopDevice, size: number, ranges: Iterable<{ offset: number; length: number }>): string {
  const MIB = 1 << 20;
  const hash = createHash('sha256');
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    return bytes;
  };
  for (const { offset, length } of ranges) {
    for (let at = Math.floor(offset / MIB) * MIB; at < offset + length; at += MIB) {
      const chunk = device.read(at, Math.min(MIB, size - at));
      if (chunk.every((byte) => byte === 0)) continue;
      hash.update(number(at)).update(createHash('sha256').update(chunk).digest());
    }
  }
  return hash.update(number(size)).digest('hex');
}
