/** `vdistream import --list` as a script runs it. */

import { describe, expect, vi } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { host, made, nameOf, refused, run, sr, stored } from '../support/cli-import.ts';
import { content, ID, vhd } from '../support/glance-stand-in.ts';
import { callsFromNow, signalled } from '../support/import-host.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');

const list = (...lines: readonly string[]): string => stored('images.txt', lines.join('\n'));
const uuidsIn = (stdout: string): string[] => stdout.match(/^[0-9a-f-]{36}(?= {2})/gm) ?? [];
const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/** Of a run whose VDIs stay. */
function arrived(stdout: string): string[] {
  const uuids = uuidsIn(stdout);
  made.push(...uuids.filter((uuid) => !made.includes(uuid)));
  assertClean(host, { vdis: made });
  for (const uuid of uuids) expectDisk(bytesOf(host, uuid).subarray(0, content.length), content);
  return uuids;
}

describe('a list of images', () => {
  test('prints a line for each VDI, and a summary on standard error', async () => {
    const lvm = await host.sr('lvm');
    const [one, two] = [stored('one.vhd', vhd), stored('two images.ova', tarOf([['0.vhd', vhd]]))];
    const file = list('# images', one, `"${two}" ${lvm}`, JSON.stringify({ image: one, sr: lvm, name: 'named' }));
    const { status, stdout, stderr } = await run(['import', '--list', file, '--sr', sr, '--verify']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '3 imported\n' });
    expect(
      linesOf(stdout)
        .map((line) => line.slice(38))
        .sort(),
    ).toEqual([one, one, two].sort());
    const vdis = arrived(stdout).map((uuid) => host.state().vdi.find((vdi) => vdi.uuid === uuid));
    expect(vdis.map((vdi) => [vdi?.nameLabel, vdi?.sr]).sort()).toEqual(
      [
        ['one.vhd', sr],
        ['two images.ova', lvm],
        ['named', lvm],
      ].sort(),
    );
  });

  test('skips what has been imported before, by a list or on its own, unless --again is given', async () => {
    const [one, two] = [stored('one.vhd', vhd), stored('two.vhd', vhd)];
    const single = await run(['import', one, '--sr', sr, '--quiet']);
    const before = single.stdout.trim();
    const args = ['import', '--list', list(one, two), '--sr', sr];
    const first = await run(args);
    expect(first).toMatchObject({ status: 0, stderr: '1 imported, 1 skipped\n' });
    expect(linesOf(first.stdout)).toContain(`${before}  ${one}  (skipped: imported before)`);
    const uuids = arrived(first.stdout);
    const second = await run([...args, '--quiet']);
    expect(second).toMatchObject({ status: 0, stderr: '' });
    expect(uuidsIn(second.stdout).sort()).toEqual(uuids.sort());
    const again = await run([...args, '--again']);
    expect(again).toMatchObject({ status: 0, stderr: '2 imported\n' });
    expect(arrived(again.stdout).some((uuid) => uuids.includes(uuid))).toBe(false);
  });

  test('with --json is one object per image, and nothing else', async () => {
    const [one, cut] = [stored('one.vhd', vhd), stored('cut.vhd', vhd.subarray(0, 100_000))];
    const file = list(one, cut, '/nowhere/missing.vhd');
    const args = ['import', '--list', file, '--sr', sr, '--json', '--jobs', '1'];
    const first = await run(args);
    const [imported, ...failed] = linesOf(first.stdout).map((line) => JSON.parse(line));
    expect({ status: first.status, stderr: first.stderr }).toEqual({ status: 202, stderr: '' });
    expect(imported).toMatchObject({ line: 1, image: one, sr, name: 'one.vhd', virtualSize: content.length, verified: false });
    made.push(imported.vdi);
    assertClean(host, { vdis: made });
    expect(failed).toEqual([
      { line: 2, image: cut, sr, error: expect.objectContaining({ code: 'VHD_BLOCK_RANGE', advice: expect.any(String) }) },
      { line: 3, image: '/nowhere/missing.vhd', sr, error: expect.objectContaining({ code: 'SOURCE_OPEN', errno: 2 }) },
    ]);
    const [skipped] = linesOf((await run(args)).stdout).map((line) => JSON.parse(line));
    expect(skipped).toEqual({ line: 1, image: one, sr, skipped: true, vdi: imported.vdi });
  });

  test('names the line of a warning and of an error', async () => {
    const odd = stored('odd.vhd', Buffer.concat([vhd, Buffer.alloc(512)]));
    const { status, stdout, stderr } = await run(['import', '--list', list('', '"/nowhere/a b"', odd), '--sr', sr]);
    expect(status).toBe(201);
    expect(stderr).toMatch(/^vdistream: line 2, \/nowhere\/a b: cannot open .*\n {2}.*\(SOURCE_OPEN\)$/m);
    expect(stderr).toMatch(new RegExp(`^vdistream: warning: line 3, ${odd}: .*\\)$`, 'm'));
    expect(stderr).toContain('1 imported, 1 failed\n');
    arrived(stdout);
  });

  test('counts at most fifty failures in its exit status', async () => {
    const missing = Array.from({ length: 52 }, (_, index) => `/nowhere/${index}.vhd`);
    const all = await run(['import', '--list', list(...missing), '--sr', sr, '--jobs', '16', '--quiet']);
    expect({ ...all, stderr: all.stderr.match(/\(SOURCE_OPEN\)/g)?.length }).toEqual({ status: 250, stdout: '', stderr: 52 });
    expect((await run(['import', '--list', list(...missing.slice(0, 49)), '--sr', sr, '--jobs', '16'])).status).toBe(249);
    assertClean(host, { vdis: made });
  });

  test('comes from standard input', async () => {
    const { status, stdout } = await run(['import', '--list', '-', '--quiet'], { input: Buffer.from(`${stored('one.vhd', vhd)} ${sr}\n`) });
    expect(status).toBe(0);
    expect(arrived(stdout)).toHaveLength(1);
  });

  test('may hold standard input as an image, which is never skipped', async () => {
    const file = list('-');
    for (const _ of [1, 2]) {
      const { status, stdout, stderr } = await run(['import', '--list', file, '--sr', sr], { input: vhd });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '1 imported\n' });
      arrived(stdout);
    }
    expect(nameOf(made.at(-1))).toBe('vdistream');
  });

  test('continues when its reader closes the pipe', async () => {
    const images = ['a.vhd', 'b.vhd', 'c.vhd'].map((name) => stored(name, vhd));
    const { status, stderr } = await run(['import', '--list', list(...images), '--sr', sr, '--jobs', '1'], {
      during(child) {
        child.stdout?.destroy();
        child.stdin?.end();
      },
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '3 imported\n' });
    const uuids = host.state().vdi.map(({ uuid }) => uuid);
    made.push(...uuids.filter((uuid) => !made.includes(uuid)));
    assertClean(host, { vdis: made });
  });
});

