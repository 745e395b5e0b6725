/** The checksum of what is sent to Glance, computed on the way, and its comparison with that of the service. */

import { VdiStreamError } from '../errors.ts';
import { createHasher } from '../host/hasher.ts';
import type { Digest } from '../source/source.ts';
import type { OnWarning } from '../warnings.ts';
import { type ImageRecord, nodeAlgorithm } from './metadata.ts';

/** What was sent. */
export interface SentSums {
  readonly size: number;
  /** Undefined if Node does not have the algorithm. */
  readonly digest: Digest | undefined;
}

interface RunningSums {
  /** One call at a time; the bytes are in use until it settles. */
  update(bytes: Uint8Array): Promise<void>;
  finish(): SentSums;
}

/**
 * The one checksum that the service will have of an image that is still queued, because a second one would cost as much as all the rest of
 * an upload. It is the configured `os_hash_algo` (SHA-512 by default), or for a service without that the MD5.
 */
export function runningSums({ hash }: ImageRecord): RunningSums {
  const algorithm = hash === undefined ? 'md5' : nodeAlgorithm(hash.name ?? 'sha512');
  const hasher = createHasher(algorithm);
  let size = 0;
  return {
    async update(bytes) {
      size += bytes.length;
      await hasher?.update(bytes);
    },
    finish: () => ({ size, digest: hasher && { algorithm, hex: hasher.digest() } }),
  };
}

/**
 * Compares what the service has stored with what was sent. Returns the algorithm of the checksum that matched; undefined if there is none
 * that both sides have. Throws UPLOAD_CHECKSUM.
 */
export function compareStored(name: string, { size, hash, md5 }: ImageRecord, sent: SentSums, warn?: OnWarning): string | undefined {
  const differs = (what: string): VdiStreamError => new VdiStreamError('UPLOAD_CHECKSUM', `${name}: ${what}`);
  if (size !== undefined && size !== sent.size) throw differs(`${sent.size} bytes were sent, but the service has ${size}`);
  const { digest: own } = sent;
  const stored = [hash?.digest, md5].find((digest) => own !== undefined && digest?.algorithm === own.algorithm);
  if (stored !== undefined) {
    if (stored.hex !== own?.hex) throw differs(`the ${stored.algorithm} of the stored image differs from that of the bytes sent`);
    return stored.algorithm;
  }
  const other = hash?.name ?? md5?.algorithm;
  const missing = other === undefined ? 'the service has no checksum' : `the ${other} of the service was not computed here`;
  warn?.({ code: 'UPLOAD_UNCOMPARED', message: `${name}: ${missing}, so what it has stored was not compared` });
  return undefined;
}
