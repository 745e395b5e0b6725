/**
 * A dynamic or differencing VHD: a copy of the footer, header, BAT, blocks in any order (each a sector bitmap and its data), and the
 * footer.
 */

import { SECTOR } from '../bytes.ts';
import type { Cursor } from '../cursor.ts';
import { bitRuns } from '../disk/bits.ts';
import type { Disk, DiskEnd, Range } from '../disk/disk.ts';
import { refuse } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { type Bat, neededBytes } from './bat.ts';
import { readBlocks, type SeeBlock, seeBlocks } from './blocks.ts';
import { watchEmptyTail } from './empty-tail.ts';
import { type Footer, identityOf, warnOfFooter } from './footer.ts';
import type { Header } from './header.ts';
import { layoutOf } from './layout.ts';
import type { BlockMetadata } from './metadata.ts';
import { extentsOf } from './presence.ts';
import { judgeRest, type Remaining } from './rest.ts';
import { readsTogether, smallBlocks } from './small-blocks.ts';
import { watching } from './stray.ts';

/** The cursor is where reading the metadata has left it. */
export function dynamicDisk(cursor: Cursor, metadata: BlockMetadata, warn: OnWarning): Disk {
  const { type, footer, header, bat, end, emptyTail, stray } = metadata;
  warnOfFooter(footer, warn);
  const layout = layoutOf(footer, header, bat);
  const { from, see, seen } = cursor.seekable ? { from: cursor } : watchBlocks(cursor, metadata);

  async function finish(): Promise<DiskEnd> {
    const remaining = { occupied: metadata, end, stray, ...(seen?.() ?? { emptyTail }) };
    await judgeRest(from, remaining, warn, refuse);
    return { identity: identityOf(footer), virtualSize: footer.virtualSize };
  }

  return {
    type,
    virtualSize: footer.virtualSize,
    blockSize: header.blockSize,
    identity: identityOf(footer),
    parent: header.parent,
    allocatedBytes: allocatedBytes(footer, header, bat),
    allocated: () => allocatedRanges(footer, header, bat),
    async skip() {
      if (see !== undefined) await seeBlocks(from, layout, see);
      return finish();
    },
    async *extents(buffers, options = {}) {
      const { signal, wanted, tap } = options;
      if (readsTogether(layout, buffers)) yield* smallBlocks({ cursor: from, layout, buffers, signal, see }, { wanted, tap });
      else yield* extentsOf(readBlocks(from, layout, buffers, options, see), { late: type === 'differencing', tap });
      return finish();
    },
  };
}

/** What is looked at while the blocks of a stream pass. */
interface Watched {
  /** The stream, with an eye on its gaps. */
  readonly from: Cursor;
  readonly see: SeeBlock;
  readonly seen: () => Pick<Remaining, 'emptyTail' | 'lastSector'>;
}

/** What of the metadata is needed for that. */
type Layered = Pick<BlockMetadata, 'footer' | 'header' | 'bat' | 'batmap' | 'stray'>;

export function watchBlocks(cursor: Cursor, { footer, header, bat, batmap, stray }: Layered): Watched {
  const watch = watchEmptyTail(bat);
  let lastSector: Uint8Array | undefined;
  return {
    from: watching(cursor, { footer, header, bat, batmap }, stray),
    see(index, bitmap, data) {
      watch.see(index, bitmap);
      if (index === bat.placed.count - 1 && data !== undefined) lastSector = Uint8Array.from(data.subarray(-SECTOR));
    },
    seen: () => ({ emptyTail: footer.type === 'dynamic' ? watch.tail() : undefined, lastSector }),
  };
}

function allocatedBytes(footer: Footer, header: Header, bat: Bat): number {
  const last = header.blocks - 1;
  const missing = header.blockSize - neededBytes(last, footer, header);
  return bat.placed.count * header.blockSize - (bat.has(last) ? missing : 0);
}

/** The allocated blocks: ascending and merged. */
export function* allocatedRanges(footer: Footer, header: Header, { present }: Bat): Generator<Range> {
  for (const { start, end, set } of bitRuns(present, 0, header.blocks)) {
    const offset = start * header.blockSize;
    if (set) yield { offset, length: Math.min(end * header.blockSize, footer.virtualSize) - offset };
  }
}
