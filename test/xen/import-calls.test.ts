/** What an import says to the toolstack, and what of its caller never reaches it. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, vi } from 'vitest';
import { type ImportOptions, importImage, type SourceInput } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer } from '../support/http-server.ts';
import { imageOpener } from '../support/image-opener.ts';
import { bytesOf, expectDisk, toolstackOf } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { sample } from '../support/packages.ts';

const test = testWith('root', 'loop', 'g++');
const { vhd, content } = sample(1);
const ROUNDED = 2 ** 21;

let host: Host;
beforeEach(async () => {
  host = await startHost();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await host?.stop();
});

function stored(name: string, bytes: Uint8Array = vhd): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

type Options = Partial<ImportOptions>;

const importing = (input: SourceInput | readonly SourceInput[], sr: string, options: Options = {}) =>
  importImage(input, { sr, xe: toolstackOf(host), ...options });

/** The calls so far, with the uuids chosen by the toolstack replaced by names. */
async function callsWith(names: Readonly<Record<string, string>>): Promise<string[]> {
  const calls = (await host.calls()).map((call) => call.join(' '));
  return calls.map((call) => Object.entries(names).reduce((text, [name, uuid]) => text.replaceAll(uuid, name), call));
}

async function commands(): Promise<string[]> {
  return (await host.calls()).map(([command]) => command ?? '');
}

describe('the calls of an import', () => {
  test('are these and no others, in this order', async () => {
    const sr = await host.sr('lvm');
    // A VBD is gone in the end, so its uuid is looked at while it is there.
    await host.fault({ command: 'vbd-plug', when: 'after', what: 'late' });
    const running = importing(stored('image.vhd'), sr, { rawVdi: true, name: 'a disk' });
    await host.called('vbd-plug');
    await vi.waitFor(() => expect(host.state().vbd[0]?.currentlyAttached).toBe(true), { timeout: 30_000 });
    const [vbd = ''] = host.state().vbd.map(({ uuid }) => uuid);
    const [ownerTag = ''] = host.state().vdi.flatMap(({ tags }) => tags);
    await host.release();
    const { vdi } = await running;

    expect(ownerTag).toMatch(new RegExp(`^vdistream\\.${host.uuid}\\.2\\.[0-9a-f-]{36}\\.\\d+\\.${process.pid}\\.\\d+\\.[0-9a-f]{32}$`));
    expect(await callsWith({ SR: sr, VDI: vdi, VBD: vbd, DOM0: host.dom0, MARK: ownerTag })).toEqual([
      'sr-param-get --trace uuid=SR param-name=type',
      'sr-param-get --trace uuid=SR param-name=sm-config',
      'vdi-list --minimal sr-uuid=SR params=tags',
      `vdi-create --trace sr-uuid=SR name-label=a disk virtual-size=${content.length} type=user tags:MARK= sm-config:type=raw`,
      'vdi-param-get --trace uuid=VDI param-name=virtual-size',
      'vbd-create --trace vm-uuid=DOM0 vdi-uuid=VDI device=autodetect bootable=false mode=RW type=Disk unpluggable=true',
      'vbd-plug --trace uuid=VBD',
      // `device` is never cleared, so it counts only for what is attached.
      'vbd-list --minimal uuid=VBD currently-attached=true params=device',
      'vbd-unplug --trace uuid=VBD',
      'vbd-destroy --trace uuid=VBD',
      expect.stringMatching(/^vdi-param-set --trace uuid=VDI other-config:vdistream-source=[0-9a-f]{64} other-config:vdistream-vdi=VDI$/),
      'vdi-param-remove --trace uuid=VDI param-name=tags param-key=MARK',
    ]);
    expectDisk(bytesOf(host, vdi), content, 2 * ROUNDED);
    const otherConfig = { 'vdistream-source': expect.any(String), 'vdistream-vdi': vdi };
    expect(host.state().vdi).toMatchObject([{ tags: [], nameLabel: 'a disk', otherConfig }]);
    assertClean(host, { vdis: [vdi] });
  });

  test('tag the disk in the same call that creates it, each import with a different tag', async () => {
    const sr = await host.sr('ext');
    await host.fault({ command: 'vdi-create', when: 'after', always: true, what: 'late' });
    const running = [1, 2].map((number) => importing(stored(`${number}.vhd`), sr));
    await host.called('vdi-create', 2);
    await vi.waitFor(() => expect(host.state().vdi.length).toBe(2), { timeout: 30_000 });
    const marks = host.state().vdi.map(({ tags }) => tags);
    expect(marks).toEqual([[expect.stringMatching(/^vdistream\./)], [expect.stringMatching(/^vdistream\./)]]);
    expect(marks[0]).not.toEqual(marks[1]);
    await host.release();
    const results = await Promise.all(running);
    assertClean(host, { vdis: results.map(({ vdi }) => vdi) });
    expect(host.state().vdi.map(({ tags }) => tags)).toEqual([[], []]);
  });

  test('are made only once the image is known to exist, except for queries', async () => {
    const sr = await host.sr('ext');
    const error = await failure(importing(stored('image.ova', Buffer.alloc(1024, 'no image')), sr));
    expect(error.exitCode).toBe(1);
    expect((await commands()).filter((command) => !/-(list|get)$/.test(command))).toEqual([]);
  });

  test.each(['', 'sr', 'a7f3\n', 'a6340fe5-afdc-4420-9cad-1bc22cab27f6\nuuid=x'])(
    'are not made for an SR that is not a uuid: %j',
    async (sr) => {
      expect(await failure(importing(stored('image.vhd'), sr))).toMatchObject({ code: 'USAGE' });
      expect(await commands()).toEqual([]);
    },
  );

  test('create nothing on an SR that does not exist', async () => {
    const error = await failure(importing(stored('image.vhd'), host.uuid));
    expect(error).toMatchObject({ code: 'XE_UUID', xapi: 'UUID_INVALID', left: [] });
    expect((await commands()).filter((command) => !/-(list|get)$/.test(command))).toEqual([]);
  });

  test('end the import if they are refused, even before the image begins to arrive', async () => {
    async function* nothing(): AsyncIterable<Uint8Array> {
      await new Promise(() => {});
    }
    expect(await failure(importing(nothing(), host.uuid))).toMatchObject({ code: 'XE_UUID', xapi: 'UUID_INVALID', left: [] });
  });

  test('are cancelled when there is no image', async () => {
    const sr = await host.sr('ext');
    await host.fault({ command: 'sr-param-get', what: 'hang' });
    const xe = { ...toolstackOf(host), timeout: Number.POSITIVE_INFINITY, grace: 100 };
    expect(await failure(importing('/nowhere/image.vhd', sr, { xe }))).toMatchObject({ code: 'SOURCE_OPEN' });
  });
});

