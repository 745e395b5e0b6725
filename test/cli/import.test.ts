/** `vdistream import` and `reap` as a script runs them, and what SRC can be. */

import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, vi } from 'vitest';
import { answer } from '../stand-in/answer.ts';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { certificateAuthority } from '../support/certificates.ts';
import { chainTar, sampleChain } from '../support/chains.ts';
import { type CliOptions, cli, type Outcome } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';
import { content, glanceV1, glanceV2, honest, ID, said, strong, TOKEN, vhd } from '../support/glance-stand-in.ts';
import { closedPort, httpServer } from '../support/http-server.ts';
import { callsFromNow } from '../support/import-host.ts';
import { bytesOf, environmentOf, expectDisk } from '../support/imported.ts';
import { type LoopDevice, type LoopOptions, withLoop } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');
const MiB = 2 ** 20;
const UUID_LINE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/;

let host: Host;
let sr: string;
const made: string[] = [];
beforeAll(async () => {
  host = await startHost();
  sr = await host.sr('ext');
});
afterAll(() => host?.stop());

interface More extends CliOptions {
  readonly env?: Readonly<Record<string, string>>;
}

/** On the host without Xen. */
const run = (args: readonly string[], { env = {}, ...more }: More = {}): Promise<Outcome> =>
  cli(args, { ...more, env: { ...environmentOf(host), ...env } });

/** An import that succeeds with this disk, without a word about its token; gives the summary. */
async function imported(args: readonly string[], disk: Uint8Array = content, more: More = {}): Promise<string> {
  const { status, stdout, stderr } = await run(['import', ...args, '--sr', sr], more);
  // What it says is shown where it fails. Progress may be among it where it takes its time.
  expect({ status, said: status === 0 ? '' : stderr }).toEqual({ status: 0, said: '' });
  expect(stdout).toMatch(UUID_LINE);
  made.push(stdout.trim());
  assertClean(host, { vdis: made });
  expectDisk(bytesOf(host, stdout.trim()), disk);
  expect(stderr).not.toContain(TOKEN);
  return stderr;
}

/** One that fails, and has made nothing; gives what it says. */
async function refused(args: readonly string[], status: number, more: More = {}): Promise<string> {
  const outcome = await run(['import', ...args], more);
  expect(outcome).toMatchObject({ status, stdout: '' });
  expect(outcome.stderr).not.toContain(TOKEN);
  assertClean(host, { vdis: made });
  return outcome.stderr;
}

function stored(name: string, bytes: Uint8Array | string): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

