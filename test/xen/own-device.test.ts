/**
 * `--device`: what is attached to Dom0 for the caller is written although it looks used, as raw volumes do. Any other device is guarded as
 * everywhere, and a warning says why.
 */

import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { importToDevice, type Warning, type WriteResult } from '../../src/index.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { SIGNATURES } from '../stand-in/loop.mjs';
import { noise } from '../support/chunks.ts';
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

let host: Host;
beforeAll(async () => {
  host = await startHost();
});
afterAll(() => host?.stop());
const plugged = createPlugs(() => host);

/** The second of three blocks is empty. */
const content = Buffer.concat([noise(2 * MiB, 1), Buffer.alloc(2 * MiB), noise(2 * MiB, 2)]);

function image(): string {
  const path = join(testFolder(), 'image.vhd');
  const blocks = [0, 2].map((block) => [block, content.subarray(block * 2 * MiB, (block + 1) * 2 * MiB)] as const);
  writeFileSync(path, dynamicVhd({ size: content.length, blocks: new Map(blocks) }));
  return path;
}

const imported = (device: string, options: object = {}): Promise<WriteResult> =>
  importToDevice(image(), device, { xe: toolstackOf(host), ...options });

/** As `tapdisk` has the device of an attached VDI open. */
const withTapdisk = (path: string, use: () => Promise<void>): Promise<void> => withServer('tapdisk', path, use);

describe('the device of a plugged VBD', () => {
  test.each([
    ['lvm', ['sm-config:type=raw'], true],
    ['lvmoiscsi', ['sm-config:type=raw'], true],
    ['ext', [], false],
  ] as const)('is written although tapdisk has it open and it has the signatures of its last owner: %s', async (type, config, isOld) => {
    const { path, vdi } = await plugged(await host.sr(type, { signatures: true }), ...config);
    for (const [offset, magic] of SIGNATURES) {
      const found = bytesOf(host, vdi).subarray(offset, offset + magic.length);
      expect(found.equals(Buffer.from(magic, 'latin1'))).toBe(isOld);
    }
    await withTapdisk(path, async () => {
      const { warnings, verified } = await imported(path, { verify: true });
      expect({ warnings, verified }).toEqual({ warnings: [], verified: true });
    });
    expectDisk(bytesOf(host, vdi), content);
  });

  test('is recognized under each of its names: the volume on LVM, the name of the kernel, a link', async () => {
    const sr = await host.sr('lvm', { signatures: true });
    const { path, vdi } = await plugged(sr, 'sm-config:type=raw');
    const link = join(testFolder(), 'link');
    symlinkSync(path, link);
    const node = host.state().vdi.find(({ uuid }) => uuid === vdi)?.disk.plugged?.node ?? '';
    for (const name of [`/dev/sm/phy/${sr}/${vdi}`, node, link]) {
      await withTapdisk(path, async () => expect(await imported(name)).toMatchObject({ target: name, warnings: [] }));
      expectDisk(bytesOf(host, vdi), content);
    }
  });
});

describe('any other device is guarded, with a warning', () => {
  test('if no VBD has it', async () => {
    await plugged(await host.sr('ext'));
    await withLoop({ size: 8 * MiB, fill: 0xaa }, async ({ path, holds }) => {
      const message = `${path} belongs to no VBD that is plugged into Dom0 for writing, so it is guarded like any other device`;
      const seen: Warning[] = [];
      const onWarning = (warning: Warning): void => void seen.push(warning);
      await withTapdisk(path, async () => {
        expect(await failure(imported(path, { onWarning }))).toMatchObject({ code: 'TARGET_BUSY', guard: 'busy' });
        expect(holds(0xaa, 0, 8 * MiB)).toBe(true);
        expect(seen).toEqual([{ code: 'DEVICE_NOT_ATTACHED', message }]);
        expect((await imported(path, { force: ['busy'] })).warnings).toEqual(seen);
      });
      expect((await imported(path, { strict: true })).warnings).toEqual(seen);
    });
  });

  test('if its VBD is read-only, or no longer plugged', async () => {
    const { path, vbd, vdi } = await plugged(await host.sr('ext'));
    for (const fields of [{ mode: 'RO' }, { currentlyAttached: false }] as const) {
      await host.change('vbd', vbd, fields);
      await withTapdisk(path, async () => expect(await failure(imported(path))).toMatchObject({ code: 'TARGET_BUSY' }));
      await host.change('vbd', vbd, { mode: 'RW', currentlyAttached: true });
    }
    expectDisk(bytesOf(host, vdi), Buffer.alloc(0));
  });

  test.each([
    ['there is no xe', { program: '/nowhere/xe' }, false, 'cannot run /nowhere/xe: '],
    ['the host is unknown', { inventory: '/nowhere' }, false, 'cannot read /nowhere, '],
    ['xe fails', {}, true, 'xe vbd-list: Lost connection'],
  ])('if %s', async (_, xe, fails, reason) => {
    const { path } = await plugged(await host.sr('ext'));
    if (fails) await host.fault({ command: 'vbd-list', always: true, what: 'die' });
    const options = { xe: { ...toolstackOf(host), ...xe } };
    await withTapdisk(path, async () => expect(await failure(imported(path, options))).toMatchObject({ code: 'TARGET_BUSY' }));
    const { warnings } = await imported(path, options);
    expect(warnings.map(({ code }) => code)).toEqual(['DEVICE_NOT_ATTACHED']);
    expect(warnings[0]?.message).toContain(
      `cannot find out whether ${path} is attached to Dom0, so it is guarded like any other device: ${reason}`,
    );
  });

  test('but the toolstack is not asked about a file, which no VBD has', async () => {
    const file = join(testFolder(), 'disk.raw');
    const before = (await host.calls()).length;
    expect((await imported(file)).warnings).toEqual([]);
    expect((await host.calls()).length).toBe(before);
    expectDisk(readFileSync(file), content);
  });
});

test('a cancel while the toolstack is asked is obeyed, and nothing is written', async () => {
  const { path, vdi } = await plugged(await host.sr('ext'));
  const stop = new AbortController();
  await host.fault({ command: 'vbd-list', what: 'late' });
  const calls = (await host.calls()).filter(([command]) => command === 'vbd-list').length;
  const running = failure(imported(path, { signal: stop.signal, xe: { ...toolstackOf(host), grace: 100 } }));
  await host.called('vbd-list', calls + 1);
  stop.abort();
  expect((await running).code).toBe('CANCELLED');
  await host.release();
  await host.idle();
  expectDisk(bytesOf(host, vdi), Buffer.alloc(0));
});