describe('the name', () => {
  const labels = (): string[] => host.state().vdi.map(({ nameLabel }) => nameLabel);

  test.each([
    ['a file', () => stored('web server.vhd'), 'web server.vhd'],
    ['a chain of files, of which the first is the leaf', () => [stored('leaf.vhd')], 'leaf.vhd'],
    ['a custom opener', () => imageOpener(vhd, { name: 'glance image 7' }), 'glance image 7'],
    ['a file whose name has control characters', () => stored('a\nuuid=b\x1b[31m\x7f\x85.vhd'), 'a uuid=b [31m  .vhd'],
    ['a file whose name has nothing but control characters', () => stored('\n\t'), 'vdistream'],
  ])('is that of %s', async (_, input, name) => {
    const { vdi, name: returned } = await importing(input(), await host.sr('ext'));
    expect({ returned, labels: labels() }).toEqual({ returned: name, labels: [name] });
    assertClean(host, { vdis: [vdi] });
  });

  test('of a URL is shown without anything that may be secret', async () => {
    const { url } = await httpServer({ image: vhd });
    await importing(url('/images/a.vhd?signature=s3cret#part'), await host.sr('ext'));
    expect(labels()).toEqual(['a.vhd']);
    expect(JSON.stringify(await host.calls())).not.toContain('s3cret');
  });

  test.each(['$(reboot); `x` | "y" \'z\' & \\ %s * ~', 'a=b, c=d; server=192.0.2.1', '--minimal', 'Zürich 東京 \u{1f4be}', ''])(
    'reaches the toolstack unchanged: %j',
    async (name) => {
      await importing(stored('image.vhd'), await host.sr('ext'), { name });
      expect(labels()).toEqual([name]);
    },
  );

  test.each(['a\nsr-uuid=b', 'a\rb', 'a\0b', 'a\x1b[31mb', '\x7f'])('must not contain a control character: %j', async (name) => {
    const error = await failure(importing(stored('image.vhd'), await host.sr('ext'), { name }));
    expect(error).toMatchObject({ code: 'USAGE', left: [] });
    expect(await commands()).not.toContain('vdi-create');
    assertClean(host);
  });
});

