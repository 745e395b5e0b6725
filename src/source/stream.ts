/** A source that can only be read from its start to its end. */

import { createHash, type Hash } from 'node:crypto';
import { type Chunks, drain, streamCursor } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { cancellable } from '../host/cancel.ts';
import { readError } from './file.ts';
import { closers, type Digest, type Source, type SourceOptions } from './source.ts';

/** `length` in bytes, where it is known. `close` ends the stream, even while a read of it waits. */
interface StreamFacts {
  readonly length?: number | undefined;
  readonly digest?: Digest | undefined;
  close(): Promise<void>;
}

/**
 * `bytes` as a source. Their checksums, the caller's and the source's own, are made while they are read. Throws USAGE for a digest that
 * cannot be made here.
 */
export function streamSource(name: string, bytes: Chunks, { sha256, signal, onRead }: SourceOptions, facts: StreamFacts): Source {
  const { length, digest: ownDigest, close } = facts;
  const sums = digestsOf(sha256, ownDigest).map((digest) => ({ ...digest, hash: hashOf(digest.algorithm) }));
  let read = 0;

  async function* counted(): Chunks {
    try {
      for await (const chunk of bytes) {
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
    isFile: async () => false,
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
    throw new VdiStreamError('USAGE', `a checksum of the kind ${algorithm} cannot be made here`, { cause });
  }
}

/** What the bytes of a source must hash to: by the caller, `sha256` in hex, and by the source itself. */
export function digestsOf(sha256: string | undefined, own: Digest | undefined): Digest[] {
  const given = sha256 === undefined ? [] : [{ algorithm: 'sha256', hex: sha256.toLowerCase() }];
  return own === undefined ? given : [...given, own];
}

export const wrongSum = (name: string, found: Digest, expected: string): VdiStreamError =>
  new VdiStreamError('SOURCE_CHECKSUM', `${name} has the ${label(found.algorithm)} ${found.hex}, not ${expected}`);

const label = (algorithm: string): string => algorithm.toUpperCase().replace(/^SHA(?=\d)/, 'SHA-');
