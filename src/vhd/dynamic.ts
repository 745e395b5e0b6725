/**
 * A dynamic or differencing VHD: a copy of the footer, header, BAT, blocks in any order (each a sector bitmap and its data), and the
 * footer.
 */

import type { Cursor } from '../cursor.ts';
import type { Disk, Identity, Range } from '../disk/disk.ts';
import type { OnWarning } from '../warnings.ts';
import { type Bat, firstByte, neededBytes, readBat, readTable } from './bat.ts';
import { readBatmap } from './batmap.ts';
import { readBlocks } from './blocks.ts';
import { checkEnd, readEnd } from './end.ts';
import { type Footer, identityOf, warnOfFooter } from './footer.ts';
import { HEADER_SIZE, type Header, headerOffset, parseHeader } from './header.ts';
import { layoutOf } from './layout.ts';
import { extentsOf } from './presence.ts';

/** Reads the metadata. The cursor is just after the copy of the footer, which `footer` was parsed from. */
export async function dynamicDisk(cursor: Cursor, footer: Footer, warn: OnWarning): Promise<Disk> {
  await cursor.moveTo(headerOffset(footer));
  const header = parseHeader(await cursor.read(HEADER_SIZE), footer);
  const bat = readBat(await readTable(cursor, header), footer, header, cursor.length);
  await readBatmap(cursor, footer, header, firstByte(bat));
  warnOfFooter(footer, warn);
  const differencing = footer.type === 'differencing';
  const identity = identityOf(footer);

  async function finish(): Promise<Identity> {
    const found = await readEnd(cursor);
    checkEnd(found.bytes, found.offset, footer, warn);
    return identity;
  }

  return {
    type: differencing ? 'differencing' : 'dynamic',
    virtualSize: footer.virtualSize,
    blockSize: header.blockSize,
    identity,
    parent: header.parent,
    allocatedBytes: allocatedBytes(footer, header, bat),
    allocated: () => ranges(footer, header, (block) => bat.has(block)),
    skip: finish,
    async *extents(buffers, options = {}) {
      yield* extentsOf(readBlocks(cursor, layoutOf(footer, header, bat), buffers, options), differencing);
      return finish();
    },
  };
}

function allocatedBytes(footer: Footer, header: Header, bat: Bat): number {
  const last = header.blocks - 1;
  const missing = header.blockSize - neededBytes(last, footer, header);
  return bat.placed.count * header.blockSize - (bat.has(last) ? missing : 0);
}

function* ranges(footer: Footer, header: Header, has: (block: number) => boolean): Generator<Range> {
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
