/** Gzip: compressing a stream. */

import { createGzip } from 'node:zlib';
import type { Chunks } from '../cursor.ts';
import { through } from './through.ts';

export interface GzipOptions {
  /** 1, fast, to 9, small. */
  readonly level: number;
  readonly signal?: AbortSignal | undefined;
}

export function gzip(source: Chunks, { level }: GzipOptions): Chunks {
  const stream = createGzip({ level });
  return through(stream, stream, source);
}
