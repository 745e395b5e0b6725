/** Source: where the bytes of an image come from, and the opener that opens one. */

import type { Cursor } from '../cursor.ts';
import type { OnWarning } from '../warnings.ts';

export interface Opener {
  /** For messages; without credentials. */
  readonly name: string;
  /** The caller closes the source. Throws SOURCE_OPEN, or the errors of its kind. */
  open(options: SourceOptions): Promise<Source>;
  /** What is known without reading the image. Throws what `open` does. */
  describe?(options: SourceOptions): Promise<Description>;
  /** The identity that the source would have if it were opened now. Throws what `open` does. */
  identify?(options: SourceOptions): Promise<SourceIdentity | undefined>;
}

export interface Description {
  readonly digest?: Digest | undefined;
  /** Bytes. */
  readonly length?: number | undefined;
  readonly identity?: SourceIdentity | undefined;
}

/**
 * What distinguishes the bytes of a source from all others, as far as that is known before they are read: its name, and what changes when
 * they do.
 */
export type SourceIdentity = readonly string[];

export interface Source {
  /** For messages: the path, `standard input` or `stream`. */
  readonly name: string;
  readonly cursor: Cursor;
  /** Undefined for a pipe, and for whatever may change without a trace. */
  readonly identity?: SourceIdentity | undefined;
  /** Whether `path` is what is being read, or a device or file with the same bytes: writing there would destroy the image. */
  sharesBytesWith(path: string): Promise<boolean>;
  /** Bytes read so far. */
  bytesRead(): number;
  /** Reads the rest and compares the checksum, if one is known. Throws SOURCE_CHECKSUM. */
  finish(): Promise<void>;
  /** Registers something opened on top of this source; it is closed before the source. */
  own(close: () => Promise<void>): void;
  close(): Promise<void>;
}

export interface SourceOptions {
  /** Hexadecimal SHA-256 of all bytes of the source, as stored. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for a problem that was recovered from: HTTP_RETRY. */
  readonly onWarning?: OnWarning | undefined;
  /** Called while reading, with position and length in bytes, of all sources together; a length of 0 is unknown. */
  readonly onRead?: ((position: number, length: number) => void) | undefined;
}

/** The digest that all bytes of a source, as stored, must have. */
export interface Digest {
  /** Its name in node:crypto: `md5`, `sha256`, `sha512`. */
  readonly algorithm: string;
  /** Lower case. */
  readonly hex: string;
}

/** Closes everything once, the last opened first. */
export function closers(first: () => Promise<void>): Pick<Source, 'own' | 'close'> {
  const open = [first];
  return {
    own: (close) => void open.push(close),
    async close() {
      for (let close = open.pop(); close !== undefined; close = open.pop()) await close();
    },
  };
}
