/** `vdistream import --all-disks`: what it prints, and what it refuses. */

import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { host, MiB, run, sr, stored } from '../support/cli-import.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { sample } from '../support/packages.ts';
import { withoutProgress } from '../support/progress.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');

const [one, two] = [sample(1), sample(2)];
const tar = tarOf([
  ['box-disk1.vhd', one.vhd],
  ['box-disk2.vhd', two.vhd],
  ['readme.txt', Buffer.from('text')],
]);
const packed = (): string => stored('box.tar.gz', gzipSync(tar));

afterEach(async () => {
  for (const { uuid } of host.state().vdi) await host.run(['vdi-destroy', `uuid=${uuid}`]);
});

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';

describe('import --all-disks', () => {
  test('prints a line for each VDI on stdout, and a summary of each on stderr', async () => {
    const { status, stdout, stderr } = await run(['import', packed(), '--sr', sr, '--all-disks', '--name', 'web']);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: expect.stringMatching(new RegExp(`^${UUID}  box-disk1\\.vhd\n${UUID}  box-disk2\\.vhd\n$`)),
    });
    const [first = '', second = ''] = stdout.split('\n').map((line) => line.slice(0, 36));
    assertClean(host, { vdis: [first, second] });
    expectDisk(bytesOf(host, first), one.content, 2 * MiB);
    expectDisk(bytesOf(host, second), two.content, 2 * MiB);
    const lines = withoutProgress(stderr).split('\n');
    expect(lines.filter((line) => line.startsWith('VDI '))).toEqual([
      `VDI ${first} "web" has 2 MiB on SR ${sr}.`,
      `VDI ${second} "web 2" has 2 MiB on SR ${sr}.`,
    ]);
    expect(lines.filter((line) => line.startsWith('Not part'))).toEqual(['Not part of a disk: readme.txt.']);
  });

  test('prints only the lines with --quiet, also from standard input', async () => {
    const { status, stdout, stderr } = await run(['import', '-', '--sr', sr, '--all-disks', '--quiet'], { input: tar });
    expect({ status, lines: stdout.split('\n').length, stderr }).toEqual({ status: 0, lines: 3, stderr: '' });
  });

  test('prints one object with --json', async () => {
    const { status, stdout } = await run(['import', packed(), '--sr', sr, '--all-disks', '--json']);
    expect(status).toBe(0);
    const { disks, ...others } = JSON.parse(stdout);
    expect(others).toEqual({});
    expect(disks).toMatchObject([
      { member: 'box-disk1.vhd', name: 'box.tar.gz/box-disk1.vhd', sr, vdiSize: 2 * MiB, ignored: ['readme.txt'] },
      { member: 'box-disk2.vhd', name: 'box.tar.gz/box-disk2.vhd', sr, vdiSize: 2 * MiB, ignored: ['readme.txt'] },
    ]);
  });

  test.each([
    ['a file', 'box.tar', tar],
    ['a compressed file', 'box.tar.gz', gzipSync(tar)],
  ])('lists all disks of %s with --dry-run, and creates no VDI', async (_, name, bytes) => {
    const args = ['import', stored(name, bytes), '--sr', sr, '--all-disks', '--dry-run'];
    const { status, stdout } = await run([...args, '--json']);
    expect(status).toBe(0);
    const facts = { type: 'dynamic', layers: 1, virtualSize: one.content.length, allocatedBytes: one.content.length };
    expect(JSON.parse(stdout)).toMatchObject({
      sr,
      disks: [1, 2].map((number) => ({ member: `box-disk${number}.vhd`, name: `${name}/box-disk${number}.vhd`, ...facts })),
      virtualSize: 2 * one.content.length,
      shortfall: 0,
      ignored: ['readme.txt'],
      emptyRegions: 'skip',
    });
    const shown = await run(args);
    for (const text of ['box-disk1.vhd, dynamic, 1 layer', 'all disks     2, 393216 bytes', 'one for each disk', 'readme.txt'])
      expect(shown.stdout).toContain(text);
    assertClean(host);
  });

  test.each([
    ['--disk=a.vhd', '--disk is about one disk'],
    ['--virtual-size=512', '--virtual-size is about one disk'],
    ['--device=/dev/null', '--device is about one disk'],
  ])('refuses %s', async (option, message) => {
    const { status, stderr } = await run(['import', packed(), '--sr', sr, '--all-disks', option]);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(message) });
    assertClean(host);
  });

  test('is what an import of several disks advises', async () => {
    const { status, stderr } = await run(['import', stored('box.tar', tar), '--sr', sr]);
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining('`import --all-disks` imports all of them') });
  });

  test('says which disks cannot be read in one pass, and what to do', async () => {
    const twice = tarOf([
      ['x/0.vhd', one.vhd],
      ['one.vhd', two.vhd],
      ['x/1.vhd', one.vhd],
    ]);
    const { status, stderr } = await run(['import', '-', '--sr', sr, '--all-disks', '--quiet'], { input: twice });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining('with --disk NAME instead of --all-disks. (DISK_ORDER)'),
    });
    assertClean(host);
  });
});
