/** Checksums of what is sent to Glance, computed on the way, and their comparison with those of the service. */

import { createHash, type Hash } from 'node:crypto';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import type { ImageRecord } from './metadata.ts';

/** Bytes hashed before others get a turn: about 4 ms for SHA-512 and MD5 together. */
export const HASHED = MiB;

/** What was sent. */
export interface SentSums {
  readonly size: number;
  /** By the name of the algorithm in node:crypto. */
  readonly digests: ReadonlyMap<string, string>;
}

interface RunningSums {
  update(bytes: Uint8Array): void;
  finish(): SentSums;
}

/** Algorithms that Node does not have, or must not use, as MD5 may be (FIPS), are left out. */
export function runningSums(algorithms: readonly string[]): RunningSums {
  const hashes = new Map<string, Hash>();
  for (const algorithm of algorithms) {
    const hash = hashOf(algorithm);
    if (hash !== undefined) hashes.set(algorithm, hash);
  }
  let size = 0;
  return {
    update(bytes) {
      size += bytes.length;
      for (const hash of hashes.values()) hash.update(bytes);
    },
    finish: () => ({ size, digests: new Map([...hashes].map(([algorithm, hash]) => [algorithm, hash.digest('hex')])) }),
  };
}

function hashOf(algorithm: string): Hash | undefined {
  try {
    return createHash(algorithm);
  } catch {
    return undefined;
  }
}

/**
 * Compares what the service has stored with what was sent. Returns the algorithm of the strongest checksum that matched; undefined if there
 * is none that both sides have. Throws UPLOAD_CHECKSUM.
 */
export function compareStored(name: string, { size, hash, md5 }: ImageRecord, sent: SentSums, warn?: OnWarning): string | undefined {
  const differs = (what: string): VdiStreamError => new VdiStreamError('UPLOAD_CHECKSUM', `${name}: ${what}`);
  if (size !== undefined && size !== sent.size) throw differs(`${sent.size} bytes were sent, but the service has ${size}`);
  const compared = [hash?.digest, md5].flatMap((digest) => {
    const own = digest && sent.digests.get(digest.algorithm);
    if (digest === undefined || own === undefined) return [];
    if (own !== digest.hex) throw differs(`the ${digest.algorithm} of the stored image differs from that of the bytes sent`);
    return [digest.algorithm];
  });
  const [strongest] = compared;
  if (strongest === undefined || (hash !== undefined && !compared.includes(hash.digest?.algorithm ?? ''))) {
    const missing = hash === undefined ? 'the service has no checksum' : `the ${hash.name} of the service was not computed here`;
    const rest = strongest === undefined ? ', so what it has stored was not compared' : `; its ${strongest} matches`;
    warn?.({ code: 'UPLOAD_UNCOMPARED', message: `${name}: ${missing}${rest}` });
  }
  return strongest;
}
