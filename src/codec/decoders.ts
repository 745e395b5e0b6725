/** Decoders: what decompresses each compression on this host. */

import { findProgram } from '../host/child.ts';
import { loadIsal } from '../host/native.ts';
import { type Compression, isNodeZstd } from './compression.ts';
import { inflateName } from './inflate.ts';

interface Decoder {
  /** `isal`, and the `zlib` inside Node called by the addon; `node` is `node:zlib`; `program` is one on the PATH. */
  readonly by: 'isal' | 'zlib' | 'node' | 'program';
  /** The path of the library or the program; a program that is missing has none. */
  readonly from?: string | undefined;
}

export type Decoders = Readonly<Record<Exclude<Compression, 'none'>, Decoder>>;

/** Never throws: a library that cannot be loaded is not used. */
export function decoders(): Decoders {
  return {
    gzip: gzipDecoder(),
    zstd: isNodeZstd() ? { by: 'node' } : programDecoder('zstd'),
    xz: programDecoder('xz'),
    bzip2: programDecoder('bzip2'),
    lz4: programDecoder('lz4'),
  };
}

const programDecoder = (program: string): Decoder => ({ by: 'program', from: findProgram(program) });

function gzipDecoder(): Decoder {
  const by = inflateName();
  if (by === 'isal') return { by, from: loadIsal().from };
  return { by: by === 'zlib' ? by : 'node' };
}