const nameOf = (uuid: string | undefined): string | undefined => host.state().vdi.find((vdi) => vdi.uuid === uuid)?.nameLabel;

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

  test('is the same from standard input, and the VDI then has a name all the same', async () => {
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
    [['image.vhd'], 2, 'where to? Give --sr UUID, or --device PATH'],
    [['image.vhd', '--sr', 'local'], 2, 'is not the uuid of a storage repository'],
    [['image.vhd', '--device', '/dev/loop0', '--name', 'web-1'], 2, '--name is for a new VDI'],
    [['image.vhd', '--device', ''], 2, 'the path of --device is missing'],
    [['image.vhd', '--device', '/dev/loop0', '--sr', 'local'], 2, 'is not the uuid of a storage repository'],
    [['image.vhd', '--sr', ID, '--zero=none'], 2, '--zero takes auto, assume-zero, write'],
    [['image.vhd', '--sr', ID, '--xe-timeout=0'], 2, '--xe-timeout takes seconds'],
    [['image.vhd', '--sr', ID, '--zero-tail'], 2, "Unknown option '--zero-tail'"],
    [['glance:ID', '--sr', ID], 2, 'Give --glance ENDPOINT'],
    [['glance:ID', '--sr', ID, '--glance', 'http://127.0.0.1', '--glance-version=3'], 2, '--glance-version takes 1, 2'],
    [['http://127.0.0.1/a', '--sr', ID, '--cache', '/nowhere'], 2, 'Give --cache-size BYTES'],
    [['http://127.0.0.1/a', '--sr', ID, '--cache', '/nowhere', '--cache-size=1Q'], 2, '--cache-size takes bytes'],
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
    expect(await refused([stored('image.vhd', vhd), '--sr', small], 1)).toMatch(/insufficient space.*\n.*Free space there.*\(SR_FULL\)\n$/);
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

describe('--device', () => {
  const OLD = 0xaa;
  const withOld = <T>(use: (device: LoopDevice) => Promise<T>, options: Partial<LoopOptions> = {}): Promise<T> =>
    withLoop({ size: 4 * MiB, fill: OLD, ...options }, use);
  const noXe = { env: { VDISTREAM_XE: '/nowhere/xe', VDISTREAM_INVENTORY: '/nowhere' } };

  test.each([512, 4096] as const)('writes to all of a device, without a toolstack, with sectors of %i bytes', async (sector) => {
    await withOld(
      async (device) => {
        const { status, stdout, stderr } = await run(['import', stored('image.vhd', vhd), '--device', device.path, '--verify'], noXe);
        expect({ status, said: status === 0 ? '' : stderr }).toEqual({ status: 0, said: '' });
        expect(stdout).toMatch(/^Wrote .* to \/dev\/loop\d+: 192 KiB written, 3.81 MiB zeroed, 0 B skipped, verified; /);
        expectDisk(device.read(0, device.size), content);
      },
      { sector },
    );
  });

  test('leaves alone what reads as zero on a new disk of the SR that is named, and makes no VDI there', async () => {
    await withOld(async (device) => {
      const { status, stdout } = await run(['import', stored('image.vhd', vhd), '--device', device.path, '--sr', sr, '--json']);
      expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: 0, target: device.path, bytesZeroed: 0 });
      expect(device.read(0, content.length).equals(content)).toBe(true);
      expect(device.holds(OLD, content.length, device.size)).toBe(true);
      assertClean(host, { vdis: made });
    });
  });

  test.each([
    ['a raw volume on LVM', ['--raw-vdi'], {}],
    ['an SR from before there were VHDs on LVM', [], { smConfig: {} }],
    ['one that is asked to be zeroed', ['--zero=auto'], {}],
  ])('zeroes what would show old data: %s', async (_, args, options) => {
    const lvm = await host.sr('lvm', options);
    await withOld(async (device) => {
      const { status, stdout } = await run(['import', stored('image.vhd', vhd), '--device', device.path, '--sr', lvm, ...args, '--quiet']);
      expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
      expectDisk(device.read(0, device.size), content);
    });
  });

  test('has the guards of write: of a device that is too small, that is in use, that is none', async () => {
    const image = stored('image.vhd', vhd);
    const small = await withOld((device) => refused([image, '--device', device.path], 3, noXe), { size: 128 * 1024 });
    expect(small).toContain('(TARGET_SMALL)');
    await withOld(async (device) => {
      // As whoever mounts it does.
      const held = openSync(device.path, constants.O_RDONLY | constants.O_EXCL);
      try {
        expect(await refused([image, '--device', device.path], 3, noXe)).toContain('(TARGET_BUSY)');
      } finally {
        closeSync(held);
      }
      expect(device.holds(OLD, 0, device.size)).toBe(true);
    });
    expect(await refused([image, '--device', '/dev/null'], 3, noXe)).toContain('(TARGET_TYPE)');
    expect(await refused([image, '--device', '/dev/nowhere'], 1, noXe)).toContain('(TARGET_OPEN)');
  });
});

