import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ERRORS } from '../../src/errors.ts';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { withoutProgress } from '../support/progress.ts';
import { tarOf } from '../support/tar.ts';

const MIB = 1 << 20;
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const vhd = dynamicVhd({ size: 16 * MIB, blocks: new Map([[2, Buffer.alloc(2 * MIB, 'payload')]]), creator: 'tap' });
/** The footer at the end damaged, which is worth a warning. */
const oddEnd = Buffer.from(vhd);
oddEnd[vhd.length - 400] = 1;
const model = Buffer.alloc(16 * MIB);
model.fill('payload', 4 * MIB, 6 * MIB);

async function place(name: string, bytes: Uint8Array): Promise<{ folder: string; source: string; target: string }> {
  const folder = testFolder();
  writeFileSync(join(folder, name), bytes);
  return { folder, source: join(folder, name), target: join(folder, 'disk.raw') };
}

describe('help and usage', () => {
  test.each([['info'], ['check'], ['write'], ['verify'], ['import'], ['upload'], ['reap'], []])(
    '--help of "%s" fits a screen and has an example',
    async (...command) => {
      const { status, stdout, stderr } = await cli([...command.filter((word) => typeof word === 'string'), '--help']);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const lines = stdout.split('\n');
      expect(lines.length).toBeLessThanOrEqual(30);
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
      expect(stdout).toMatch(/Examples?:\n {2}\S/);
    },
  );

  test('help of a command is its page, and a call without anything is a usage error on stderr', async () => {
    expect(await cli(['help', 'import'])).toEqual(await cli(['import', '--help']));
    const { stdout } = await cli(['--help']);
    expect(await cli(['help', 'toString'])).toEqual({ status: 0, stdout, stderr: '' });
    expect(await cli([])).toEqual({ status: 2, stdout: '', stderr: stdout });
  });

  test.each([
    [['frobnicate'], 'there is no command "frobnicate"'],
    [['write'], 'SRC is missing'],
    [['write', 'a'], 'TARGET is missing'],
    [['write', 'a', ''], 'TARGET is missing'],
    [['write', 'a', '', 'b'], 'SRC is missing'],
    [['info', ''], 'SRC is missing'],
    [['write', 'a', 'b', '--manifest=maybe'], '--manifest accepts require, if-present or ignore, not "maybe"'],
    [['write', 'a', 'b', '--virtual-size=1G'], '--virtual-size expects bytes, a multiple of 512'],
    [['write', 'a', 'b', '--zero=maybe'], '--zero accepts auto, assume-zero or write, not "maybe"'],
    [['write', 'a', 'b', '--force=all'], '--force accepts parent, type, busy, size, vhd or content, not "all"'],
    [['write', 'a', 'b', '--sha256=12'], '--sha256 expects 64 hexadecimal digits'],
    [['info', 'a', '--frob'], "Unknown option '--frob'"],
    [['toString'], 'there is no command "toString"'],
  ])('%j is refused with exit status 2 and a sentence', async (args, sentence) => {
    const { status, stdout, stderr } = await cli(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(sentence);
  });
});

describe('write', () => {
  test.each([
    ['a VHD', 'image.vhd', vhd],
    ['a VHD.gz', 'image.vhd.gz', gzipSync(vhd)],
    ['a tar', 'image.tar', tarOf([['image.vhd', vhd]])],
    ['a tar.gz under another name', 'image.bin', gzipSync(tarOf([['./0.vhd', vhd]]))],
  ])('accepts %s, detected by its content', async (_what, name, bytes) => {
    const { source, target } = await place(name, bytes);
    const { status, stdout, stderr } = await cli(['write', source, target, '--verify']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Wrote .*16 MiB.*2 MiB written, 0 B zeroed, 14 MiB skipped, verified; /);
    expect(readFileSync(target).equals(model)).toBe(true);
  });

  test('reads standard input, from a pipe', async () => {
    const { target } = await place('unused', new Uint8Array());
    const { status } = await cli(['write', '-', target], { input: gzipSync(tarOf([['0.vhd', vhd]])) });
    expect(status).toBe(0);
    expect(readFileSync(target).equals(model)).toBe(true);
  });

  test('prints one JSON object with --json, and the fields are the documented ones', async () => {
    const { source, target } = await place('image.ova', gzipSync(tarOf([['0.vhd', vhd]])));
    const { stdout, stderr } = await cli(['write', source, target, '--json', '--verify']);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      target,
      member: '0.vhd',
      type: 'dynamic',
      inflate: expect.stringMatching(/^(?:isal|zlib)$/),
      layers: 1,
      virtualSize: 16 * MIB,
      ignored: [],
      bytesRead: readFileSync(source).length,
      bytesWritten: 2 * MIB,
      bytesZeroed: 0,
      bytesSkipped: 14 * MIB,
      bytesRewritten: 0,
      seconds: expect.any(Number),
      verified: true,
      direct: expect.any(Boolean),
      stages: Object.fromEntries(
        ['read', 'inflate', 'tar', 'decode', 'scan', 'wait', 'write', 'sync'].map((name) => [
          name,
          { busy: expect.any(Number), waiting: expect.any(Number) },
        ]),
      ),
      warnings: [],
    });
  });

  test('prints nothing at all with --quiet', async () => {
    const { source, target } = await place('image.vhd', vhd);
    expect(await cli(['write', source, target, '-q'])).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('with --disk writes that member, and without it refuses to choose, before anything is written where it can jump', async () => {
    const other = fixedVhd(Buffer.alloc(MIB, 'other'));
    const archive = tarOf([
      ['a.vhd', vhd],
      ['notes.txt', Buffer.from('hello')],
      ['b.vhd', other],
    ]);
    const { source, target } = await place('two.tar', archive);
    const refused = await cli(['write', source, target]);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/"a.vhd" and "b.vhd".*\n.*--disk NAME.*DISK_AMBIGUOUS/) });
    expect(existsSync(target)).toBe(false);
    expect((await cli(['write', source, target, '--disk', 'b.vhd'])).status).toBe(0);
    expect(readFileSync(target).equals(Buffer.alloc(MIB, 'other'))).toBe(true);
    expect(await cli(['write', source, target, '--disk=c.vhd'])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('DISK_NOT_FOUND'),
    });
  });

  test('a second disk after the first in a stream is an error too, and the file is removed', async () => {
    const archive = gzipSync(tarOf([['a.vhd', vhd], ['b.vhd', vhd]])); // biome-ignore format: one line
    const { source, target } = await place('two.tar.gz', archive);
    expect(await cli(['write', source, target])).toMatchObject({ status: 1, stderr: expect.stringContaining('DISK_AMBIGUOUS') });
    expect(existsSync(target)).toBe(false);
  });

  test('checks the SHA-256 of the bytes as they are stored', async () => {
    const bytes = gzipSync(tarOf([['0.vhd', vhd]]));
    const { source, target } = await place('image.ova', bytes);
    const sum = createHash('sha256').update(bytes).digest('hex');
    expect((await cli(['write', source, target, `--sha256=${sum.toUpperCase()}`])).status).toBe(0);
    const wrong = await cli(['write', source, `${target}2`, `--sha256=${'0'.repeat(64)}`]);
    expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining(sum) });
    expect(existsSync(`${target}2`)).toBe(false);
  });

  test('a broken image is one readable error that names member and byte, and no stack', async () => {
    const broken = Buffer.from(vhd);
    broken.writeUInt32BE(0, 1536 + 4 * 2);
    const { source, target } = await place('image.ova', gzipSync(tarOf([['0.vhd', broken]])));
    const { status, stdout, stderr } = await cli(['write', source, target]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toBe(
      'vdistream: 0.vhd: at byte 1544: block 2, at byte 0, overlaps the footer\n' +
        `  ${ERRORS.VHD_BLOCK_METADATA.advice} (VHD_BLOCK_METADATA)\n`,
    );
  });

  test('with --json the error is one object on stderr', async () => {
    const { source, target } = await place('image.ova', tarOf([['0.vhd', vhd.subarray(0, 3000)]]));
    const { status, stderr } = await cli(['write', source, target, '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'VHD_BLOCK_RANGE', member: '0.vhd', offset: 1544, advice: expect.any(String) },
    });
  });

  testWith('loop')('a guard refuses with exit status 3 and says how to lift it', async () => {
    await withLoop({ size: 8 * MIB }, async ({ path }) => {
      const { source } = await place('image.vhd', vhd);
      const { status, stderr } = await cli(['write', source, path]);
      expect(status).toBe(3);
      expect(stderr).toContain('--force=size');
    });
  });
});

