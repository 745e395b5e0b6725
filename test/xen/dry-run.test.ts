/** Dry runs of imports: what they find out, and that they change nothing. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { dryRunImport, dryRunImportToDevice, type ImportDryRun } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import type { SrOptions } from '../stand-in/control.mjs';
import { type Host, startHost } from '../stand-in/host.ts';
import { noise } from '../support/chunks.ts';
import { deadImport } from '../support/dead-import.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { bytesOf, expectDisk, toolstackOf } from '../support/imported.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { createPlugs } from '../support/plugs.ts';
import { withServer } from '../support/server-process.ts';

const test = testWith('root', 'loop', 'g++');
const MiB = 2 ** 20;
const SIZE = 6 * MiB;

let host: Host;
beforeAll(async () => {
  host = await startHost();
});
afterAll(() => host?.stop());
afterEach(async () => {
  for (const { uuid } of host.state().vdi) await host.run(['vdi-destroy', `uuid=${uuid}`]);
  assertClean(host);
});
// Its own clean-up runs before the one above.
const plugged = createPlugs(() => host);

function image(): string {
  const path = join(testFolder(), 'image.vhd');
  writeFileSync(path, dynamicVhd({ size: SIZE, blocks: new Map([[1, noise(2 * MiB, 1)]]) }));
  return path;
}

/** Also throws if a command was run that changes anything. */
async function dryRun(sr: string, options: object = {}, input = image()): Promise<ImportDryRun> {
  const before = (await host.calls()).length;
  const found = await dryRunImport(input, { sr, xe: toolstackOf(host), ...options });
  const commands = new Set((await host.calls()).slice(before).map(([command]) => command));
  expect([...commands].filter((command) => !/-(list|param-get)$/.test(command ?? ''))).toEqual([]);
  return found;
}

const COMMON = { member: undefined, type: 'dynamic', layers: 1, virtualSize: SIZE, allocatedBytes: 2 * MiB, warnings: [], shortfall: 0 };

