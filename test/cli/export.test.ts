import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { noise } from '../support/chunks.ts';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';

const MIB = 1 << 20;
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** A folder with a disk of 10 MiB, noise at its start and zeros after it. */
function folderWithDisk(): { folder: string; path: string; bytes: Buffer } {
  const folder = testFolder();
  const bytes = Buffer.alloc(10 * MIB);
  Buffer.from(noise(3 * MIB, 1)).copy(bytes);
  writeFileSync(join(folder, 'disk'), bytes);
  return { folder, path: join(folder, 'disk'), bytes };
}

test('export prints a line, or with --json an object', async () => {
  const { folder, path } = folderWithDisk();
  const line = await cli(['export', path, '-o', join(folder, 'a.vhd'), '--verify']);
  expect(line).toMatchObject({ status: 0, stderr: '' });
  expect(line.stdout).toMatch(/^Exported .*\/disk \(10 MiB\) to .*\/a\.vhd: 4 MiB of data in 4\.00 MiB, verified; .* s, .* MB\/s\.\n$/);
  const json = await cli(['export', path, '-o', join(folder, 'b.tar.gz'), '--json']);
  expect(JSON.parse(json.stdout)).toMatchObject({
    output: join(folder, 'b.tar.gz'),
    format: 'vhd',
    container: 'tar',
    compress: 'gzip',
    disks: [{ source: path, member: '0.vhd', virtualSize: 10 * MIB, allocatedBytes: 4 * MIB }],
    verified: false,
  });
});

test('on standard output there is nothing but the image, and the result is on stderr', async () => {
  const { path, bytes } = folderWithDisk();
  for (const [options, expected] of [
    [[], /^Exported /],
    [['--json'], /^\{"result":\{"output":"standard output"/],
    [['--quiet'], /^$/],
  ] as const) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'export', path, '-o', '-', '--format=raw', ...options], {
      maxBuffer: 64 * MIB,
    });
    expect(status).toBe(0);
    expect(stdout.equals(bytes)).toBe(true);
    expect(stderr.toString()).toMatch(expected);
  }
});

test('a reader that closes the pipe too early is an error, not a success', () => {
  const { path } = folderWithDisk();
  const pipe = 'set -o pipefail; "$0" "$1" export "$2" -o - | head -c 1000 > /dev/null; echo "$PIPESTATUS"';
  const { stdout, stderr } = spawnSync('bash', ['-c', pipe, process.execPath, main, path], { encoding: 'utf8' });
  expect(stdout).toBe('1\n');
  expect(stderr).toContain('standard output: its reader has closed the pipe');
});

test('a refusal prints the command that replaces the output, and that command works', async () => {
  const { folder, path } = folderWithDisk();
  const output = join(folder, 'image.vhd');
  writeFileSync(output, 'precious');
  const refused = await cli(['export', path, '-o', output]);
  expect(refused).toMatchObject({ status: 3, stdout: '' });
  expect(refused.stderr).toContain(`vdistream export --force=content ${path} -o ${output}`);
  expect(readFileSync(output, 'utf8')).toBe('precious');
  expect(await cli(['export', '--force=content', path, '-o', output])).toMatchObject({ status: 0 });
});

test.each([
  [[], 'export needs an output: add -o OUT'],
  [['-o', ''], '-o has no value'],
  [['-o', 'null'], 'did you mean null:'],
  [['-o', 'a.vhd', '--compress', 'gzip:0'], '--compress accepts'],
  [['-o', 'a.vhd', '--compress', 'gzipp'], 'did you mean "gzip"'],
  [['-o', 'a.vhd', '--format', 'vhdx'], '--format accepts'],
  [['-o', 'a.vhd', '--block-size', '3000'], '--block-size expects bytes'],
  [['-o', 'a.vhd', '--single-pass'], 'a dynamic VHD needs two passes'],
  [['-o', '-', '--verify'], 'cannot be read back'],
])('%j is a usage error', async (options, message) => {
  const { folder, path } = folderWithDisk();
  const { status, stdout, stderr } = await cli(['export', path, ...options]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toContain(message);
  expect(readdirSync(folder)).toEqual(['disk']);
});

test('null: measures how fast a disk can be exported, and writes nothing', async () => {
  const { folder, path } = folderWithDisk();
  expect(await cli(['export', path, '-o', 'null:', '--format=raw'])).toMatchObject({ status: 0 });
  expect(existsSync(join(folder, 'null:'))).toBe(false);
});
