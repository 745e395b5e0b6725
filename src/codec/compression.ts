/** Compression: detecting it by the first bytes of a source, and decompressing. */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import zlib from 'node:zlib';
import { startsWith } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { MAGIC } from '../disk/magic.ts';
import { unreachable, VdiStreamError } from '../errors.ts';
import { gunzip } from './gunzip.ts';
import { through } from './through.ts';

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

/**
 * The decompressed bytes of `source`. Reading throws COMPRESSION_DATA, COMPRESSION_CHECKSUM, COMPRESSION_TRUNCATED, COMPRESSION_TRAILING,
 * COMPRESSION_TOOL, and what `source` throws.
 */
export function decompress(compression: Compression, source: Chunks): Chunks {
  switch (compression) {
    case 'none':
      return source;
    case 'gzip':
      return gunzip(source);
    case 'zstd':
      return throughZstd(source);
    case 'xz':
      return throughProgram('xz', source);
    default:
      return unreachable(compression);
  }
}

/** Node has zstd since 22.15; with an older one the zstd program does the work. */
async function* throughZstd(source: Chunks): Chunks {
  const create: unknown = Reflect.get(zlib, 'createZstdDecompress');
  if (typeof create !== 'function') return yield* throughProgram('zstd', source);
  const stream: Duplex = create();
  try {
    yield* through(stream, stream, source);
  } catch (cause) {
    if (cause instanceof VdiStreamError || !(cause instanceof Error)) throw cause;
    throw new VdiStreamError('COMPRESSION_DATA', `the zstd stream is damaged: ${cause.message}`, { cause });
  }
}

/** A compressed stream dictates how much memory decompressing it takes, so that is limited. `xz -9` needs 65 MiB. */
const PROGRAM_OPTIONS = { xz: ['-dc', '--memlimit-decompress=256MiB'], zstd: ['-dc', '--memory=256MiB'] } as const;

async function* throughProgram(program: 'zstd' | 'xz', source: Chunks): Chunks {
  const child: ChildProcessWithoutNullStreams = spawn(program, PROGRAM_OPTIONS[program], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < 1000) stderr += text;
  });
  child.stdin.on('error', () => {}); // EPIPE: the program exited early; its exit status and stderr say why
  const ended = new Promise<VdiStreamError | undefined>((resolve) => {
    child.once('error', (cause) => {
      resolve(
        new VdiStreamError('COMPRESSION_TOOL', `the image is ${program}-compressed, but the program \`${program}\` cannot be run`, {
          cause,
        }),
      );
      child.stdout.destroy();
    });
    child.once('close', (code) => {
      const reason = stderr.trim() || `exit status ${code}`;
      const truncated = /truncat|premature|unexpected end/i.test(reason);
      resolve(code === 0 ? undefined : new VdiStreamError(truncated ? 'COMPRESSION_TRUNCATED' : 'COMPRESSION_DATA', reason));
    });
  });
  let complete = false;
  try {
    yield* through(child.stdin, child.stdout, source);
    complete = true;
  } catch (error) {
    // If the program never started, the stream error is only a consequence.
    throw child.pid === undefined ? ((await ended) ?? error) : error;
  } finally {
    // If complete, the program has closed its output and is about to exit.
    if (!complete) child.kill('SIGKILL');
  }
  const failure = await ended;
  if (failure !== undefined) throw failure;
}
