/** Commands that touch only files run where there is no addon, no /proc, no /sys, and, as on Windows, no user numbers. */

import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const system = new URL('../support/other-system.mjs', import.meta.url).href;

const SIZE = 8 << 20;
const disk = Buffer.alloc(SIZE);
disk.fill('some data', 2 << 20, (2 << 20) + 5000);
const image = gzipSync(
  tarOf([['0.vhd', dynamicVhd({ size: SIZE, blocks: new Map([[1, Buffer.from(disk.subarray(2 << 20, 4 << 20))]]) })]]),
);

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with the image, in which the command runs as on another system. */
function place(name: string, path = process.env.PATH) {
  const folder = testFolder();
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  writeFileSync(join(folder, 'image.tar.gz'), image);
  const env = { PATH: path, TMPDIR: temporary, VDISTREAM_NATIVE: '0', VDISTREAM_TEST_SYSTEM: name };
  return {
    folder,
    run: (args: readonly string[], stdin?: number): Run =>
      spawnSync(process.execPath, ['--import', system, main, ...args], {
        cwd: folder,
        env,
        encoding: 'utf8',
        stdio: [stdin ?? 'ignore', 'pipe', 'pipe'],
      }),
    isWritten: (file: string): boolean => readFileSync(join(folder, file)).equals(disk),
    /** Hidden files, and those in the folder for temporary ones. */
    leftBehind: (): string[] => [
      ...readdirSync(folder).filter((file) => file.startsWith('.')),
      ...readdirSync(temporary, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => entry.name),
    ],
  };
}

describe.each(['darwin', 'win32'])('as on %s:', (name) => {
  test('info and check', () => {
    const { run } = place(name);
    expect(JSON.parse(run(['info', 'image.tar.gz', '--json']).stdout)).toMatchObject({ virtualSize: SIZE });
    expect(run(['check', 'image.tar.gz'])).toMatchObject({ status: 0 });
  });

  test('write to a new file, again to the same one, and verify', () => {
    const { folder, run, isWritten, leftBehind } = place(name);
    expect(run(['write', 'image.tar.gz', 'disk.raw', '--dry-run'])).toMatchObject({ status: 0 });
    expect(run(['write', 'image.tar.gz', 'disk.raw', '--verify'])).toMatchObject({ status: 0 });
    expect(isWritten('disk.raw')).toBe(true);
    writeFileSync(join(folder, 'disk.raw'), Buffer.alloc(SIZE, 'old'));
    expect(run(['write', 'image.tar.gz', 'disk.raw'])).toMatchObject({ status: 3 });
    expect(run(['write', 'image.tar.gz', 'disk.raw', '--force=content'])).toMatchObject({ status: 0 });
    expect(isWritten('disk.raw')).toBe(true);
    expect(run(['verify', 'image.tar.gz', 'disk.raw'])).toMatchObject({ status: 0 });
    expect(leftBehind()).toEqual([]);
  });

  test('write from standard input that is a file, and to null:', () => {
    const { folder, run, isWritten } = place(name);
    const input = openSync(join(folder, 'image.tar.gz'), 'r');
    expect(run(['write', '-', 'piped.raw', '--virtual-size', String(SIZE)], input)).toMatchObject({ status: 0 });
    closeSync(input);
    expect(isWritten('piped.raw')).toBe(true);
    expect(run(['write', 'image.tar.gz', 'null:'])).toMatchObject({ status: 0 });
  });

  test('export of a file, and back', () => {
    const { folder, run, isWritten, leftBehind } = place(name);
    writeFileSync(join(folder, 'source.raw'), disk);
    expect(run(['export', 'source.raw', '-o', 'out.tar.gz', '--verify'])).toMatchObject({ status: 0 });
    expect(run(['export', 'source.raw', '-o', 'out.tar.gz'])).toMatchObject({ status: 3 });
    expect(run(['export', 'source.raw', '-o', 'out.tar.gz', '--force=content'])).toMatchObject({ status: 0 });
    expect(run(['write', 'out.tar.gz', 'back.raw'])).toMatchObject({ status: 0 });
    expect(isWritten('back.raw')).toBe(true);
    expect(leftBehind()).toEqual([]);
  });

  test('what needs the addon says so', () => {
    const { run } = place(name);
    const { status, stderr } = run(['import', 'image.tar.gz', '--sr', '5c1f2e86-3c3a-4a53-8df7-f5f6cf3ff8a7']);
    expect(status).toBe(1);
    expect(stderr).toContain('NATIVE_MISSING');
    expect(stderr).toContain('docs/dom0-install.md');
    expect(run(['--version']).stdout).toContain('addon: missing');
  });
});

describe('on Windows, a program', () => {
  const packed = (folder: string): void =>
    writeFileSync(join(folder, 'image.tar.xz'), execFileSync('xz', ['-c'], { input: gunzipSync(image), maxBuffer: 1 << 26 }));
  const xz = execFileSync('sh', ['-c', 'command -v xz || true'], { encoding: 'utf8' }).trim();

  testWith('xz')('is found in a PATH with semicolons, by its name with .exe', () => {
    const [empty, programs] = [testFolder(), testFolder()];
    symlinkSync(xz, join(programs, 'xz.exe'));
    const { folder, run, isWritten } = place('win32', `${empty};${programs}`);
    packed(folder);
    expect(JSON.parse(run(['--version', '--json']).stdout)).toMatchObject({ decoders: { xz: { from: join(programs, 'xz.exe') } } });
    expect(run(['write', 'image.tar.xz', 'disk.raw'])).toMatchObject({ status: 0 });
    expect(isWritten('disk.raw')).toBe(true);
  });

  testWith('xz')('in the current folder is not started', () => {
    const { folder, run } = place('win32', testFolder());
    packed(folder);
    symlinkSync(xz, join(folder, 'xz.exe'));
    const { status, stderr } = run(['write', 'image.tar.xz', 'disk.raw']);
    expect(status).toBe(1);
    expect(stderr).toContain('COMPRESSION_TOOL');
    expect(stderr).toContain('ENOENT');
  });
});
