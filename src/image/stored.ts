/** A disk of an image as it is stored: a name, a place in a chain, and its bytes. */

import type { Cursor } from '../cursor.ts';
import type { Disk } from '../disk/disk.ts';
import type { Extent } from '../disk/extent.ts';
import { inMember } from '../errors.ts';
import type { Place } from '../ova/select.ts';

/** It is read to its end, or skipped, before the next one of the image is asked for. */
export interface StoredDisk {
  /** Undefined for a bare disk. */
  readonly member: string | undefined;
  /** For messages: the member, or the source. */
  readonly name: string;
  /** Where it stands in a chain, if it is a layer of one. */
  readonly place: Place | undefined;
  /** Whether the layers of its chain come leaf first, in whatever order they are stored. */
  readonly leafFirst: boolean;
  /** It has no format. */
  readonly isRaw: boolean;
  /** Its bytes as they are stored. */
  readonly body: Cursor;
  /** Its bytes as they are meant: not gzipped any more. */
  content(): Promise<Cursor>;
  /** Reads the metadata, once. `from` holds the same bytes as `body` where that has been used up. */
  open(from?: Cursor): Promise<Disk>;
}

/** The same for all layers of one disk. */
export const diskOf = ({ place, name }: Pick<StoredDisk, 'place' | 'name'>): string => place?.chain ?? name;

/** A member's disk, whose errors name the member. */
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
      const extents = disk.extents(buffers, options);
      try {
        for (;;) {
          const next = await extents.next();
          if (next.done) return next.value;
          yield named(next.value);
        }
      } catch (error) {
        throw inMember(member, error);
      } finally {
        await extents.return(undefined);
      }
    },
  };
}
