/** An image that goes through a cache. */

import { expect } from 'vitest';
import type { Opener, SourceOptions } from '../../src/source/source.ts';
import { noise } from './chunks.ts';
import { digestOf, nameOf, use } from './image-opener.ts';
import { openFilesIn } from './open-files.ts';

export const MiB = 2 ** 20;
export const image = Buffer.from(noise(300_000, 1));
export const other = Buffer.from(noise(200_000, 2));

export const entry = nameOf(digestOf(image));

/** Fails if the bytes are not those of `image`, or anything stays open. */
export async function expectImage(from: Opener, folder: string, options: SourceOptions = {}, size = MiB): Promise<void> {
  const found = await use(from, folder, options, size);
  expect(found.equals(image)).toBe(true);
  expect(openFilesIn(folder)).toEqual([]);
}