describe('the environment of the caller', () => {
  test('neither redirects the client nor reaches it', async () => {
    const home = testFolder();
    writeFileSync(join(home, '.xe'), 'server=192.0.2.1\nusername=guest\n');
    const traps = { HOME: home, XE_EXTRA_ARGS: 'server=192.0.2.1' };
    // They are traps: none of them leads to a server.
    for (const [name, value] of Object.entries(traps)) {
      expect(await host.run(['vdi-list'], { [name]: value })).toMatchObject({ status: 1, stderr: expect.stringContaining('refused') });
    }
    for (const [name, value] of Object.entries({ ...traps, OS_TOKEN: 'gAAAAABsecret' })) vi.stubEnv(name, value);
    const seen = join(home, 'seen');
    const program = join(home, 'xe');
    writeFileSync(program, `#!/bin/sh\ntr '\\0' '\\n' </proc/$$/environ >>${seen}\nexec ${host.xe} "$@"\n`, { mode: 0o755 });
    const { vdi } = await importing(stored('image.vhd'), await host.sr('ext'), { xe: { ...toolstackOf(host), program } });
    assertClean(host, { vdis: [vdi] });
    const variables = new Set(readFileSync(seen, 'utf8').trim().split('\n'));
    expect([...variables].sort()).toEqual(['LC_ALL=C', `PATH=${process.env.PATH}`]);
  });
});

describe('the control domain', () => {
  let inventory: string;
  const plugged = async (): Promise<string | undefined> =>
    (await host.calls()).find(([command]) => command === 'vbd-create')?.find((argument) => argument.startsWith('vm-uuid='));
  const importHere = async (lines: readonly string[]) => {
    writeFileSync(inventory, `${lines.join('\n')}\n`);
    return importing(stored('image.vhd'), await host.sr('ext'), { xe: { ...toolstackOf(host), inventory } });
  };
  beforeEach(() => {
    inventory = join(testFolder(), 'inventory');
  });

  test.each([
    ['is not in the inventory', () => []],
    ['has no uuid in the inventory', () => [`CONTROL_DOMAIN_UUID=''`]],
    ['has an invalid uuid in the inventory', () => [`CONTROL_DOMAIN_UUID='dom0'`]],
    [
      'is in the inventory only under another name',
      () => [`OLD_CONTROL_DOMAIN_UUID='${host.guest}'`, `#CONTROL_DOMAIN_UUID='${host.guest}'`],
    ],
  ])('is queried if it %s: that of this host, not a storage driver domain, nor that of another host', async (_, more) => {
    const { vdi } = await importHere([`INSTALLATION_UUID='${host.uuid}'`, ...more()]);
    expect(await plugged()).toBe(`vm-uuid=${host.dom0}`);
    const [question] = (await callsWith({ HOST: host.uuid })).filter((call) => call.startsWith('vm-list'));
    expect(question).toBe('vm-list --minimal is-control-domain=true resident-on=HOST dom-id=0');
    assertClean(host, { vdis: [vdi] });
  });

  test('is read from the inventory in any of its notations', async () => {
    await importHere([`  INSTALLATION_UUID = ' ${host.uuid.toUpperCase()} '  `, `CONTROL_DOMAIN_UUID=${host.dom0}`]);
    expect(await plugged()).toBe(`vm-uuid=${host.dom0}`);
    expect(await commands()).not.toContain('vm-list');
  });

  test.each([
    ['the inventory names no host', () => [`CONTROL_DOMAIN_UUID='${host.dom0}'`]],
    ['the toolstack has none for that host', () => [`INSTALLATION_UUID='${host.guest}'`]],
  ])('is unknown if %s, and then nothing is created', async (_, lines) => {
    expect(await failure(importHere(lines()))).toMatchObject({ code: 'DOM0_UNKNOWN', left: [] });
    expect(await commands()).not.toContain('vdi-create');
  });

  test('is unknown if there is no inventory', async () => {
    const sr = await host.sr('ext');
    const error = await failure(
      importing(stored('image.vhd'), sr, { xe: { ...toolstackOf(host), inventory: join(testFolder(), 'none') } }),
    );
    expect(error).toMatchObject({ code: 'DOM0_UNKNOWN', message: expect.stringContaining('/none') });
    expect(await commands()).not.toContain('vdi-create');
  });
});
