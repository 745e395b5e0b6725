/**
 * Target: where the sectors of a disk go, and the opener that makes one. Offsets and lengths are bytes, multiples of `align`; memory comes
 * from the pool, which is aligned too.
 */

import type { Guard } from '../errors.ts';
import type { Sums } from '../host/native.ts';
import type { OnWarning } from '../warnings.ts';

/** A block device, a file, a VDI over the network: whatever can be written to brings one of these. */
export interface TargetOpener {
  /** For messages and results; no credentials in it. */
  readonly name: string;
  /** Where it is among the files of this host, if it is: so that no image is overwritten with itself. */
  readonly path?: string | undefined;
  /** It swallows what is written, so nothing can be read back. */
  readonly keepsNothing?: true | undefined;
  /** Throws what its guards refuse, TARGET_OPEN, or what its own kind says. Whoever gets a target closes or abandons it. */
  open(options: TargetOptions): Promise<Target>;
}

export interface TargetOptions {
  /** Virtual size of the disk that is going to be written, bytes. A file is made or grown to it. */
  readonly size: number;
  /** Guards to lift, by name. */
  readonly force?: readonly Guard[] | undefined;
  readonly onWarning?: OnWarning | undefined;
  /** Only to compare: nothing is made, no guard against overwriting is asked. */
  readonly readOnly?: boolean | undefined;
}

export interface Target {
  /** As its opener's. */
  readonly name: string;
  /** Bytes; Infinity for one that has no end. */
  readonly size: number;
  /** The smallest unit that can be written, bytes. */
  readonly align: number;
  /** Whether everything that has not been written is known to read as zero. */
  readonly readsZero: boolean;
  /** Whether writes go past the page cache. */
  readonly direct: boolean;
  /** Resolves when the device has taken the bytes. With `sums`, adds their checksums. Throws TARGET_WRITE or TARGET_FULL. */
  write(bytes: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** Makes a range read as zero: by the cheapest call that the target takes, or by writing. */
  zero(offset: number, length: number, how: 'cheapest' | 'write', signal?: AbortSignal): Promise<void>;
  /** Fills `into`. With `sums`, adds the checksums of what was read. Throws TARGET_READ. */
  read(into: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** Everything written is on the medium once this resolves. Throws TARGET_SYNC. */
  sync(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
  /** Closes, and removes a file that this run has made: half a disk must not pass for one. Never throws. */
  abandon(): Promise<void>;
}
