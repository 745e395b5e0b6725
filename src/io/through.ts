/** A Node transform stream as a function from chunks to chunks. */

import type { Duplex } from 'node:stream';
import type { Chunks } from '../cursor.ts';

/**
 * Feeds one chunk at a time, and the next only when that one has been taken: a chunk is valid no longer. An error of
 * either side ends both.
 */
export async function* through(stream: Duplex, source: Chunks): Chunks {
  const feeding = feed(stream, source).catch((error: unknown) => {
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const chunk of stream) yield chunk;
    await feeding;
  } finally {
    stream.destroy();
  }
}

async function feed(stream: Duplex, source: Chunks): Promise<void> {
  for await (const chunk of source) {
    // A stream that was destroyed never calls back with success, and its reader has the reason.
    const taken = await new Promise<boolean>((resolve) => {
      stream.once('close', () => resolve(false));
      stream.write(chunk, (error) => {
        stream.removeAllListeners('close');
        resolve(!error);
      });
    });
    if (!taken) return;
  }
  stream.end();
}
