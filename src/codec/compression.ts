/** Compression: detecting it by the first bytes of a source, and decompressing. */

import type { Duplex } from 'node:stream';
import zlib from 'node:zlib';
import { startsWith } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { MAGIC } from '../disk/magic.ts';
import { messageOf, unreachable, VdiStreamError } from '../errors.ts';
import { type Child, startChild } from '../host/child.ts';
import { errnoOf } from '../host/errno.ts';
import { gunzip } from './gunzip.ts';
import { type InflateChoice, type InflateName, inflateName } from './inflate.ts';
import { through } from './through.ts';
import { wholeFrames } from './zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz';

/** Bytes that `compressionOf` needs. */
export const MAGIC_BYTES = 6;

/** The compression of a source that begins with `magic`. Throws FORMAT_OTHER for bzip2 and lz4, which are not supported. */
export function compressionOf(magic: Uint8Array): Compression {
  if (startsWith(magic, MAGIC.gzip)) return 'gzip';
  if (startsWith(magic, MAGIC.zstd)) return 'zstd';
  if (startsWith(magic, MAGIC.xz)) return 'xz';
  const other = startsWith(magic, MAGIC.bzip2) ? 'bzip2' : startsWith(magic, MAGIC.lz4) ? 'lz4' : undefined;
  if (other !== undefined) {
    throw new VdiStreamError('FORMAT_OTHER', `${other} compression is not supported; pipe the image through \`${other} -dc\``, {
      offset: 0,
    });
  }
  return 'none';
}

/** What inflates a source of this compression; undefined unless it is gzip. Throws as `inflateName` does. */
export const inflaterOf = (compression: Compression, inflate: InflateChoice | undefined): InflateName | undefined =>
  compression === 'gzip' ? inflateName(inflate) : undefined;

/**
 * The decompressed bytes of `source`. Reading throws COMPRESSION_DATA, COMPRESSION_CHECKSUM, COMPRESSION_TRUNCATED, COMPRESSION_TRAILING,
 * COMPRESSION_MEMORY, COMPRESSION_TOOL, NATIVE_MISSING, and what `source` throws.
 */
export function decompress(compression: Compression, source: Chunks, inflate?: InflateChoice): Chunks {
  switch (compression) {
    case 'none':
      return source;
    case 'gzip':
      return gunzip(source, inflate);
    case 'zstd':
      return throughZstd(source);
    case 'xz':
      return throughProgram('xz', source);
    default:
      return unreachable(compression);
  }
}

/** A compressed stream dictates how much memory decompressing it takes, so that is limited, in bytes. `xz -9` needs 65 MiB. */
const MEMORY_LOG = 28;
const MEMORY = 2 ** MEMORY_LOG;
const PROGRAM_OPTIONS = { xz: ['-dc', `--memlimit-decompress=${MEMORY}`], zstd: ['-dc', `--memory=${MEMORY}`] } as const;

/** Node has zstd since 22.15; with an older one the zstd program does the work. */
async function* throughZstd(source: Chunks): Chunks {
  const create: unknown = Reflect.get(zlib, 'createZstdDecompress');
  if (typeof create !== 'function') return yield* throughProgram('zstd', source);
  // ZSTD_d_windowLogMax of zstd.h. Node's own limit is 128 MiB.
  const stream: Duplex = create({ params: { 100: MEMORY_LOG } });
  try {
    yield* through(stream, stream, wholeFrames(source));
  } catch (cause) {
    if (cause instanceof VdiStreamError || !(cause instanceof Error)) throw cause;
    throw streamError('zstd', `the zstd stream is damaged: ${cause.message}`, cause);
  }
}

async function* throughProgram(program: 'zstd' | 'xz', source: Chunks): Chunks {
  const child = await start(program);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < 1000) stderr += text;
  });
  let complete = false;
  try {
    yield* through(child.stdin, child.stdout, source);
    complete = true;
  } finally {
    // If complete, the program has closed its output and is about to exit.
    if (!complete) child.kill();
  }
  const { status, killedBy } = await child.ended;
  if (killedBy !== null) throw new VdiStreamError('COMPRESSION_TOOL', `the program \`${program}\` was killed by ${killedBy}`);
  if (status !== 0) throw streamError(program, stderr.trim().replace(/\s*\n\s*/g, '; ') || `exit status ${status}`);
}

async function start(program: 'zstd' | 'xz'): Promise<Child> {
  try {
    return await startChild(program, PROGRAM_OPTIONS[program]);
  } catch (cause) {
    const reason = messageOf(cause);
    const message = `the image is ${program}-compressed, but the program \`${program}\` cannot be run: ${reason}`;
    throw new VdiStreamError('COMPRESSION_TOOL', message, { errno: errnoOf(cause), cause });
  }
}

/** The error for what the program, or Node's zstd, says about the stream. */
function streamError(program: 'zstd' | 'xz', reason: string, cause?: unknown): VdiStreamError {
  if (/too much memory|memory usage limit/i.test(reason)) {
    const message = `decompressing the image needs more than ${MEMORY >> 20} MiB of memory, the limit of vdistream for ${program}`;
    return new VdiStreamError('COMPRESSION_MEMORY', message, { cause });
  }
  if (/truncat|premature|unexpected end/i.test(reason)) return new VdiStreamError('COMPRESSION_TRUNCATED', reason, { cause });
  return new VdiStreamError('COMPRESSION_DATA', reason, { cause });
}
