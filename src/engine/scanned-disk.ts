/** A ReadableDisk as a Disk: a stream of extents in the order of the disk. */

import { roundUp } from '../bytes.ts';
import type { Disk, Range } from '../disk/disk.ts';
import type { Buffers, DataExtent, Extent } from '../disk/extent.ts';
import type { ReadableDisk } from '../disk/readable.ts';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { Pool } from '../host/pool.ts';
import type { OnWarning } from '../warnings.ts';
import { type BlockMap, firstOutside } from './scan.ts';

interface ScannedOptions {
  /** The blocks to read; without it, everything is read. */
  readonly map: BlockMap | undefined;
  /** The version of the disk before the map was made, or before anything was read. */
  readonly version: string | undefined;
  readonly pool: Pool;
  readonly warn: OnWarning;
}

/** After its last extent, throws EXPORT_CHANGED if a block outside the map holds data by now. */
export function scannedDisk(disk: ReadableDisk, { map, version, pool, warn }: ScannedOptions): Disk {
  const { size } = disk;
  const everything = [{ offset: 0, length: size, inside: true }];
  const runs = (): Iterable<Range & { readonly inside: boolean }> => map?.runs() ?? everything;

  async function finish(signal: AbortSignal | undefined): Promise<void> {
    const current = await disk.version();
    if (current !== undefined && current === version) return;
    // Nobody else says whether the disk was written, so what the map left out is read again.
    const offset = map && (await firstOutside(disk, map, { pool, signal }));
    if (offset !== undefined) {
      throw new VdiStreamError('EXPORT_CHANGED', `${disk.name} was written to: this byte was zero when the export began`, {
        device: disk.name,
        offset,
      });
    }
    if (current === undefined || version === undefined) return;
    warn({ code: 'DISK_WRITTEN', message: `${disk.name} was written to during the export, so the image may mix two states of it` });
  }

  return {
    type: 'raw',
    virtualSize: size,
    blockSize: undefined,
    identity: undefined,
    parent: undefined,
    allocatedBytes: map?.bytes ?? size,
    *allocated() {
      for (const { offset, length, inside } of runs()) if (inside) yield { offset, length };
    },
    skip: async () => ({ identity: undefined, virtualSize: size }),
    async *extents(buffers, { signal } = {}) {
      for (const { offset, length, inside } of runs()) {
        if (inside) yield* read(disk, { offset, length }, buffers, signal);
        else yield { kind: 'hole', offset, length };
      }
      await finish(signal);
      return { identity: undefined, virtualSize: size };
    },
  };
}

/** Does not wait for the reads, so that whoever asks for extents in advance has several in flight. */
async function* read(
  disk: ReadableDisk,
  { offset, length }: Range,
  buffers: Buffers,
  signal: AbortSignal | undefined,
): AsyncGenerator<Extent, void, void> {
  for (let at = 0; at < length; at += buffers.size) {
    throwIfCancelled(signal);
    const lease = await buffers.acquire(signal);
    const count = Math.min(buffers.size, length - at);
    const ready = disk.read(lease.bytes.subarray(0, roundUp(count, disk.align)), offset + at);
    ready.catch(() => {}); // the consumer, which awaits it, gets the error
    const extent: DataExtent = {
      kind: 'data',
      offset: offset + at,
      length: count,
      bytes: lease.bytes.subarray(0, count),
      ready,
      release: () => lease.release(),
    };
    yield extent;
  }
}