test('a refusal prints the exact command that would go ahead, quoted for a shell', async () => {
  const { folder, source } = await place('image.vhd', vhd);
  const target = join(folder, `it's "a disk" with $HOME and a\ttab.raw`);
  writeFileSync(target, 'of value');
  const refused = await cli(['write', '-q', '--', source, target]);
  expect(refused).toMatchObject({ status: 3, stdout: '', stderr: expect.stringContaining('holds data at byte 0') });
  expect(readFileSync(target, 'utf8')).toBe('of value');
  const [, command = ''] = /To go ahead anyway: (vdistream write --force=content .*)/.exec(refused.stderr) ?? [];
  const run = `vdistream() { '${process.execPath}' '${main}' "$@"; }; ${command}`;
  const forced = spawnSync('bash', ['-c', run], { encoding: 'utf8' });
  expect([forced.status, withoutProgress(forced.stderr)]).toEqual([0, '']);
  expect(
    readFileSync(target)
      .subarray(4 * MIB, 4 * MIB + 7)
      .toString(),
  ).toBe('payload');
});

test('a source that is its own target is refused, and keeps its bytes', async () => {
  const bytes = gzipSync(tarOf([['0.vhd', vhd]]));
  const { source } = await place('image.ova', bytes);
  expect(await cli(['write', source, source])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('is the source, or shares bytes with it'),
  });
  expect(readFileSync(source).equals(bytes)).toBe(true);
});