describe('reap', () => {
  test('finds nothing on a clean host, and says so', async () => {
    const nothing = { leftOvers: [], removed: 0, failed: 0 };
    for (const more of [[], ['--dry-run'], ['--sr', sr], ['--sr', sr.toUpperCase()]]) {
      expect(await run(['reap', ...more])).toEqual({ status: 0, stdout: 'No unfinished VDI of an import is there.\n', stderr: '' });
      const { status, stdout, stderr } = await run(['reap', '--json', ...more]);
      expect({ status, stderr, result: JSON.parse(stdout) }).toEqual({ status: 0, stderr: '', result: nothing });
      expect(await run(['reap', '--quiet', ...more])).toEqual({ status: 0, stdout: '', stderr: '' });
    }
    assertClean(host, { vdis: made });
  });

  test('with --quiet says what could not be removed, and nothing once it is gone', async () => {
    const mark = `vdistream.${host.uuid}.00000000-0000-4000-8000-000000000000.1.1.1`;
    const vdi = await answer(host, ['vdi-create', `sr-uuid=${sr}`, 'name-label=left', 'virtual-size=2097152', `tags:${mark}=`]);
    await host.fault({ command: 'vdi-destroy', always: true, what: { fail: ['VDI_IN_USE', vdi, 'destroy'] } });
    const failed = await run(['reap', '--quiet']);
    await host.noFaults();
    expect(failed).toEqual({ status: 1, stdout: '', stderr: expect.stringMatching(`^${vdi}  could not be removed: .*in use`) });
    expect(await run(['reap', '--quiet'])).toEqual({ status: 0, stdout: '', stderr: '' });
    assertClean(host, { vdis: made });
  });

  test('removes what a second signal leaves, which is told', async () => {
    const called = await callsFromNow(host);
    await host.fault({ command: 'vbd-unplug', what: 'hang' });
    const ended = await run(['import', '-', '--sr', sr], {
      input: vhd.subarray(0, vhd.length - 512),
      async during(child) {
        await called('vbd-plug');
        let told = '';
        child.stderr?.on('data', (text: string) => {
          told += text;
        });
        child.kill('SIGINT');
        await called('vbd-unplug');
        // Whoever has not waited for a second sees no more than before.
        await vi.waitUntil(() => told.includes('cancelled, and cleaning up'), { timeout: 30_000 });
        child.kill('SIGINT');
      },
    });
    await host.noFaults();
    expect(ended).toMatchObject({ status: 130, stdout: '', stderr: expect.stringMatching(/second signal.*`vdistream reap`/) });
    expect(await run(['reap'])).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\S+ {2}removed\n$/) });
    assertClean(host, { vdis: made });
  });

  test.each([
    [['everything'], 2, 'reap takes no operand'],
    [['--sr', 'local'], 2, 'is not the uuid of a storage repository'],
    [['--sr', ID], 1, '(XE_UUID)'],
    [['--all'], 2, "Unknown option '--all'"],
  ])('%j is exit status %i and a sentence, not a clean host', async (args, status, sentence) => {
    expect(await run(['reap', ...args])).toEqual({ status, stdout: '', stderr: expect.stringContaining(sentence) });
  });
});

describe('a URL', () => {
  test('is imported, looked at, checked and compared', async () => {
    const { url } = await httpServer({ image: vhd });
    await imported([url('/a.vhd?signature=s3cret')]);
    expect(nameOf(made.at(-1))).toBe('a.vhd');
    const looked = await run(['info', url('/a.vhd?signature=s3cret')]);
    expect(looked).toMatchObject({ status: 0, stdout: expect.stringContaining(`${content.length} bytes`) });
    const checked = await run(['check', url('/a.vhd?signature=s3cret')]);
    expect(checked).toMatchObject({ status: 0, stdout: expect.stringContaining('/a.vhd: good: 0 errors') });
    expect(looked.stdout + checked.stdout).not.toContain('s3cret');
    const same = stored('same', content);
    expect(await run(['verify', url(), same])).toMatchObject({ status: 0, stdout: expect.stringContaining('holds the image') });
    const other = Buffer.from(content);
    other.writeUInt8(other.readUInt8(70_000) ^ 1, 70_000);
    expect(await run(['verify', url(), stored('other', other)])).toMatchObject({
      status: 4,
      stderr: expect.stringContaining('VERIFY_MISMATCH'),
    });
  });

  test('of a server with a private certificate is fetched with --ca, and never without', async () => {
    const folder = testFolder();
    const authority = certificateAuthority(folder);
    const server = await httpServer({ image: vhd, tls: authority.issue('IP:127.0.0.1') });
    expect(await refused([server.url(), '--sr', sr], 1)).toContain('(HTTP_TLS)');
    expect(server.requests).toEqual([]);
    await imported([server.url(), '--ca', stored('ca.pem', authority.ca)]);
    expect(await refused([server.url(), '--sr', sr, '--ca', stored('none.pem', 'nothing')], 2)).toContain('PEM');
    expect(await refused([server.url(), '--sr', sr, '--ca', '/nowhere/ca.pem'], 2)).toContain('/nowhere/ca.pem');
  });

  test('gets the headers of a file, and no token that is for Glance', async () => {
    const server = await httpServer({ image: vhd });
    const headers = stored('headers', `# for this server\n\nX-One: a: b \r\nAuthorization:Basic ${TOKEN}\n`);
    await imported([server.url(), '--headers', headers], content, { env: { OS_TOKEN: 'gAAAAABother' } });
    for (const request of server.requests) expect(request.headers).toMatchObject({ 'x-one': 'a: b', authorization: `Basic ${TOKEN}` });
    expect(server.requests.some(({ headers: sent }) => 'x-auth-token' in sent)).toBe(false);
  });

  test.each([
    ['has no name', `X-Auth-Token: a\n${TOKEN}\n`, 'line 2'],
    ['is no header', `X-Auth Token: ${TOKEN}\n`, 'the name of a header'],
    ['holds what no header may', `X-Auth-Token: ${TOKEN}\u{1f4be}\n`, 'x-auth-token'],
  ])('is not fetched where a line of the file %s, which is not shown', async (_, text, sentence) => {
    const server = await httpServer({ image: vhd });
    expect(await refused([server.url(), '--sr', sr, '--headers', stored('headers', text)], 2)).toContain(sentence);
    expect(server.requests).toEqual([]);
  });
});

