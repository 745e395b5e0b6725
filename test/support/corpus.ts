/** The corpus: disks written by other programs, with the answers of several decoders in corpus.json. */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { LoopDevice } from './loop.ts';
import { corpusFolder } from './needs.ts';

export interface CorpusFile {
  readonly file: string;
  readonly kind: string;
  readonly outer: string | null;
  readonly type?: 'fixed' | 'dynamic' | 'differencing' | null;
  readonly virtualSize: number | null;
  readonly blockSize?: number | null;
  readonly members: readonly string[];
  readonly parents: readonly string[] | null;
  readonly sha256raw?: string | null;
  readonly sha256IfAccepted?: string | null;
  readonly sha256Alt?: string | null;
  readonly sparseDigest?: string | null;
  readonly decoders?: readonly string[];
  readonly expect: 'ok' | 'error';
  readonly mayDiffer?: boolean;
}

export function corpus(): CorpusFile[] {
  if (!existsSync(corpusFolder)) return [];
  return JSON.parse(readFileSync(join(corpusFolder, 'corpus.json'), 'utf8'));
}

/** Puts the file meant into `folder`: the outer gzip of the corpus is only its packing. */
export async function unpack(entry: CorpusFile, folder: string): Promise<string> {
  const stored = join(corpusFolder, entry.file);
  if (entry.outer !== 'gzip') return stored;
  const path = join(folder, basename(entry.file, '.gz'));
  await pipeline(createReadStream(stored), createGunzip(), createWriteStream(path));
  return path;
}

/** A chain needs what the archive or the file alone does not give. */
export const isChain = (entry: CorpusFile): boolean =>
  entry.type === 'differencing' ||
  (entry.parents?.length ?? 0) > 0 ||
  entry.members.filter((name) => /\.vhd$/i.test(name) && !/swap\.vhd$/.test(name)).length > 1;

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
