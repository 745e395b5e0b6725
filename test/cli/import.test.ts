/** `vdistream import` and `reap` as a script runs them. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, vi } from 'vitest';
import { createRecords } from '../../src/xen/record.ts';
import { answer } from '../stand-in/answer.ts';
import { assertClean } from '../stand-in/clean.ts';
import { chainTar, sampleChain } from '../support/chains.ts';
import { host, imported, MiB, made, nameOf, refused, run, sr, stored, UUID_LINE } from '../support/cli-import.ts';
import { testFolder } from '../support/folder.ts';
import { content, ID, vhd } from '../support/glance-stand-in.ts';
import { callsFromNow } from '../support/import-host.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');

describe('what a script sees', () => {
  test('of an import is the uuid alone on standard output, and the summary on the other one', async () => {
    const { status, stdout, stderr } = await run(['import', stored('image.vhd', vhd), '--sr', sr, '--name', 'a disk', '--verify']);
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(UUID_LINE) });
    const uuid = stdout.trim();
    made.push(uuid);
    expect(stderr).toMatch(/^Wrote .*192 KiB written, 0 B zeroed, 1.81 MiB skipped, verified; /m);
    expect(stderr).toContain(`\nVDI ${uuid} "a disk" has 2 MiB on SR ${sr}.\n`);
    expectDisk(bytesOf(host, uuid), content, 2 * MiB);
    expect(nameOf(uuid)).toBe('a disk');
    assertClean(host, { vdis: made });
  });

  test('with --json is one object', async () => {
    const { status, stdout } = await run(['import', stored('image.ova', tarOf([['0.vhd', vhd]])), '--sr', sr, '--json']);
    expect(status).toBe(0);
    expect(stdout.indexOf('\n')).toBe(stdout.length - 1);
    const result = JSON.parse(stdout);
    made.push(result.vdi);
    expect(result).toMatchObject({ sr, name: 'image.ova', vdiSize: 2 * MiB, virtualSize: content.length, member: '0.vhd', layers: 1 });
    expect(result).toMatchObject({
      target: `/dev/sm/backend/${sr}/${result.vdi}`,
      verified: false,
      direct: true,
      warnings: [],
      ignored: [],
    });
    expect(result).toMatchObject({
      bytesWritten: content.length,
      bytesZeroed: 0,
      bytesSkipped: 2 * MiB - content.length,
      bytesRewritten: 0,
    });
    expect(Object.keys(result)).toEqual(expect.arrayContaining(['type', 'bytesRead', 'seconds']));
    assertClean(host, { vdis: made });
  });

  test('with --quiet is the uuid and nothing else', async () => {
    expect(await imported([stored('image.vhd', vhd), '--quiet'])).toBe('');
  });

  test('of a raw volume is what was zeroed, too', async () => {
    const lvm = await host.sr('lvm');
    const { stdout, stderr } = await run(['import', stored('image.vhd', vhd), '--sr', lvm.toUpperCase(), '--raw-vdi']);
    expect(stderr).toMatch(/192 KiB written, 3.81 MiB zeroed, 0 B skipped; /);
    made.push(stdout.trim());
    expectDisk(bytesOf(host, stdout.trim()), content, 4 * MiB);
    assertClean(host, { vdis: made });
  });

  test('is the same from standard input, and the VDI then has a name anyway', async () => {
    await imported(['-'], content, { input: vhd });
    expect(nameOf(made.at(-1))).toBe('vdistream');
  });

  test('is the same of a chain that ends with its leaf, with a folder for the layers before it', async () => {
    const chain = sampleChain();
    const staging = testFolder();
    await imported(['-', '--staging', staging], chain.content, { input: chainTar(chain.vhds, [2, 1, 0]) });
    expect(readdirSync(staging)).toEqual([]);
    expect(await refused(['-', '--sr', sr], 1, { input: chainTar(chain.vhds, [2, 1, 0]) })).toContain('(CHAIN_ORDER)');
  });

  test.each([
    [[], 2, 'SRC is missing'],
    [['image.vhd'], 2, 'import needs a destination: add --sr UUID, or --device PATH'],
    [['image.vhd', '--sr', 'local'], 2, 'is not the uuid of a storage repository'],
    [['image.vhd', '--device', '/dev/loop0', '--name', 'web-1'], 2, '--name has no effect with --device'],
    [['image.vhd', '--device', ''], 2, '--device has no value'],
    [['image.vhd', '--sr', ''], 2, '--sr has no value'],
    [['image.vhd', '--sr='], 2, '--sr has no value'],
    [['image.vhd', '--sr'], 2, '--sr has no value'],
    [['--sr', '--name', 'web-1', 'image.vhd'], 2, '--sr has no value'],
    [['image.vhd', '--device', '/dev/loop0', '--sr', 'local'], 2, 'is not the uuid of a storage repository'],
    [['image.vhd', '--sr', ID, '--zero=none'], 2, '--zero accepts auto, assume-zero or write, not "none"'],
    [['image.vhd', '--sr', ID, '--xe-timeout=0'], 2, '--xe-timeout expects seconds'],
    [['image.vhd', '--sr', ID, '--zero-tail'], 2, "Unknown option '--zero-tail'"],
    [['glance:ID', '--sr', ID], 2, 'add --glance URL'],
    [['glance:ID', '--sr', ID, '--glance', 'http://127.0.0.1', '--glance-version=3'], 2, '--glance-version accepts 1 or 2, not "3"'],
    [['http://127.0.0.1/a', '--sr', ID, '--cache', '/nowhere'], 2, 'add --cache-size SIZE'],
    [['http://127.0.0.1/a', '--sr', ID, '--cache', '/nowhere', '--cache-size=1Q'], 2, '--cache-size expects bytes'],
    [['/nowhere/image.vhd', '--sr', ID], 1, '(SOURCE_OPEN)'],
  ])('of %j is exit status %i and a sentence', async (args, status, sentence) => {
    expect(await refused(args, status)).toContain(sentence);
  });

  test('of an SR that is not there is its uuid, in JSON if that is asked for', async () => {
    const image = stored('image.vhd', vhd);
    expect(await refused([image, '--sr', ID], 1)).toMatch(/The uuid you supplied was invalid.*\n.*\(XE_UUID\)\n$/);
    const { error } = JSON.parse((await refused([image, '--sr', ID, '--json'], 1)).trim().split('\n').at(-1) ?? '');
    expect(error).toMatchObject({ code: 'XE_UUID', xapi: 'UUID_INVALID', message: expect.stringContaining(ID) });
  });

  test('of a full SR is what can be done about it', async () => {
    const small = await host.sr('lvm', { size: 4 * MiB });
    expect(await refused([stored('image.vhd', vhd), '--sr', small], 1)).toMatch(/insufficient space.*\n.*Free some space.*\(SR_FULL\)\n$/);
  });

  test('of an xe that is not there is how to name it', async () => {
    const image = stored('image.vhd', vhd);
    expect(await refused([image, '--sr', sr], 1, { env: { VDISTREAM_XE: '/nowhere/xe' } })).toContain('(XE_MISSING)');
    // The option counts before the environment.
    expect(await refused([image, '--sr', sr, '--xe', '/nowhere/else'], 1)).toContain('/nowhere/else');
    await imported([image, '--xe', host.xe, '--xe-timeout', '60'], content, { env: { VDISTREAM_XE: '/nowhere/xe' } });
  });

  test('of a host whose control domain is not known is that', async () => {
    const env = { VDISTREAM_INVENTORY: '/nowhere/inventory' };
    expect(await refused([stored('image.vhd', vhd), '--sr', sr], 1, { env })).toContain('(DOM0_UNKNOWN)');
  });
});

describe('reap', () => {
  test('finds nothing on a clean host, and says so', async () => {
    const nothing = { leftOvers: [], leftOverVbds: [], removed: 0, failed: 0 };
    for (const more of [[], ['--dry-run'], ['--sr', sr], ['--sr', sr.toUpperCase()]]) {
      expect(await run(['reap', ...more])).toEqual({ status: 0, stdout: 'No left-over VDIs found.\n', stderr: '' });
      const { status, stdout, stderr } = await run(['reap', '--json', ...more]);
      expect({ status, stderr, result: JSON.parse(stdout) }).toEqual({ status: 0, stderr: '', result: nothing });
      expect(await run(['reap', '--quiet', ...more])).toEqual({ status: 0, stdout: '', stderr: '' });
    }
    assertClean(host, { vdis: made });
  });

  test('with --quiet says what could not be removed, and nothing once it is gone', async () => {
    const token = '0'.repeat(32);
    const tag = `vdistream.${host.uuid}.2.00000000-0000-4000-8000-000000000000.1.1.1.${token}`;
    await createRecords(join(host.folder, 'records')).add(token, { tag, sr, name: 'left', size: 2_097_152 });
    const vdi = await answer(host, ['vdi-create', `sr-uuid=${sr}`, 'name-label=left', 'virtual-size=2097152', `tags:${tag}=`]);
    await host.fault({ command: 'vdi-destroy', always: true, what: { fail: ['VDI_IN_USE', vdi, 'destroy'] } });
    const failed = await run(['reap', '--quiet']);
    await host.noFaults();
    expect(failed).toEqual({ status: 1, stdout: '', stderr: expect.stringMatching(`^${vdi}  could not be removed: .*in use`) });
    expect(await run(['reap', '--quiet'])).toEqual({ status: 0, stdout: '', stderr: '' });
    assertClean(host, { vdis: made });
  });

  test('removes what a second signal leaves behind, as the message says', async () => {
    const called = await callsFromNow(host);
    await host.fault({ command: 'vbd-unplug', what: 'hang' });
    const ended = await run(['import', '-', '--sr', sr], {
      input: vhd.subarray(0, vhd.length - 512),
      async during(child) {
        await called('vbd-plug');
        let printed = '';
        child.stderr?.on('data', (text: string) => {
          printed += text;
        });
        child.kill('SIGINT');
        await called('vbd-unplug');
        // Whoever has not waited for a second sees no more than before.
        await vi.waitUntil(() => printed.includes('cancelled, cleaning up'), { timeout: 30_000 });
        child.kill('SIGINT');
      },
    });
    await host.noFaults();
    expect(ended).toMatchObject({ status: 130, stdout: '', stderr: expect.stringMatching(/second signal.*`vdistream reap`/) });
    expect(await run(['reap'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\S+ {2}removed\n$/) });
    assertClean(host, { vdis: made });
  });

  test.each([
    [['everything'], 2, 'reap accepts no operand'],
    [['--sr', 'local'], 2, 'is not the uuid of a storage repository'],
    [['--sr', ID], 1, '(XE_UUID)'],
    [['--all'], 2, "Unknown option '--all'"],
  ])('%j is exit status %i and a sentence, not a clean host', async (args, status, sentence) => {
    expect(await run(['reap', ...args])).toEqual({ status, stdout: '', stderr: expect.stringContaining(sentence) });
  });
});
