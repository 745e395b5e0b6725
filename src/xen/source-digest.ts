/**
 * Source digest: what a VDI was filled from, as a digest that is noted in it. It covers what is known before the image is read: the identity of
 * each source, and the options that change which disk is read or what the VDI holds.
 */

import { createHash } from 'node:crypto';
import type { SourceIdentity } from '../source/source.ts';
import type { ImportOptions } from './options.ts';

type ContentOptions = Pick<ImportOptions, 'disk' | 'raw' | 'rawBase' | 'rawVdi' | 'sha256'>;

/** Counted up when the same parts come to mean something else. */
const FORM = 1;

/** Hexadecimal SHA-256; undefined if any source has no identity. With a checksum, only an import that compared it counts as the same. */
export function sourceDigest(
  identities: readonly (SourceIdentity | undefined)[],
  { disk = '', raw = false, rawBase = false, rawVdi = false, sha256 = '' }: ContentOptions,
): string | undefined {
  if (identities.includes(undefined)) return undefined;
  const parts = [FORM, identities, disk, raw, rawBase, rawVdi, sha256.toLowerCase()];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
