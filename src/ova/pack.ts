/** Packing members into a tar. */

import type { Chunks } from '../cursor.ts';

export interface PackMember {
  /** ASCII, at most 100 characters, so that the header is one block. */
  readonly name: string;
  /** Bytes of the body. */
  readonly length: number;
  /** The body. Called once, after the members before it. */
  bytes(): Chunks;
}

export interface PackOptions {
  /** Seconds since 1970-01-01 UTC. */
  readonly mtime: number;
}

export interface PackedArchive {
  /** Bytes of the archive. */
  readonly length: number;
  bytes(): Chunks;
}

export declare function packTar(members: readonly PackMember[], options: PackOptions): PackedArchive;
