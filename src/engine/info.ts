/** What an image holds, without writing it anywhere. */

import { VdiStreamError, type Warn, type Warning } from '../errors.ts';
import type { DiskType, Range } from '../extent.ts';
import type { Compression } from '../io/compression.ts';
import { openSource, type SourceInput } from '../io/source.ts';
import { noDisk, openImage } from './image.ts';

export interface InfoOptions {
  /** Look only at the member of this name. */
  readonly disk?: string | undefined;
  /** Stop as soon as the virtual size of the first disk is known; the rest of the source is not looked at. */
  readonly quick?: boolean | undefined;
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: Warn | undefined;
}

/** Sizes in bytes. */
export interface DiskInfo {
  readonly member: string | undefined;
  readonly type: DiskType;
  readonly virtualSize: number;
  readonly blockSize: number | undefined;
  readonly creator: string | undefined;
  /** Bytes of the disk that the image holds, at block granularity. */
  readonly allocatedBytes: number;
  /** Where they lie: MAP_CELLS numbers from 0 (nothing) to 1 (all of this part of the disk). */
  readonly map: readonly number[];
}

export interface ImageInfo {
  readonly kind: 'vhd' | 'tar';
  readonly compression: Compression;
  readonly disks: readonly DiskInfo[];
  /** Of the one disk, the number for `xe vdi-create`; undefined where there are several. */
  readonly virtualSize: number | undefined;
  readonly warnings: readonly Warning[];
}

/** Parts that the map cuts a disk into. */
export const MAP_CELLS = 64;

/**
 * Reads the image to its end (with `quick`, only as far as the first virtual size) and tells what is in it. An image that
 * `info` reads without an error may still hold damaged data: only its structure is looked at.
 */
export async function info(input: SourceInput, options: InfoOptions = {}): Promise<ImageInfo> {
  const warnings: Warning[] = [];
  const warn: Warn = (warning) => {
    warnings.push(warning);
    options.onWarning?.(warning);
  };
  if (options.quick && options.sha256 !== undefined) {
    throw new VdiStreamError('USAGE', 'a quick look does not read what a SHA-256 is checked with');
  }
  const source = await openSource(input, options);
  try {
    const image = await openImage(source, { disk: options.disk, warn });
    const disks: DiskInfo[] = [];
    for await (const { disk, member } of image.disks()) {
      const { type, virtualSize, blockSize, allocatedBytes } = disk;
      const map = mapOf(disk.allocated(), virtualSize);
      if (!options.quick) await disk.skip();
      // Only now: the footer that ends a fixed disk in a stream has gone by.
      disks.push({ member, type, virtualSize, blockSize, creator: disk.creator, allocatedBytes, map });
      if (options.quick) break;
    }
    if (disks.length === 0) throw noDisk(source.name, options.disk);
    const { kind, compression } = image;
    return { kind, compression, disks, virtualSize: disks.length === 1 ? disks[0]?.virtualSize : undefined, warnings };
  } finally {
    await source.close();
  }
}

function mapOf(ranges: Iterable<Range>, size: number): number[] {
  const cell = size / MAP_CELLS;
  const map = new Array<number>(MAP_CELLS).fill(0);
  for (const { offset, length } of ranges) {
    const last = Math.min(MAP_CELLS - 1, Math.floor((offset + length - 1) / cell));
    for (let index = Math.floor(offset / cell); index <= last; index++) {
      const overlap = Math.min(offset + length, (index + 1) * cell) - Math.max(offset, index * cell);
      map[index] = Math.min(1, (map[index] ?? 0) + Math.max(0, overlap) / cell);
    }
  }
  return map;
}
