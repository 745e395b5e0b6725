/** What the functions of the plugin get to work with. */

import type { HeaderFields } from '../http/url.ts';
import type { LocalCopy } from '../source/local-copy.ts';
import type { Opener } from '../source/source.ts';
import type { OnWarning } from '../warnings.ts';
import type { Arguments, Signature } from './arguments.ts';
import type { CallLog } from './log.ts';
import type { PickleValue } from './pickle-read.ts';

/** What the functions call; tests replace it. */
export interface Workers {
  /** Resolves with the uuid of the new VDI, and the bytes that were read. */
  importImage(image: Opener, options: ImportJob): Promise<{ readonly vdi: string; readonly bytesRead: number }>;
  glanceImage(id: string, where: GlanceAccess): Opener;
  /** The same image, staged or cached where the call asks for that. */
  withLocalCopy(image: Opener, copy: LocalCopy): Opener;
  /** Checks that all VDIs exist, and resolves with the first. */
  exportedVdi(leaf: string, others: readonly string[], signal: AbortSignal): Promise<{ readonly sr: string; readonly size: number }>;
  /** Resolves with the bytes that were sent, once the image is active and the VDI detached. */
  uploadVdi(vdi: string, image: string, options: UploadJob): Promise<{ readonly bytesWritten: number }>;
  /** Of the package. */
  version(): string;
}

interface JobContext {
  readonly signal: AbortSignal;
  readonly onWarning: OnWarning;
}

export interface ImportJob extends JobContext {
  /** The uuid of the storage repository. */
  readonly sr: string;
  /** name-label of the VDI. */
  readonly name: string;
  /** A folder for the layers of a chain that comes in another order than leaf first. */
  readonly staging: string | undefined;
}

export interface UploadJob extends JobContext {
  readonly where: GlanceAccess;
  /** Of the image. */
  readonly properties: Readonly<Record<string, string>>;
  /** Of gzip. */
  readonly level: number | undefined;
}

export interface GlanceAccess {
  readonly endpoints: readonly [string];
  readonly version: 1 | 2;
  readonly headers: HeaderFields;
  /** PEM certificates to trust in addition. */
  readonly ca: string | undefined;
}

/** Context of a call. */
export interface Work extends JobContext {
  readonly log: CallLog;
}

export interface PluginFunction extends Signature {
  run(args: Arguments, work: Work): Promise<PickleValue>;
}
