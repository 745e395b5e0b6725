/** A disk as an image stores it: a name, a position in a chain, and its bytes. */

import type { Cursor } from '../cursor.ts';
import type { Disk, DiskEnd } from '../disk/disk.ts';
import type { Extent } from '../disk/extent.ts';
import { inMember } from '../errors.ts';
import type { Place } from '../ova/select.ts';

/** Valid until the next disk of the image is requested. */
export interface StoredDisk {
  /** Undefined for a bare disk. */
  readonly member: string | undefined;
  /** For messages: the member, or the source. */
  readonly name: string;
  /** Its position in a chain; undefined if it is not part of one. */
  readonly place: Place | undefined;
  /** Whether the layers of its chain come leaf first, regardless of the order in the archive. */
  readonly leafFirst: boolean;
  /** Whether its name or the caller says that the disk is raw. */
  readonly isRaw: boolean;
  /** Its bytes as stored. */
  readonly body: Cursor;
  /** Its bytes, decompressed. */
  content(): Promise<Cursor>;
  /** Reads the metadata, once. `from` has the same bytes as `body`, for when `body` has been consumed. */
  open(from?: Cursor): Promise<Disk>;
}

/** Sets the member on the errors of its disk. */
export function namedDisk(member: string, disk: Disk): Disk {
  const named = (extent: Extent): Extent =>
    extent.kind === 'data' ? { ...extent, ready: extent.ready.catch((error: unknown) => Promise.reject(inMember(member, error))) } : extent;
  return {
    ...disk,
    async skip() {
      try {
        return await disk.skip();
      } catch (error) {
        throw inMember(member, error);
      }
    },
    async *extents(buffers, options) {
      const extents: AsyncIterator<Extent, DiskEnd, void> = disk.extents(buffers, options);
      try {
        for (;;) {
          const next = await extents.next();
          if (next.done) return next.value;
          yield named(next.value);
        }
      } catch (error) {
        throw inMember(member, error);
      } finally {
        await extents.return?.();
      }
    },
  };
}