test('a reader of stderr that goes away does not end a write', async () => {
  const { folder, target } = await place('unused', new Uint8Array());
  const bytes = tarOf([['0.vhd', oddEnd]]);
  const { status } = await cli(['write', '-', target], {
    during(child) {
      child.stderr?.destroy();
      child.stdin?.end(bytes);
    },
  });
  expect(status).toBe(0);
  expect(readdirSync(folder).sort()).toEqual(['disk.raw', 'unused']);
});

describe('verify', () => {
  test('a mismatch names the byte and exits 4', async () => {
    const { source, target } = await place('image.vhd', vhd);
    const changed = Buffer.from(model);
    changed[5 * MIB + 3] = 0;
    writeFileSync(target, changed);
    const { status, stderr } = await cli(['verify', source, target]);
    expect(status).toBe(4);
    expect(stderr).toContain(`at byte ${5 * MIB + 3}`);
    writeFileSync(target, model);
    expect(await cli(['verify', source, target])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('holds the image: 16 MiB compared'),
    });
  });
});

describe('info', () => {
  test('prints the disks of an archive as one JSON object', async () => {
    const members: [string, Buffer][] = [['0.vhd', vhd], ['readme.txt', Buffer.from('hello')], ['swap.vhd', vhd]]; // biome-ignore format: one line
    const { source } = await place('image.ova', gzipSync(tarOf(members)));
    const { stdout } = await cli(['info', source, '--json']);
    const disk = {
      member: '0.vhd',
      type: 'dynamic',
      virtualSize: 16 * MIB,
      blockSize: 2 * MIB,
      creator: 'tap',
      uniqueId: '07'.repeat(16),
      timestamp: 0,
      allocatedBytes: 2 * MIB,
      map: Array.from({ length: 64 }, (_, cell) => (cell >= 16 && cell < 24 ? 1 : 0)),
    };
    expect(JSON.parse(stdout)).toEqual({
      kind: 'tar',
      compression: 'gzip',
      inflate: expect.stringMatching(/^(?:isal|zlib)$/),
      virtualSize: 16 * MIB,
      disks: [{ ...disk, layers: [disk] }],
      ignored: ['readme.txt', 'swap.vhd'],
      warnings: [],
    });
  });

  test('prints a table with a map of where the data lies', async () => {
    const { source } = await place('image.vhd', vhd);
    const { stdout } = await cli(['info', source]);
    expect(stdout).toContain('virtual size  16777216 bytes (16 MiB)');
    expect(stdout).toContain(`data          ${'·'.repeat(16)}${'█'.repeat(8)}${'·'.repeat(40)}\n`);
  });

  test('with --quiet still prints what was asked for, only the warnings go', async () => {
    const { source } = await place('image.vhd', oddEnd);
    expect((await cli(['info', source])).stderr).toContain('VHD_FOOTER_END');
    const { stdout, stderr } = await cli(['info', source, '-q']);
    expect(stderr).toBe('');
    expect(stdout).toContain('virtual size  16777216 bytes');
  });

  test('a member that is not there is not found, and a quick look with a checksum is refused', async () => {
    const { source } = await place('image.ova', tarOf([['0.vhd', vhd]]));
    expect(await cli(['info', source, '--disk=1.vhd'])).toMatchObject({ status: 1, stderr: expect.stringContaining('DISK_NOT_FOUND') });
    expect((await cli(['info', source, '--quick', `--sha256=${'0'.repeat(64)}`])).status).toBe(2);
  });

  test.each([
    [[], 'vdistream: the work is done, but its result could not be printed: ENOSPC'],
    [['--json'], '{"error":{"code":"OUTPUT","message":"the work is done, but its result could not be printed: ENOSPC'],
  ])('that cannot be printed is no success, with %j', async (options, sentence) => {
    const { source } = await place('image.vhd', vhd);
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [main, 'info', source, ...options], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(sentence) });
  });

  test('whose reader has gone away is no failure', async () => {
    const { source } = await place('image.vhd', vhd);
    expect(await cli(['info', source], { during: (child) => child.stdout?.destroy() })).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('with --quick ends at the virtual size, though the stream never ends', async () => {
    const { status, stdout } = await cli(['info', '-', '--quick', '--json'], {
      input: tarOf([['0.vhd', vhd]]).subarray(0, 64 * 1024),
      during() {},
    });
    expect(status).toBe(0);
    expect(JSON.parse(stdout).virtualSize).toBe(16 * MIB);
  });
});

describe('signals', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('%s while a pipe stalls cancels, exits 130 and leaves no file', async (signal) => {
    const { folder, target } = await place('unused', new Uint8Array());
    const part = tarOf([['0.vhd', vhd]]).subarray(0, 4096 + MIB);
    const before = readdirSync(folder).length;
    const { status, stderr } = await cli(['write', '-', target], {
      input: part,
      during(child) {
        // A hidden file appears when the header has been read; from then on the write is under way.
        const watch = setInterval(() => {
          if (readdirSync(folder).length === before) return;
          clearInterval(watch);
          child.kill(signal);
        }, 5);
        child.once('exit', () => clearInterval(watch));
      },
    });
    expect(status).toBe(130);
    expect(stderr).toContain('(CANCELLED)');
    expect(readdirSync(folder)).toEqual(['unused']);
  });
});
