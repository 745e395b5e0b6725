/** ReadableDisk: a disk that can be read at any place, such as a device, a raw file, or a chain of VHD files. */

import { leftOf, withLeft } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import type { Range } from './disk.ts';

/** Offsets and lengths are in bytes. */
export interface ReadableDisk {
  /** For messages. */
  readonly name: string;
  /** The virtual size, a multiple of 512. */
  readonly size: number;
  /** The smallest unit that can be read: what `read` gets starts at a multiple of it, and so do buffers. */
  readonly align: number;
  /** Fills `into`; what lies past the end of the disk reads as zero. Throws SOURCE_READ, or an error of its kind. */
  read(into: Uint8Array, offset: number): Promise<void>;
  /** Ascending ranges outside of which the disk is known to read as zero. */
  mayHold(signal?: AbortSignal): AsyncIterable<Range>;
  /** Differs from an earlier answer if the disk may have been written between the two; undefined if that cannot be found out. */
  version(): Promise<string | undefined>;
  /** Whether `path` is this disk, or a file or device with the same bytes. */
  sharesBytesWith(path: string): Promise<boolean>;
  close(): Promise<void>;
}

/** Anything that can be exported has one: a path, several files of a chain, a VDI. */
export interface DiskOpener {
  /** For messages. */
  readonly name: string;
  /** The caller closes the disk. Throws SOURCE_OPEN, DISK_EMPTY, or the errors of its kind. */
  open(options: { readonly signal?: AbortSignal | undefined; readonly onWarning?: OnWarning | undefined }): Promise<ReadableDisk>;
}

/** Throws the first error, with what closing all of them could not undo. */
export async function closeDisks(disks: readonly ReadableDisk[]): Promise<void> {
  const outcomes = await Promise.allSettled(disks.map((disk) => disk.close()));
  const [first, ...more] = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  if (first !== undefined) throw withLeft(first, more.flatMap(leftOf));
}