describe('of an import', () => {
  test.each([
    ['ext', {}, {}, { readsZero: true, rawVdi: false, zero: 'auto', emptyRegions: 'skip' }],
    ['lvm', {}, { rawVdi: true }, { readsZero: false, rawVdi: true, zero: 'auto', emptyRegions: 'zero' }],
    ['lvm', { smConfig: {} }, {}, { readsZero: false, rawVdi: false, zero: 'auto', emptyRegions: 'zero' }],
    ['nfs', {}, { zero: 'write' }, { readsZero: true, zero: 'write', emptyRegions: 'write' }],
    ['nfs', {}, { zero: 'auto' }, { readsZero: true, zero: 'auto', emptyRegions: 'zero' }],
  ] as const)('reports the disk, the host and the SR: %s, %j, %j', async (type, srOptions: SrOptions, options, expected) => {
    const sr = await host.sr(type, { ...srOptions, size: 64 * MiB });
    const found = await dryRun(sr, options);
    expect(found).toEqual({
      ...COMMON,
      ...{ sr, srType: type, host: host.uuid, name: 'image.vhd', rawVdi: false, freeBytes: 64 * MiB, leftOvers: [] },
      ...expected,
    });
  });

  test('lists the left-over VDIs that would be removed, and removes none', async () => {
    const sr = await host.sr('ext');
    const tagged = async (tag: string): Promise<string> =>
      (await host.run(['vdi-create', `sr-uuid=${sr}`, 'name-label=left', 'virtual-size=2MiB', `tags:${tag}=`])).stdout.trim();
    const boot = '00000000-0000-4000-8000-000000000000';
    const dead = await deadImport(host, sr);
    await tagged(`vdistream.${boot}.${boot}.1.1.1`);
    const { leftOvers } = await dryRun(sr);
    expect(leftOvers).toEqual([{ vdi: dead, host: host.uuid, pid: 1, owner: 'dead', removed: false, left: [] }]);
    expect(host.state().vdi).toHaveLength(2);
  });

  test('warns if the left-over VDIs cannot be listed', async () => {
    await host.fault({ command: 'vdi-list', what: 'die' });
    const { warnings } = await dryRun(await host.sr('ext'));
    expect(warnings).toEqual([{ code: 'REAP_LEFT', message: 'xe vdi-list: Lost connection to the server.' }]);
  });

  test('reports what an SR of files lacks, since the disk may need less than its size', async () => {
    const found = await dryRun(await host.sr('ext', { size: 4 * MiB }));
    expect(found).toMatchObject({ freeBytes: 4 * MiB, shortfall: 2 * MiB });
    expect(await dryRun(await host.sr('ext', { size: -1 }))).toMatchObject({ freeBytes: undefined, shortfall: 0 });
  });

  test('rejects for a volume that cannot fit, unless a left-over VDI would be removed first', async () => {
    const full = await host.sr('lvm', { size: 4 * MiB });
    expect(await failure(dryRun(full))).toMatchObject({ code: 'SR_FULL', exitCode: 1, left: [] });
    await deadImport(host, full, 4 * MiB, 'sm-config:type=raw');
    expect(await dryRun(full)).toMatchObject({ freeBytes: 0, shortfall: SIZE });
  });

  test('rejects as the import does', async () => {
    const xe = { ...toolstackOf(host), program: '/nowhere/xe' };
    const sr = await host.sr('ext');
    expect(await failure(dryRun(sr, { xe }))).toMatchObject({ code: 'XE_MISSING' });
    expect(await failure(dryRun('00000000-0000-4000-8000-000000000000'))).toMatchObject({ code: 'XE_UUID' });
    expect(await failure(dryRun('nothing'))).toMatchObject({ code: 'USAGE' });
    expect(await failure(dryRun(sr, {}, '/nowhere.vhd'))).toMatchObject({ code: 'SOURCE_OPEN' });
    expect(await failure(dryRun(await host.sr('ext', { attached: false })))).toMatchObject({ code: 'SR_UNAVAILABLE' });
    const huge = { raw: true, virtualSize: 17 * 2 ** 40, verify: true };
    expect(await failure(dryRunImport(emptyStream(), { sr, xe: toolstackOf(host), ...huge }))).toMatchObject({ code: 'USAGE' });
  });

  test.each(['sr-param-get', 'vdi-list', 'pbd-list'])('obeys a cancel during %s', async (command) => {
    const sr = await host.sr('lvm');
    const stop = new AbortController();
    await host.fault({ command, what: 'late' });
    const calls = (await host.calls()).filter(([name]) => name === command).length;
    const running = failure(dryRunImport(image(), { sr, xe: { ...toolstackOf(host), grace: 100 }, signal: stop.signal }));
    await host.called(command, calls + 1);
    stop.abort();
    expect(await running).toMatchObject({ code: 'CANCELLED' });
    await host.release();
    await host.idle();
  });
});

async function* emptyStream(): AsyncGenerator<Uint8Array, void, void> {
  yield Buffer.alloc(512);
}

describe('of an import to a device', () => {
  const toDevice = (path: string, options: object = {}) => dryRunImportToDevice(image(), path, { xe: toolstackOf(host), ...options });

  test('recognizes the device of a plugged VBD, and does not write it', async () => {
    const { path, vdi } = await plugged(await host.sr('ext'));
    await withServer('tapdisk', path, async () => {
      const found = await toDevice(path);
      expect(found).toMatchObject({ target: path, kind: 'device', attached: true, bytesAfter: 2 * MiB, zeroTail: true, warnings: [] });
    });
    expectDisk(bytesOf(host, vdi), Buffer.alloc(0));
  });

  test('guards any other, with a warning', async () => {
    await withLoop({ size: SIZE }, async ({ path }) => {
      const { attached, warnings } = await toDevice(path);
      expect({ attached, codes: warnings.map(({ code }) => code) }).toEqual({ attached: false, codes: ['DEVICE_NOT_ATTACHED'] });
      await withServer('tapdisk', path, async () =>
        expect(await failure(toDevice(path))).toMatchObject({ code: 'TARGET_BUSY', exitCode: 3 }),
      );
    });
  });

  test('skips empty regions if new disks of the SR read as zero', async () => {
    const sr = await host.sr('ext');
    const { path } = await plugged(sr);
    expect(await toDevice(path, { sr })).toMatchObject({ readsZero: true, emptyRegions: 'skip' });
    expect(await toDevice(path)).toMatchObject({ readsZero: false, emptyRegions: 'zero' });
  });
});
