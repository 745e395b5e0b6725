/** Decompression by xz and zstd: programs that cannot be started, that are killed, and images that need too much memory. */

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { decompress } from '../../src/codec/compression.ts';
import { collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

afterEach(() => vi.unstubAllEnvs());

/** Puts a shell script of this name on the PATH, in front of everything else. */
function replace(program: string, script: string): void {
  const folder = testFolder();
  writeFileSync(join(folder, program), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, program), 0o755);
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
}

testWith('xz')('without a free file descriptor, xz is a typed error, never an uncaught exception', () => {
  const image = join(testFolder(), 'image.xz');
  writeFileSync(image, execFileSync('xz', ['-0', '-c'], { input: noise(10_000, 1) }));
  const outcomes = Array.from({ length: 30 }, (_, index) => {
    const command = `ulimit -n ${index + 18}; exec "$0" "$@"`;
    const args = ['-c', command, process.execPath, main, 'info', image, '--json'];
    const { status, stderr } = spawnSync('sh', args, { encoding: 'utf8' });
    return `${status} ${/"code":"(\w+)"/.exec(stderr)?.[1] ?? stderr}`;
  });
  // With fewer descriptors Node does not start, or the source cannot be opened; with more, the content is reported.
  expect(outcomes).toContain('1 COMPRESSION_TOOL');
  expect(outcomes.slice(outcomes.indexOf('1 COMPRESSION_TOOL'))).not.toContainEqual(expect.stringMatching(/DEFECT|\bat |Error/));
  expect(outcomes.at(-1)).toBe('1 FORMAT_UNKNOWN');
});

test('a program that is killed says nothing about the image', async () => {
  replace('xz', 'kill -9 $$');
  const error = await failure(collect(decompress('xz', reusing(noise(100, 1)))));
  expect(error).toMatchObject({ code: 'COMPRESSION_TOOL', message: 'the program `xz` was killed by SIGKILL' });
});

test('the token of the caller does not reach the program', async () => {
  vi.stubEnv('OS_TOKEN', 'secret');
  replace('xz', '/usr/bin/env');
  expect(String(await collect(decompress('xz', reusing(new Uint8Array(0)))))).not.toContain('secret');
});

describe('an image that needs more memory than the limit', () => {
  testWith('xz')('of xz is no damage', async () => {
    const options = ['--lzma2=preset=0,dict=512MiB', '--format=xz', '-c'];
    const packed = execFileSync('xz', options, { input: noise(1000, 1) });
    const error = await failure(collect(decompress('xz', reusing(packed))));
    expect(error).toMatchObject({ code: 'COMPRESSION_MEMORY', message: expect.stringContaining('256 MiB') });
    expect(error.advice).toContain('xz -dc');
  });

  testWith('zstd')('of zstd is no damage, and one within the limit is decompressed', async () => {
    // From a pipe, the frame does not have its size, so the window decides (RFC 8878, 3.1.1.1.2).
    const packed = (log: number): Buffer => execFileSync('zstd', ['-1', `--long=${log}`, '-c'], { input: noise(1000, 1) });
    const error = await failure(collect(decompress('zstd', reusing(packed(29)))));
    expect(error).toMatchObject({ code: 'COMPRESSION_MEMORY', message: expect.stringContaining('256 MiB') });
    expect(error.advice).toContain('zstd -dc --long=31 FILE');
    expect(await collect(decompress('zstd', reusing(packed(28))))).toHaveLength(1000);
  });
});
