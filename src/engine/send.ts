/** Send: the bytes of an image into a sink. */

import { checkOpenedSink } from '../arguments.ts';
import type { Chunks } from '../cursor.ts';
import { assert, rejection, throwIfCancelled } from '../errors.ts';
import type { SinkOpener, SinkOptions } from '../sink/sink.ts';

/** Resolves with the number of bytes once the sink has all of them safe. */
export async function send(chunks: Chunks, to: SinkOpener, options: SinkOptions): Promise<number> {
  const { length, signal } = options;
  const sink = await to.open(options);
  checkOpenedSink(to.name, sink);
  let sent = 0;
  try {
    for await (const chunk of chunks) {
      throwIfCancelled(signal);
      await sink.write(chunk);
      sent += chunk.length;
    }
    throwIfCancelled(signal);
    assert(length === undefined || sent === length, 'an image has the length that was announced');
    await sink.finish();
    return sent;
  } catch (error) {
    await sink.abandon();
    throw rejection(error, signal);
  }
}
