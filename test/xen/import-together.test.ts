/** Imports side by side: of one process, and of several. */

import { execFile } from 'node:child_process';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { type ImportOptions, importImage } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { stalling } from '../support/image-opener.ts';
import { bytesOf, expectDisk, toolstackOf } from '../support/imported.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { sample } from '../support/packages.ts';

const test = testWith('root', 'loop', 'g++');
const MiB = 2 ** 20;

let host: Host;
let sr: string;
beforeEach(async () => {
  host = await startHost();
  sr = await host.sr('ext');
});
afterEach(() => host?.stop());

interface Many {
  readonly vdis: readonly string[];
  readonly peakKiB: number;
}

/** In a process of its own. */
async function importMany(images: readonly string[]): Promise<Many> {
  const program = fileURLToPath(new URL('../support/import-many.mjs', import.meta.url));
  const options: ImportOptions = { sr, xe: toolstackOf(host) };
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(images), JSON.stringify(options)]);
  return JSON.parse(stdout);
}

const importOne = (input: Parameters<typeof importImage>[0], options: Partial<ImportOptions> = {}) =>
  importImage(input, { sr, xe: toolstackOf(host), ...options });

function stored(name: string, bytes: Uint8Array): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** A disk whose every block is there. */
function full(size: number): { readonly vhd: Buffer; readonly content: Buffer } {
  const block = noise(2 * MiB, 3);
  const blocks = new Map(Array.from({ length: size / block.length }, (_, number) => [number, block]));
  return { vhd: dynamicVhd({ size, blocks }), content: Buffer.concat([...blocks.values()]) };
}

test('eight imports in one process need hardly more memory than one', async () => {
  const { vhd, content } = full(24 * MiB);
  const image = stored('image.vhd.gz', gzipSync(vhd, { level: 1 }));
  const one = await importMany([image]);
  const eight = await importMany(Array.from({ length: 8 }, () => image));
  expect(one.peakKiB).toBeGreaterThan(0);
  // Each has a window to inflate into of its own; a pool alone is 48 MiB.
  expect(eight.peakKiB).toBeLessThan(one.peakKiB + 7 * 12 * 1024);
  for (const vdi of eight.vdis) expectDisk(bytesOf(host, vdi), content);
  assertClean(host, { vdis: [...one.vdis, ...eight.vdis] });
});

test('an import whose source stalls does not delay any other, and leaves nothing when it is cancelled', async () => {
  const { vhd, content } = full(16 * MiB);
  const stop = new AbortController();
  const stalled = importOne(stalling(vhd.subarray(0, 7 * MiB)), { signal: stop.signal });
  const image = stored('image.vhd', vhd);
  const results = await Promise.all(Array.from({ length: 7 }, () => importOne(createReadStream(image))));
  for (const { vdi } of results) expectDisk(bytesOf(host, vdi), content);
  expect(host.state().vdi.filter(({ tags }) => tags.length > 0).length).toBe(1);
  stop.abort();
  expect(await failure(stalled)).toMatchObject({ code: 'CANCELLED', left: [] });
  assertClean(host, { vdis: results.map(({ vdi }) => vdi) });
});

test('no two imports on a host plug or unplug at the same time, whatever process they are in', async () => {
  const image = stored('image.vhd', sample(1).vhd);
  for (const command of ['vbd-plug', 'vbd-unplug']) await host.fault({ command, always: true, what: 'late' });
  const isPlug = ([command = '']: readonly string[]): boolean => command === 'vbd-plug' || command === 'vbd-unplug';
  const plugs = async (): Promise<string[]> => (await host.calls()).filter(isPlug).map((call) => call.join(' '));
  const ours = Promise.all([importOne(image), importOne(image)]);
  const theirs = Promise.all([importMany([image]), importMany([image])]);

  // All four have come as far as that before the first is let go.
  await host.called('vbd-create', 4);
  for (let number = 1; number <= 8; number++) {
    await vi.waitFor(async () => expect((await plugs()).length).toBeGreaterThanOrEqual(number), { timeout: 100_000 });
    // Enough time for another call that would not wait: every call takes that long.
    for (let times = 0; times < 5; times++) await host.run(['vdi-list']);
    expect(await plugs(), 'calls so far, of which the last is under way').toHaveLength(number);
    await host.release();
  }
  const results = [...(await ours).map(({ vdi }) => vdi), ...(await theirs).flatMap(({ vdis }) => vdis)];
  expect(new Set(await plugs()).size).toBe(8);
  for (const vdi of results) expectDisk(bytesOf(host, vdi), sample(1).content);
  assertClean(host, { vdis: results });
});
