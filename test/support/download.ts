/** An image that is downloaded, and what its server answers in turn. */

import { createHash } from 'node:crypto';
import type { SourceInput } from '../../src/engine/input.ts';
import { openSource } from '../../src/engine/open.ts';
import { type DownloadOptions, httpImage } from '../../src/http/download.ts';
import type { SourceOptions } from '../../src/source/source.ts';
import { collect, noise } from './chunks.ts';
import type { Reply, Seen } from './http-server.ts';

export const image = noise(300_000, 1);
export const other = noise(300_000, 2);
export const md5 = createHash('md5').update(image).digest('hex');
export const digest = { algorithm: 'md5', hex: md5 };
export const ETAG = { etag: '"one"' };

/** Does not wait. */
export const wait = async (): Promise<void> => {};
export const fast = (urls: string | readonly string[], options: DownloadOptions = {}): SourceInput => httpImage(urls, { wait, ...options });

export async function fetched(input: SourceInput, options: SourceOptions = {}): Promise<Buffer> {
  const source = await openSource(input, options);
  try {
    const bytes = await collect(source.cursor.chunks());
    await source.finish();
    return bytes;
  } finally {
    await source.close();
  }
}

/** Replies in turn, and what goes without saying after the last one. */
export const inTurn =
  (...replies: readonly Reply[]) =>
  (_: Seen, number: number): Reply =>
    replies[number] ?? {};

export const starts = (requests: readonly Seen[]): (string | undefined)[] => requests.map(({ headers }) => headers.range?.toString());