describe('an image of Glance', () => {
  const from = (...endpoints: readonly string[]): string[] => [`glance:${ID}`, ...endpoints.flatMap((one) => ['--glance', one])];
  const token = { env: { OS_TOKEN: TOKEN } };

  test('comes with the token of the environment, which nobody gets to see', async () => {
    const server = await glanceV2(strong);
    await imported(from(server.url('')), content, token);
    expect(nameOf(made.at(-1))).toBe(`glance image ${ID}`);
    for (const { headers } of server.requests) expect(headers['x-auth-token']).toBe(TOKEN);
    const { stdout, stderr } = await run(['info', ...from(server.url('/v2')), '--json'], token);
    expect(JSON.parse(stdout)).toMatchObject({ virtualSize: content.length });
    expect(stdout + stderr).not.toContain(TOKEN);
    expect(JSON.stringify(await host.calls())).not.toContain(TOKEN);
  });

  test('comes with the token of a file, which counts before that of the environment', async () => {
    const server = await glanceV2(strong);
    const headers = stored('headers', `X-Auth-Token: ${TOKEN}`);
    await imported([...from(server.url('')), '--headers', headers], content, { env: { OS_TOKEN: 'gAAAAABold' } });
  });

  test.each(['gAAAAABwrong', ''])('is refused without the right token, and the message has none: %j', async (wrong) => {
    const server = await glanceV2(strong);
    const said = await refused([...from(server.url('')), '--sr', sr], 1, { env: { OS_TOKEN: wrong } });
    expect(said).toContain('(HTTP_AUTH)');
    expect(said).not.toContain('gAAAAAB');
    expect('x-auth-token' in (server.requests[0]?.headers ?? {})).toBe(wrong !== '');
  });

  test('comes from the second endpoint where nobody answers at the first', async () => {
    const server = await glanceV2(strong);
    const dead = `http://127.0.0.1:${await closedPort()}`;
    await imported(from(dead, server.url('')), content, token);
    expect(said(server)).toEqual([`GET /v2/images/${ID}`, `GET /v2/images/${ID}/file`]);
  });

  test('comes from a service of version 1', async () => {
    const server = await glanceV1();
    await imported([...from(server.url('')), '--glance-version', '1'], content, token);
    expect(said(server)).toEqual([`HEAD /v1/images/${ID}`, `GET /v1/images/${ID}`]);
  });

  test('is fetched whole first with --staging, and nothing of it stays there', async () => {
    const server = await glanceV2(strong);
    const staging = join(testFolder(), 'made', 'when needed');
    await imported([...from(server.url('')), '--staging', staging], content, token);
    expect(readdirSync(staging)).toEqual([]);
    const lying = await glanceV2({ ...strong, os_hash_value: createHash('sha512').update('another').digest('hex') });
    const wrong = await refused([...from(lying.url('')), '--staging', staging, '--sr', sr], 1, token);
    expect(wrong).toContain('(SOURCE_CHECKSUM)');
    expect(readdirSync(staging)).toEqual([]);
  });

  test('is fetched only once with --cache, whichever command wants it', async () => {
    const server = await glanceV2(strong);
    const cache = join(testFolder(), 'cache');
    const kept = [...from(server.url('')), '--cache', cache, '--cache-size', '1M'];
    const bytes = (): number => said(server).filter((line) => line.endsWith('/file')).length;
    await imported(kept, content, token);
    await imported(kept, content, token);
    expect(await run(['check', ...kept], token)).toMatchObject({ status: 0 });
    expect(bytes()).toBe(1);
    const names = readdirSync(cache);
    expect(names).toHaveLength(1);
    expect(readFileSync(join(cache, names[0] ?? '')).equals(vhd)).toBe(true);
    // What has been changed there is no longer what its name says, and is fetched anew.
    writeFileSync(join(cache, names[0] ?? ''), Buffer.alloc(vhd.length));
    await imported(kept, content, token);
    expect(bytes()).toBe(2);
  });

  test('that is too large for the cache is imported all the same, and not kept', async () => {
    const server = await glanceV2(honest);
    const cache = testFolder();
    await imported([...from(server.url('')), '--cache', cache, '--cache-size', '100K'], content, token);
    expect(readdirSync(cache)).toEqual([]);
  });
});
