/** Compression: detecting it by the first bytes of a source, and decompressing. */

import type { Duplex } from 'node:stream';
import zlib from 'node:zlib';
import { startsWith } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { MAGIC } from '../disk/magic.ts';
import { isBzip2 } from '../disk/plausible.ts';
import { messageOf, unreachable, VdiStreamError } from '../errors.ts';
import { type Child, startChild } from '../host/child.ts';
import { errnoOf } from '../host/errno.ts';
import { type Stages, timedChunks, untimed } from '../host/stages.ts';
import { bzip2End } from './bzip2-end.ts';
import { eachFrame, isSkippable, wholeFrames } from './frames.ts';
import { gunzip } from './gunzip.ts';
import { type InflateChoice, type InflateName, inflateName } from './inflate.ts';
import { LZ4 } from './lz4-frames.ts';
import { through } from './through.ts';
import { ZSTD } from './zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4';

/** Bytes that `compressionOf` needs. */
export const MAGIC_BYTES = 8;

/** The compression of a source that begins with `magic`. */
export function compressionOf(magic: Uint8Array): Compression {
  if (startsWith(magic, MAGIC.gzip)) return 'gzip';
  if (startsWith(magic, MAGIC.zstd) || (magic.length >= 4 && isSkippable(u32le(magic)))) return 'zstd';
  if (startsWith(magic, MAGIC.xz)) return 'xz';
  if (startsWith(magic, MAGIC.lz4)) return 'lz4';
  return magic.length >= MAGIC_BYTES && startsWith(magic, MAGIC.bzip2) && isBzip2(viewOf(magic)) ? 'bzip2' : 'none';
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView => new DataView(buffer, byteOffset, byteLength);
const u32le = (bytes: Uint8Array): number => viewOf(bytes).getUint32(0, true);

/** What inflates a source of this compression; undefined unless it is gzip. Throws as `inflateName` does. */
export const inflaterOf = (compression: Compression, inflate: InflateChoice | undefined): InflateName | undefined =>
  compression === 'gzip' ? inflateName(inflate) : undefined;

/**
 * The decompressed bytes of `source`. Reading throws COMPRESSION_DATA, COMPRESSION_CHECKSUM, COMPRESSION_TRUNCATED, COMPRESSION_TRAILING,
 * COMPRESSION_MEMORY, COMPRESSION_TOOL, NATIVE_MISSING, and what `source` throws.
 */
export function decompress(compression: Compression, source: Chunks, inflate?: InflateChoice, stages: Stages = untimed): Chunks {
  return compression === 'none' ? source : timedChunks(stages, 'inflate', decompressed(compression, source, inflate, stages));
}

function decompressed(
  compression: Exclude<Compression, 'none'>,
  source: Chunks,
  inflate: InflateChoice | undefined,
  stages: Stages,
): Chunks {
  switch (compression) {
    case 'gzip':
      return gunzip(source, inflate, stages);
    case 'zstd':
      return throughZstd(source);
    case 'xz':
      return throughProgram('xz', source);
    case 'lz4':
      return throughProgram('lz4', wholeFrames(LZ4, source));
    case 'bzip2':
      return throughBzip2(source);
    default:
      return unreachable(compression);
  }
}

/**
 * A compressed stream dictates how much memory decompressing it takes, so that is limited, in bytes. `xz -9` needs 65 MiB. The formats of
 * bzip2 and lz4 have limits of their own, of a few MiB.
 */
const MEMORY_LOG = 28;
const MEMORY = 2 ** MEMORY_LOG;
const PROGRAM_OPTIONS = {
  xz: ['-dc', `--memlimit-decompress=${MEMORY}`],
  zstd: ['-dc', `--memory=${MEMORY}`],
  bzip2: ['-dc'],
  lz4: ['-dc'],
} as const;
type Program = keyof typeof PROGRAM_OPTIONS;

/** Node has zstd since 22.15; with an older one the zstd program does the work. */
const nodeZstd = (): unknown => Reflect.get(zlib, 'createZstdDecompress');
export const isNodeZstd = (): boolean => typeof nodeZstd() === 'function';

async function* throughZstd(source: Chunks): Chunks {
  const create = nodeZstd();
  if (typeof create !== 'function') return yield* throughProgram('zstd', wholeFrames(ZSTD, source));
  try {
    for await (const frame of eachFrame(ZSTD, source)) {
      // ZSTD_d_windowLogMax of zstd.h. Node's own limit is 128 MiB. It decodes no more than one frame.
      const stream: Duplex = create({ params: { 100: MEMORY_LOG } });
      yield* through(stream, stream, frame);
    }
  } catch (cause) {
    if (cause instanceof VdiStreamError || !(cause instanceof Error)) throw cause;
    throw streamError('zstd', `the zstd stream is damaged: ${cause.message}`, cause);
  }
}

async function* throughBzip2(source: Chunks): Chunks {
  const end = bzip2End(source);
  try {
    const said = yield* throughProgram('bzip2', end.chunks);
    if (said.includes('trailing garbage') && !(await end.isOnlyPadded())) {
      throw new VdiStreamError('COMPRESSION_TRAILING', 'the bzip2 stream is followed by other data');
    }
  } finally {
    end.close();
  }
}

/** Returns what the program said on its standard error. */
async function* throughProgram(program: Program, source: Chunks): AsyncGenerator<Uint8Array, string, void> {
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
  if (status !== 0) throw streamError(program, reasonIn(program, stderr) || `exit status ${status}`);
  return stderr;
}

/** bzip2 prints several lines; the first says what is wrong. */
function reasonIn(program: Program, stderr: string): string {
  const said = program === 'bzip2' ? (stderr.trim().split('\n')[0] ?? '').replace(/[;.]$/, '') : stderr;
  return said.trim().replace(/\s*\n\s*/g, '; ');
}

async function start(program: Program): Promise<Child> {
  try {
    return await startChild(program, PROGRAM_OPTIONS[program]);
  } catch (cause) {
    const reason = messageOf(cause);
    const message = `the image is ${program}-compressed, but the program \`${program}\` cannot be run: ${reason}`;
    throw new VdiStreamError('COMPRESSION_TOOL', message, { errno: errnoOf(cause), cause });
  }
}

/** The error for what the program, or Node's zstd, says about the stream. */
function streamError(program: Program, reason: string, cause?: unknown): VdiStreamError {
  if (/too much memory|memory usage limit/i.test(reason)) {
    const message = `decompressing the image needs more than ${MEMORY >> 20} MiB of memory, the limit of vdistream for ${program}`;
    return new VdiStreamError('COMPRESSION_MEMORY', message, { cause });
  }
  if (/truncat|premature|unexpected end|ends unexpectedly/i.test(reason))
    return new VdiStreamError('COMPRESSION_TRUNCATED', reason, { cause });
  return new VdiStreamError('COMPRESSION_DATA', reason, { cause });
}