describe('a wrong command line', () => {
  const one = (): string => list(`/nowhere/one.vhd ${ID}`);

  test.each<[name: string, args: () => string[], sentence: string]>([
    ['with an image too', () => ['a.vhd', '--list', one()], 'import --list accepts no operand, but got "a.vhd"'],
    ['with --name', () => ['--list', one(), '--name', 'a'], '--name cannot be used with --list: put "name" into the JSON objects'],
    ['with --sha256', () => ['--list', one(), '--sha256', 'a'.repeat(64)], '--sha256 cannot be used with --list'],
    ['with --device', () => ['--list', one(), '--device', '/dev/loop0'], '--device cannot be used with --list'],
    ['with --dry-run', () => ['--list', one(), '--dry-run'], '--dry-run cannot be used with --list'],
    ['with too many jobs', () => ['--list', one(), '--jobs', '17'], '--jobs expects a number from 1 to 16, not "17"'],
    ['with --jobs and no list', () => ['a.vhd', '--sr', ID, '--jobs', '2'], '--jobs has no effect without --list'],
    ['with --again and no list', () => ['a.vhd', '--sr', ID, '--again'], '--again has no effect without --list'],
    ['with no such list', () => ['--list', '/nowhere/list'], 'cannot read /nowhere/list'],
    ['with an empty list', () => ['--list', list('# nothing')], 'lists no image'],
    ['with a line without an SR', () => ['--list', list('a.vhd')], 'line 1: it has no SR'],
    [
      'with an image of Glance and no service',
      () => ['--list', list(`b.vhd ${ID}`, `glance:${ID} ${ID}`)],
      'line 2: glance:ID needs the address',
    ],
  ])('%s is exit status 2 and a sentence, before anything is created', async (_, args, sentence) => {
    const calls = (await host.calls()).length;
    expect(await refused(args(), 2)).toContain(sentence);
    expect((await host.calls()).length).toBe(calls);
  });
});

describe('a list that cannot be imported at all', () => {
  test('is an error of its own if there is no toolstack', async () => {
    const file = list(stored('one.vhd', vhd), stored('two.vhd', vhd));
    const stderr = await refused(['--list', file, '--sr', sr], 1, {
      env: { VDISTREAM_XE: '/nowhere/xe' },
    });
    expect(stderr.match(/\(XE_MISSING\)/g)).toHaveLength(1);
  });

  test('is a failure of each image if there is no such SR', async () => {
    const { status, stderr } = await run(['import', '--list', list(stored('one.vhd', vhd)), '--sr', ID]);
    expect(status).toBe(201);
    expect(stderr).toContain('(XE_UUID)');
  });
});

test('Ctrl-C ends the imports that run and starts no more; what has finished stays', async () => {
  const images = Array.from({ length: 6 }, (_, index) => stored(`${index}.vhd`, vhd));
  const called = await callsFromNow(host);
  await host.fault({ command: 'vbd-plug', nth: 3, what: 'late' });
  const { status, stdout, stderr } = await run(['import', '--list', list(...images), '--sr', sr, '--jobs', '2'], {
    async during(child) {
      await called('vbd-plug', 3);
      // The others wait for the plug, so that the two before it have been reported or will be.
      await vi.waitUntil(() => host.state().vdi.filter(({ tags, uuid }) => tags.length > 0 && !made.includes(uuid)).length === 2, {
        timeout: 60_000,
      });
      await signalled(child, 'SIGINT');
      await host.release();
    },
  });
  expect(status).toBe(130);
  expect(arrived(stdout)).toHaveLength(2);
  expect(stderr).toContain('2 imported, 2 cancelled, 2 not started\n');
  expect(stderr).toMatch(/\(CANCELLED\)\n$/);
  expect(stderr.match(/\(CANCELLED\)/g)).toHaveLength(1);
  const resumed = await run(['import', '--list', list(...images), '--sr', sr]);
  expect(resumed).toMatchObject({ status: 0, stderr: '4 imported, 2 skipped\n' });
  arrived(resumed.stdout);
});
