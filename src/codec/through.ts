/** Bytes through a pair of Node streams: into one, out of the other. */

import type { Readable, Writable } from 'node:stream';
import type { Chunks } from '../cursor.ts';

/**
 * Writes one chunk at a time, and requests the next only when the stream has consumed it, since a chunk is valid no longer than that.
 * Throws the error of the source if it failed, else that of the streams. Leaving early destroys both streams.
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
    // A destroyed stream never calls back, and its reader gets the error.
    const taken = await new Promise<boolean>((resolve) => {
      const onClose = (): void => resolve(false);
      into.once('close', onClose);
      into.write(chunk, (error) => {
        into.off('close', onClose);
        resolve(!error);
      });
    });
    if (!taken) return;
  }
  into.end();
}
