/** Sink: where the bytes of an image go, and its opener. The mirror of Source. */

import type { OnWarning } from '../warnings.ts';

export interface SinkOpener {
  /** For messages and results; must not contain credentials. */
  readonly name: string;
  /** The path, if it is a file of this host, so that an image never replaces its own source. */
  readonly path?: string | undefined;
  /** What was written can be read again under `name`. */
  readonly readable: boolean;
  /** Throws what `open` would throw, as far as that is known before there is an image; changes nothing. */
  check?(options: Pick<SinkOptions, 'replace'>): Promise<void>;
  /** The caller finishes or abandons the sink. Throws TARGET_OPEN, TARGET_CONTENT, TARGET_BUSY, or an error specific to the sink. */
  open(options: SinkOptions): Promise<Sink>;
}

export interface SinkOptions {
  /** Bytes that will be written, if they are known. */
  readonly length: number | undefined;
  /** Replace what is already there. */
  readonly replace: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: OnWarning | undefined;
}

export interface Sink {
  /** Takes the next bytes, which may be changed once it resolves. Throws TARGET_WRITE or TARGET_FULL. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves once the image is complete and safe: on the medium, or accepted by the server. Throws TARGET_SYNC. */
  finish(): Promise<void>;
  /** The image is not complete: a file does not appear, a server gets no end. Never throws. */
  abandon(): Promise<void>;
}
