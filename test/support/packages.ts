/** OVF packages made by hand: their metadata files, and the ways to pass one to a reader. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { info, type SourceInput, type WriteOptions, type WriteResult, writeDisk } from '../../src/index.ts';
import { chunked, stored } from './chains.ts';
import { noise } from './chunks.ts';
import { failure } from './failure.ts';
import { testFolder } from './folder.ts';
import { dynamicVhd } from './make-vhd.mjs';
import { tarOf } from './tar.ts';

export type Entry = readonly [name: string, body: Uint8Array];

export interface Sample {
  readonly vhd: Buffer;
  readonly content: Buffer;
}

/** A small dynamic disk that is full of noise, another for each seed. */
export function sample(seed: number): Sample {
  const blockSize = 64 << 10;
  const content = Buffer.from(noise(3 * blockSize, seed));
  const blocks = new Map([0, 1, 2].map((block) => [block, content.subarray(block * blockSize, (block + 1) * blockSize)]));
  return { vhd: dynamicVhd({ size: content.length, blockSize, blocks, id: seed }), content };
}

/** The descriptor of disks with these hrefs; `more` are further attributes of each File. */
export function ovfOf(hrefs: readonly string[], more = ''): Buffer {
  const files = hrefs.map((href, index) => `<File ovf:id="f${index}" ovf:href="${href}" ${more}/>`);
  const disks = hrefs.map((_, index) => `<Disk ovf:diskId="d${index}" ovf:fileRef="f${index}" ovf:capacity="1"/>`);
  return Buffer.from(
    `<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References>${files.join('')}</References><DiskSection><Info/>${disks.join('')}</DiskSection></Envelope>`,
  );
}

export function manifestOf(entries: readonly Entry[], algorithm: 'sha1' | 'sha256' | 'sha512' = 'sha256'): Buffer {
  const line = ([name, body]: Entry): string =>
    `${algorithm.toUpperCase()}(${name})= ${createHash(algorithm).update(body).digest('hex')}\n`;
  return Buffer.from(entries.map(line).join(''));
}

/** The same entries with one bit changed in the middle of the one of this name. */
export const flipped = (entries: readonly Entry[], name: string): Entry[] =>
  entries.map(([other, body]) => {
    const changed = Buffer.from(body);
    if (other === name) changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 0x10;
    return [other, changed];
  });

export interface Way {
  readonly name: string;
  /** The OVF, the manifest and the certificate can be read before the disks, wherever they are. */
  readonly jumps: boolean;
  readonly input: () => SourceInput;
}

/** An archive as everything that can be given. */
export function waysOf(folder: string, entries: readonly Entry[]): Way[] {
  const tar = tarOf(entries);
  const packed = gzipSync(tar, { level: 1 });
  const [path, packedPath] = [stored(folder, 'box.ova', tar), stored(folder, 'box.tar.gz', packed)];
  return [
    { name: 'a file', jumps: true, input: () => path },
    { name: 'a compressed file', jumps: false, input: () => packedPath },
    { name: 'a stream', jumps: false, input: () => chunked(tar, [3000, 700]) },
    { name: 'a compressed stream', jumps: false, input: () => chunked(packed, [999]) },
  ];
}

/** Writes the archive in every way, and looks at what has become of the target. */
export async function written(entries: readonly Entry[], content: Buffer, options: WriteOptions = {}): Promise<WriteResult[]> {
  const folder = testFolder();
  const results: WriteResult[] = [];
  for (const { name, input } of waysOf(folder, entries)) {
    const target = stored(folder, 'disk', Buffer.alloc(content.length, 0xaa));
    results.push(await writeDisk(input(), target, { ...options, verify: true, force: ['content'] }));
    expect(readFileSync(target).equals(content), name).toBe(true);
    const { manifest, disk } = options;
    await expect(info(input(), { manifest, disk }), name).resolves.toMatchObject({ virtualSize: content.length });
  }
  return results;
}

/** Every way must fail like this, and leave no file; `early` ones before an old target is touched. */
export async function refused(
  entries: readonly Entry[],
  expected: object | ((way: Way) => object),
  { early = () => false, ...options }: WriteOptions & { readonly early?: (way: Way) => boolean } = {},
): Promise<void> {
  const folder = testFolder();
  for (const way of waysOf(folder, entries)) {
    const shape = typeof expected === 'function' ? expected(way) : expected;
    const target = join(folder, 'disk');
    expect(await failure(writeDisk(way.input(), target, options)), way.name).toMatchObject(shape);
    expect(existsSync(target), way.name).toBe(false);
    if (!early(way)) continue;
    const before = Buffer.alloc(1 << 20, 0xaa);
    const old = stored(folder, 'old', before);
    expect(await failure(writeDisk(way.input(), old, options)), way.name).toMatchObject(shape);
    expect(readFileSync(old).equals(before), 'an old target').toBe(true);
  }
}
