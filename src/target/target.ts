/**
 * Target: where a disk is written, and its opener. Offsets and lengths are in bytes, multiples of `align`; memory comes from the pool, which
 * is aligned too.
 */

import type { Guard } from '../errors.ts';
import type { Sums } from '../host/native.ts';
import type { OnWarning } from '../warnings.ts';

/** Anything that can be written to has one: a block device, a file, a VDI over the network. */
export interface TargetOpener {
  /** For messages and results; must not contain credentials. */
  readonly name: string;
  /** The path, if it is a file of this host, so that an image is never overwritten with itself. */
  readonly path?: string | undefined;
  /** The target discards what is written, so nothing can be read back. */
  readonly keepsNothing?: true | undefined;
  /** The caller must close or abandon the target. Throws the error of a guard, TARGET_OPEN, or an error specific to the target. */
  open(options: TargetOptions): Promise<Target>;
}

export interface TargetOptions {
  /** Virtual size in bytes of the disk to write. A file is created with, or extended to, this size. */
  readonly size: number;
  /** Guards to lift, by name. */
  readonly force?: readonly Guard[] | undefined;
  readonly onWarning?: OnWarning | undefined;
  /** Ends the connection to a target on the network, whenever it fires. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `compare`: nothing is created, and the guards against overwriting do not run. `dry-run`: all guards run, but nothing is created, changed
   * or opened for writing. By default `write`.
   */
  readonly purpose?: 'write' | 'compare' | 'dry-run' | undefined;
}

export interface Target {
  /** As in its opener. */
  readonly name: string;
  /** Bytes; Infinity if there is no end. */
  readonly size: number;
  /** The smallest unit that can be written, bytes. */
  readonly align: number;
  /** Whether everything that was not written is known to read as zero. */
  readonly readsZero: boolean;
  /** Whether writes bypass the page cache. */
  readonly direct: boolean;
  /** Nothing can be read back: `read` throws. */
  readonly writeOnly?: true | undefined;
  /** With `sums`, adds the checksums of the bytes. Throws TARGET_WRITE or TARGET_FULL. */
  write(bytes: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** Makes a range read as zero, by the cheapest call that the target supports or by writing. */
  zero(offset: number, length: number, how: 'cheapest' | 'write', signal?: AbortSignal): Promise<void>;
  /** Fills `into`. With `sums`, adds the checksums of what was read. Throws TARGET_READ. */
  read(into: Uint8Array, offset: number, sums?: Sums): Promise<void>;
  /** When this resolves, everything written is on the medium. Throws TARGET_SYNC. */
  sync(): Promise<void>;
  /**
   * Drops the first `length` bytes from the page cache, so that reads come from the medium. Resolves with false if the cache keeps some of
   * them. Without it, reads always come from the medium.
   */
  uncache?(length: number): Promise<boolean>;
  /**
   * The first byte from `offset` on that may not be zero, at most `size`: the holes of a file read as zero and need not be read. Without it,
   * any byte may hold data. Throws TARGET_READ.
   */
  nextData?(offset: number): Promise<number>;
  /**
   * Idempotent. Waits for calls in flight; later ones throw USAGE. A new file appears under its name only now. `size` is that of the disk, if
   * it turned out to be less than the target was opened for: a file ends there. A device stays as it is.
   */
  close(size?: number): Promise<void>;
  /** Closes; a new file is discarded, since it holds only part of a disk. Never throws. */
  abandon(): Promise<void>;
}
