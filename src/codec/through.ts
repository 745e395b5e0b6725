/** Bytes through a pair of Node streams: in at one, out at the other. */

import type { Readable, Writable } from 'node:stream';
import type { Chunks } from '../cursor.ts';

/**
 * Writes one chunk at a time, and asks for the next only when that one has been taken: a chunk is valid no longer. Throws an error of the
 * source as it is, else that of the streams. Leaving early destroys both streams.
 */
export async function* through(into: Writable, out: Readable, source: Chunks): Chunks {
  let failure: { readonly error: unknown } | undefined;
  feed(into, source).catch((error: unknown) => {
    failure = { error };
    out.destroy();
  });
  try {
    for await (const chunk of out) yield chunk;
  } catch (error) {
    failure ??= { error };
  } finally {
    into.destroy();
    out.destroy();
  }
  if (failure !== undefined) throw failure.error;
}

async function feed(into: Writable, source: Chunks): Promise<void> {
  for await (const chunk of source) {
    // A destroyed stream takes nothing any more, and its reader gets the reason.
    const taken = await new Promise<boolean>((resolve) => {
      const gone = (): void => resolve(false);
      into.once('close', gone);
      into.write(chunk, (error) => {
        into.off('close', gone);
        resolve(!error);
      });
    });
    if (!taken) return;
  }
  into.end();
}
