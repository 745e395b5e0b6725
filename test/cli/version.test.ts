/** `--version`, also on a host where something is missing. */

import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const facts = async (env?: NodeJS.ProcessEnv) => JSON.parse((await cli(['--version', '--json'], env && { env })).stdout);

describe('--version', () => {
  test('prints the version of the package first, then a line for each part', async () => {
    const { status, stdout, stderr } = await cli(['--version']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [first, ...rest] = stdout.trimEnd().split('\n');
    expect(first).toBe(`vdistream ${version}`);
    expect(rest).toEqual([
      `node: ${process.versions.node}`,
      expect.stringMatching(/^platform: linux \w+, (?:glibc \d+\.\d+|a C library other than glibc)$/),
      expect.stringMatching(/^addon: \/.*\.node$/),
      expect.stringMatching(/^gzip: (?:ISA-L, from .*libisal\.so\.2|the zlib in Node, called by the addon)$/),
      ...['zstd', 'xz', 'bzip2', 'lz4'].map((name) =>
        expect.stringMatching(new RegExp(`^${name}: (?:node:zlib|the program /.*/${name}|missing: no program \`${name}\` on the PATH)$`)),
      ),
    ]);
  });

  test('with --json is one object with the same facts', async () => {
    const found = await facts();
    expect(found).toMatchObject({
      version,
      node: process.versions.node,
      nodeSupported: true,
      platform: { os: 'linux', arch: process.arch },
    });
    expect(found.addon).toEqual({ from: expect.stringMatching(/\.node$/) });
    expect(Object.keys(found.decoders)).toEqual(['gzip', 'zstd', 'xz', 'bzip2', 'lz4']);
    expect([found.inflate, found.from]).toEqual([found.decoders.gzip.by, found.decoders.gzip.from]);
  });

  test('finds the programs that would be run: executable files on the PATH', async () => {
    const folder = testFolder();
    for (const name of ['xz', 'lz4']) writeFileSync(join(folder, name), '#!/bin/sh\n');
    chmodSync(join(folder, 'xz'), 0o755);
    mkdirSync(join(folder, 'bzip2'));
    const { xz, bzip2, lz4 } = (await facts({ ...process.env, PATH: folder })).decoders;
    expect({ xz, bzip2, lz4 }).toEqual({
      xz: { by: 'program', from: join(folder, 'xz') },
      bzip2: { by: 'program' },
      lz4: { by: 'program' },
    });
    const { stdout } = await cli(['--version'], { env: { ...process.env, PATH: folder } });
    expect(stdout).toContain('\nbzip2: missing: no program `bzip2` on the PATH\n');
  });

  test('without the addon, and with an older Node than is supported, succeeds and says so', async () => {
    const folder = testFolder();
    cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, engines: { node: '>=999.1' } }));
    const run = (...args: string[]) => promisify(execFile)(process.execPath, [join(folder, 'dist/cli/main.js'), ...args]);
    const { stdout, stderr } = await run('--version');
    expect(stderr).toBe('');
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      `vdistream ${version}`,
      `node: ${process.versions.node}, not supported: vdistream needs 999.1 or later`,
    ]);
    expect(stdout).toMatch(/\naddon: missing: no native addon for .*: build\/Release\/vdistream\.node: .*\ngzip: node:zlib\n/);
    const found = JSON.parse((await run('--version', '--json')).stdout);
    expect(found).toMatchObject({ nodeSupported: false, inflate: 'node', addon: { reason: expect.stringContaining('prebuilds/') } });
  });
});
