/** A source that can only be read from start to end. */

import { createHash, type Hash } from 'node:crypto';
import { type Chunks, checkChunk, drain, streamCursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { cancellable } from '../host/cancel.ts';
import { readError } from './file.ts';
import { closers, type Digest, type Source, type SourceOptions } from './source.ts';

/** `length` in bytes, if known. `close` ends the stream, even during a pending read. */
interface StreamFacts {
  readonly length?: number | undefined;
  readonly digest?: Digest | undefined;
  close(): Promise<void>;
}

/**
 * `bytes` as a source. The caller's and the source's own checksum are computed while they are read. Throws USAGE for a digest that Node
 * does not support.
 */
export function streamSource(name: string, bytes: Chunks, { sha256, signal, onRead }: SourceOptions, facts: StreamFacts): Source {
  const { length, digest: ownDigest, close } = facts;
  const sums = digestsOf(sha256, ownDigest).map((digest) => ({ ...digest, hash: hashOf(digest.algorithm) }));
  let read = 0;

  async function* counted(): Chunks {
    try {
      for await (const each of bytes) {
        const chunk = checkChunk(each);
        read += chunk.length;
        for (const { hash } of sums) hash.update(chunk);
        onRead?.(read, length ?? 0);
        yield chunk;
      }
    } catch (cause) {
      throw readError(cause, name, read);
    }
  }

  const cursor = streamCursor(signal === undefined ? counted() : cancellable(counted(), signal), length);
  const closing = closers(close);
  closing.own(() => cursor.close());
  return {
    name,
    cursor,
    ...closing,
    sharesBytesWith: async () => false,
    bytesRead: () => read,
    async finish() {
      await drain(cursor);
      for (const { algorithm, hex, hash } of sums.splice(0)) {
        const found = hash.digest('hex');
        if (found !== hex) throw wrongSum(name, { algorithm, hex: found }, hex);
      }
    },
  };
}

function hashOf(algorithm: string): Hash {
  try {
    return createHash(algorithm);
  } catch (cause) {
    throw new VdiStreamError('USAGE', `checksum algorithm ${algorithm} is not supported`, { cause });
  }
}

/** The digests that a source must have: the caller's `sha256` in hex, and the source's own. */
export function digestsOf(sha256: string | undefined, own: Digest | undefined): Digest[] {
  const requested = sha256 === undefined ? [] : [{ algorithm: 'sha256', hex: sha256.toLowerCase() }];
  return own === undefined ? requested : [...requested, own];
}

export const wrongSum = (name: string, found: Digest, expected: string): VdiStreamError =>
  new VdiStreamError('SOURCE_CHECKSUM', `${name} has the ${label(found.algorithm)} checksum ${found.hex}, expected ${expected}`);

const label = (algorithm: string): string => algorithm.toUpperCase().replace(/^SHA(?=\d)/, 'SHA-');
