/** A source whose reads are counted as work of the stage `read`. */

import type { Cursor } from '../cursor.ts';
import { type Stages, timedChunks } from '../host/stages.ts';
import type { Source } from './source.ts';

export function timedSource(source: Source, stages: Stages): Source {
  return {
    name: source.name,
    identity: source.identity,
    cursor: timedCursor(source.cursor, stages),
    sharesBytesWith: (path) => source.sharesBytesWith(path),
    bytesRead: () => source.bytesRead(),
    finish: () => stages.during('read', source.finish()),
    own: (close) => source.own(close),
    close: () => source.close(),
  };
}

function timedCursor(cursor: Cursor, stages: Stages): Cursor {
  const read = <T>(work: Promise<T>): Promise<T> => stages.during('read', work);
  return {
    seekable: cursor.seekable,
    get length() {
      return cursor.length;
    },
    get position() {
      return cursor.position;
    },
    ...(cursor.isDevice !== undefined && { isDevice: cursor.isDevice }),
    ...(cursor.nextData && { nextData: async (position) => (await cursor.nextData?.(position)) ?? position }),
    peek: (count) => read(cursor.peek(count)),
    read: (count) => read(cursor.read(count)),
    fill: (...into) => read(cursor.fill(...into)),
    // A cursor that seeks only sets its position.
    moveTo: (position) => (cursor.seekable ? cursor.moveTo(position) : read(cursor.moveTo(position))),
    chunks: () => timedChunks(stages, 'read', cursor.chunks()),
  };
}
