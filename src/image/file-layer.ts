/** FileLayer: a VHD in a file or on a device, readable at any place: a layer of a chain, or a disk on its own; or the raw base of a chain. */

import { roundUp, SECTOR } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import { inMember, isOfImage, VdiStreamError } from '../errors.ts';
import type { ReadableFile } from '../source/readable-file.ts';
import { vhdDisk } from '../vhd/decode.ts';
import { readMetadata } from '../vhd/metadata.ts';
import { type PlacedRun, type Placement, placementOf } from '../vhd/placement.ts';
import type { OnWarning } from '../warnings.ts';
import type { LayerFacts } from './layers.ts';

export interface FileLayer {
  readonly file: ReadableFile;
  readonly facts: LayerFacts;
  /** As those of a Placement. */
  runs(ranges: readonly Range[]): Promise<readonly PlacedRun[]>;
  allocated(): Iterable<Range>;
  /**
   * That of the file. If that is not the one with which the metadata was read, reads the metadata again: the table may have new blocks.
   * Throws EXPORT_CHANGED if it is a different VHD by now.
   */
  version(): Promise<string | undefined>;
}

/** Bitmaps of a layer that are kept: those of 512 MiB in blocks of 2 MiB. */
const CACHED_BITMAPS = 128 * 1024;

/** Checks the metadata, and the footer at the end. Throws what `decodeVhd` throws, with the path as the member. */
export async function openVhdLayer(file: ReadableFile, onWarning: OnWarning): Promise<FileLayer> {
  const warn: OnWarning = (warning) => onWarning({ ...warning, member: file.name });
  let current = await read(file, warn);
  const { facts } = current;
  return {
    file,
    facts,
    runs: (ranges) => current.placement.runs(ranges),
    allocated: () => current.placement.allocated(),
    async version() {
      const version = await file.version();
      if (version !== undefined && version === current.version) return version;
      const again = await read(file, () => {}).catch((cause: unknown) => Promise.reject(isDamage(cause) ? changed(file, cause) : cause));
      if (!isSame(facts, again.facts)) throw changed(file);
      current = again;
      return current.version;
    },
  };
}

/** The raw base of a chain. Its last sector is padded with zeros. */
export function rawLayer(file: ReadableFile): FileLayer {
  const virtualSize = roundUp(file.size, SECTOR);
  return {
    file,
    facts: { type: 'raw', identity: undefined, parent: undefined, virtualSize },
    async runs(ranges) {
      const runs = ranges.flatMap(({ offset, length }): PlacedRun[] => {
        const stored = Math.max(0, Math.min(length, file.size - offset));
        const padding = { offset: offset + stored, length: length - stored, at: undefined };
        return [{ offset, length: stored, at: offset }, padding];
      });
      return runs.filter(({ length }) => length > 0);
    },
    allocated: () => [{ offset: 0, length: virtualSize }],
    version: () => file.version(),
  };
}

/** What was read of a layer, and the version of the file before that. */
interface Content {
  readonly version: string | undefined;
  readonly facts: LayerFacts;
  readonly placement: Placement;
}

async function read(file: ReadableFile, warn: OnWarning): Promise<Content> {
  try {
    // Before the metadata: what is written meanwhile changes the next version.
    const version = await file.version();
    const cursor = file.cursor();
    const metadata = await readMetadata(cursor);
    if (metadata.type === 'fixed' && file.kind === 'block') {
      // The end of a device is where its last user left it, unlike that of a file.
      throw new VdiStreamError('VHD_FOOTERS_DIFFER', 'the device begins with a footer of a dynamic VHD, but ends in one of a fixed VHD', {
        offset: metadata.end?.offset,
      });
    }
    const disk = vhdDisk(cursor, metadata, warn);
    await disk.skip();
    // Not the disk itself: it keeps the table in a second order, which is needed only to stream it.
    const { type, identity, parent, virtualSize } = disk;
    const placement = placementOf(metadata, virtualSize, (into, at) => file.read(into, at), CACHED_BITMAPS);
    return { version, facts: { type, identity, parent, virtualSize }, placement };
  } catch (error) {
    throw inMember(file.name, error);
  }
}

const isSame = (a: LayerFacts, b: LayerFacts): boolean =>
  a.type === b.type &&
  a.virtualSize === b.virtualSize &&
  a.identity?.uniqueId === b.identity?.uniqueId &&
  a.parent?.uniqueId === b.parent?.uniqueId;

const isDamage = (cause: unknown): boolean => cause instanceof VdiStreamError && isOfImage(cause);

function changed({ name }: ReadableFile, cause?: unknown): VdiStreamError {
  return new VdiStreamError('EXPORT_CHANGED', `${name} was replaced by a different VHD, or damaged, during the export`, {
    device: name,
    cause,
  });
}
