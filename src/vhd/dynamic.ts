/**
 * A dynamic or differencing VHD: a copy of the footer, header, BAT, blocks in any order (each a sector bitmap and its data), and the
 * footer.
 */

import type { Cursor } from '../cursor.ts';
import type { Disk, Identity, Range } from '../disk/disk.ts';
import type { OnWarning } from '../warnings.ts';
import { type Bat, neededBytes } from './bat.ts';
import { readBlocks } from './blocks.ts';
import { checkEnd, readEnd } from './end.ts';
import { type Footer, identityOf, warnOfFooter } from './footer.ts';
import type { Header } from './header.ts';
import { layoutOf } from './layout.ts';
import type { BlockMetadata } from './metadata.ts';
import { extentsOf } from './presence.ts';

/** The cursor is where reading the metadata has left it. */
export function dynamicDisk(cursor: Cursor, { type, footer, header, bat }: BlockMetadata, warn: OnWarning): Disk {
  warnOfFooter(footer, warn);
  const identity = identityOf(footer);

  async function finish(): Promise<Identity> {
    const found = await readEnd(cursor);
    checkEnd(found.bytes, found.offset, footer, warn);
    return identity;
  }

  return {
    type,
    virtualSize: footer.virtualSize,
    blockSize: header.blockSize,
    identity,
    parent: header.parent,
    allocatedBytes: allocatedBytes(footer, header, bat),
    allocated: () => allocatedRanges(footer, header, bat.has),
    skip: finish,
    async *extents(buffers, options = {}) {
      yield* extentsOf(readBlocks(cursor, layoutOf(footer, header, bat), buffers, options), type === 'differencing');
      return finish();
    },
  };
}

function allocatedBytes(footer: Footer, header: Header, bat: Bat): number {
  const last = header.blocks - 1;
  const missing = header.blockSize - neededBytes(last, footer, header);
  return bat.placed.count * header.blockSize - (bat.has(last) ? missing : 0);
}

/** The allocated blocks: ascending and merged. */
export function* allocatedRanges(footer: Footer, header: Header, has: Bat['has']): Generator<Range> {
  let start = -1;
  for (let block = 0; block <= header.blocks; block++) {
    const allocated = block < header.blocks && has(block);
    if (allocated && start < 0) start = block;
    if (!allocated && start >= 0) {
      const end = Math.min(block * header.blockSize, footer.virtualSize);
      yield { offset: start * header.blockSize, length: end - start * header.blockSize };
      start = -1;
    }
  }
}
