/** Source: where an image's bytes come from, and the opener that makes one. */

import type { Cursor } from '../cursor.ts';
import type { OnWarning } from '../warnings.ts';

export interface Opener {
  /** For messages; no credentials in it. */
  readonly name: string;
  /** Throws SOURCE_OPEN, or what its own kind says. Whoever gets a source closes it. */
  open(options: SourceOptions): Promise<Source>;
  /** What its bytes hash to and how many they are, where that can be known without reading them. Throws what `open` does. */
  describe?(options: SourceOptions): Promise<{ readonly digest?: Digest | undefined; readonly length?: number | undefined }>;
}

export interface Source {
  /** For messages: the path, `standard input` or `stream`. */
  readonly name: string;
  readonly cursor: Cursor;
  /** Whether `path` is the very file or device that is being read: writing there would destroy the image. */
  isFile(path: string): Promise<boolean>;
  /** Bytes read so far. */
  bytesRead(): number;
  /** Reads what is left and compares the checksum, where one is known. Throws SOURCE_CHECKSUM. */
  finish(): Promise<void>;
  /** Whatever is opened on top of this source is closed with it, and before it. */
  own(close: () => Promise<void>): void;
  close(): Promise<void>;
}

export interface SourceOptions {
  /** Hexadecimal SHA-256 of all bytes of the source, as they are stored. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for what went wrong and was made good: HTTP_RETRY. */
  readonly onWarning?: OnWarning | undefined;
  /** Called while reading, with the position and the length in bytes, of all sources together; a length of 0 is not known. */
  readonly onRead?: ((position: number, length: number) => void) | undefined;
}

/** What all bytes of a source, as they are stored, must hash to. */
export interface Digest {
  /** As node:crypto calls it: `md5`, `sha256`, `sha512`. */
  readonly algorithm: string;
  /** Lower case. */
  readonly hex: string;
}

/** Closers that are called once, the last one first. */
export function closers(first: () => Promise<void>): Pick<Source, 'own' | 'close'> {
  const open = [first];
  return {
    own: (close) => void open.push(close),
    async close() {
      for (let close = open.pop(); close !== undefined; close = open.pop()) await close();
    },
  };
}
