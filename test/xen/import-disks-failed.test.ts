/** An import of all disks that fails or is cut short at any place: no VDI is left, or the error lists what is. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect } from 'vitest';
import { type ImportDisksOptions, importDisks, reap, type SourceInput } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import type { Fault, Rule } from '../stand-in/host.ts';
import { chunked } from '../support/chains.ts';
import { failure } from '../support/failure.ts';
import { callsFromNow, clientsOf, commandLine, image, type Place, places, settled } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { type Entry, manifestOf, ovfOf, sample } from '../support/packages.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();

const MEMBERS = ['disk-1.vhd', 'disk-2.vhd', 'disk-3.vhd'] as const;
const bodies = [sample(1).vhd, image, sample(3).vhd];
const disks: readonly Entry[] = MEMBERS.map((name, index) => [name, bodies[index] ?? Buffer.alloc(0)]);
const archive = tarOf(disks);

const importing = ({ sr, xe }: Place, input: SourceInput = chunked(archive), options: Partial<ImportDisksOptions> = {}) =>
  importDisks(input, { sr, xe, name: 'image', ...options });

/** It fails with this code, and nothing is left. */
async function expectNothing(place: Place, code: string, running: Promise<unknown>): Promise<void> {
  const error = await failure(running);
  expect([error.code, error.left], error.message).toEqual([code, []]);
  expect(clientsOf(place.host)).toEqual([]);
  assertClean(place.host);
}

const created = async ({ host }: Place): Promise<number> => (await host.calls()).filter(([command]) => command === 'vdi-create').length;

describe.concurrent('a fault of the image removes every VDI:', () => {
  const damaged = Buffer.from(bodies[2] ?? '');
  damaged.writeUInt32BE(9_999_999, 1536);
  const broken = gzipSync(archive, { level: 1 });
  broken.writeInt32LE(~broken.readInt32LE(broken.length - 8), broken.length - 8);
  const ovf: Entry = ['box.ovf', ovfOf(MEMBERS)];
  const described = [ovf, ...disks];
  const listed: readonly Entry[] = described.map(([name, body]) => [name, name === MEMBERS[1] ? Buffer.from('another') : body]);

  test.each<readonly [string, string, Buffer]>([
    ['a damaged third disk', 'VHD_BLOCK_RANGE', tarOf([...disks.slice(0, 2), [MEMBERS[2], damaged]])],
    ['an archive that is cut in the third disk', 'SOURCE_TRUNCATED', archive.subarray(0, archive.length - 100_000)],
    ['a wrong checksum at the end of gzip', 'COMPRESSION_CHECKSUM', broken],
    [
      'a manifest at the end with another digest for the second disk',
      'MANIFEST_DIGEST',
      tarOf([...described, ['box.mf', manifestOf(listed)]]),
    ],
    ['a disk of the descriptor that does not come', 'OVF_DISK_MISSING', tarOf([['box.ovf', ovfOf([...MEMBERS, 'disk-4.vhd'])], ...disks])],
    ['a disk in another format after the others', 'FORMAT_OTHER', tarOf([...disks, ['disk-4.vmdk', Buffer.from('KDMV')]])],
    ['a second member of the same name', 'DISK_DUPLICATE', tarOf([...disks, [MEMBERS[0], bodies[0] ?? Buffer.alloc(0)]])],
  ])('%s (%s)', (_, code, bytes) => onPlace(async (place) => expectNothing(place, code, importing(place, chunked(bytes)))));

  test('a checksum of the source', () =>
    onPlace(async (place) => expectNothing(place, 'SOURCE_CHECKSUM', importing(place, chunked(archive), { sha256: '0'.repeat(64) }))));

  test('of a file that can be looked through, before the first VDI is created', () =>
    onPlace(async (place) => {
      const path = join(place.host.folder, 'damaged.tar');
      writeFileSync(path, tarOf([...disks.slice(0, 2), [MEMBERS[2], damaged]]));
      const before = await created(place);
      await expectNothing(place, 'VHD_BLOCK_RANGE', importing(place, path));
      expect(await created(place)).toBe(before);
    }));
});

/** The commands of the second VDI; the number says which call of the command it is. */
const STEPS = ['vdi-create 2', 'vdi-param-get 2', 'vbd-create 2', 'vbd-plug 2', 'vbd-list 2', 'vbd-unplug 2', 'vbd-destroy 2'] as const;

function rule(step: string, what: Fault, when: 'before' | 'after' = 'before'): Rule {
  const [command = '', nth = '1'] = step.split(' ');
  return { command, nth: Number(nth), what, when };
}

describe.concurrent('a storage repository that is full', () => {
  test('at the second disk', () =>
    onPlace(async (place) => {
      await place.host.fault(rule('vdi-create 2', { fail: ['SR_BACKEND_FAILURE_44', ''] }));
      await expectNothing(place, 'SR_FULL', importing(place));
    }));

  test('because the first disk has filled it', () =>
    onPlace(async (place) => {
      const small = await place.host.sr('lvm', { size: 5 * 2 ** 20 });
      await expectNothing(place, 'SR_FULL', importing({ ...place, sr: small }));
    }));
});

describe.concurrent('a command for the second VDI that fails removes both:', () => {
  const faults: ReadonlyArray<readonly [string, Fault]> = [
    ['is refused', { fail: ['HANDLE_INVALID', 'OpaqueRef:0'] }],
    ['has no answer that makes sense', { say: { stdout: 'Usage: xe <cmd> [-s server]\n' } }],
  ];
  const cases = STEPS.flatMap((step) => faults.map(([name, what]) => [step, name, what] as const));
  test.each(cases)('%s, which %s', (step, _, what) =>
    onPlace(async (place) => {
      await place.host.fault(rule(step, what));
      const error = await failure(importing(place));
      expect(error.left).toEqual([]);
      assertClean(place.host);
    }),
  );
});

describe.concurrent('an owner tag that cannot be removed', () => {
  test.each([1, 2, 3])('removes every VDI, also those without one: call %i', (nth) =>
    onPlace(async (place) => {
      await place.host.fault(rule(`vdi-param-remove ${nth}`, { fail: ['INTERNAL_ERROR', ''] }));
      await expectNothing(place, 'XE_FAILED', importing(place));
    }),
  );

  test('is reported with every VDI that cannot be removed either, and whether reap finds it', () =>
    onPlace(async (place) => {
      const { host, xe } = place;
      await host.fault(rule('vdi-param-remove 2', { fail: ['INTERNAL_ERROR', ''] }));
      await host.fault({ command: 'vdi-destroy', always: true, what: { fail: ['INTERNAL_ERROR', ''] } });
      const { code, left } = await failure(importing(place));
      const { vdi } = host.state();
      expect([code, left.length, vdi.length]).toEqual(['XE_FAILED', 3, 3]);
      for (const { uuid, tags } of vdi) {
        const sentence = left.find((each) => each.startsWith(`VDI ${uuid}: `));
        expect(sentence?.includes('has no owner tag any more')).toBe(tags.length === 0);
      }
      await host.noFaults();
      const tagged = vdi.filter(({ tags }) => tags.length > 0).length;
      expect(tagged).toBe(1);
      expect(await reap({ xe })).toMatchObject({ removed: tagged, failed: 0 });
      assertClean(host, { vdis: vdi.filter(({ tags }) => tags.length === 0).map(({ uuid }) => uuid) });
    }));
});

describe.concurrent('a cancel', () => {
  test.each([...STEPS, 'vdi-create 3'])('during %s removes every VDI', (step) =>
    onPlace(async (place) => {
      const { host, xe } = place;
      const [command = '', nth] = step.split(' ');
      const called = await callsFromNow(host);
      await host.fault(rule(step, 'late', 'after'));
      const stop = new AbortController();
      const running = failure(importing(place, chunked(archive), { signal: stop.signal, xe: { ...xe, grace: 30_000 } }));
      await called(command, Number(nth));
      stop.abort();
      await host.release();
      const error = await running;
      expect([error.code, error.left]).toEqual(['CANCELLED', []]);
      assertClean(host);
    }),
  );

  test('while the second disk is written removes both', () =>
    onPlace(async (place) => {
      const stop = new AbortController();
      let isSecond = false;
      const onProgress: ImportDisksOptions['onProgress'] = ({ total }) => {
        isSecond ||= total > sample(1).content.length;
        if (isSecond) stop.abort();
      };
      await expectNothing(place, 'CANCELLED', importing(place, chunked(archive), { signal: stop.signal, onProgress }));
      expect(isSecond).toBe(true);
    }));
});

describe.concurrent('kill -9', () => {
  test.each(['vdi-create 2', 'vbd-plug 2', 'vbd-unplug 2', 'vdi-create 3', 'vbd-destroy 3'])(
    'at %s leaves VDIs that reap removes',
    (step) =>
      onPlace(async (place) => {
        const { host, sr } = place;
        const path = join(host.folder, 'disks.tar');
        writeFileSync(path, archive);
        const [command = '', nth] = step.split(' ');
        const called = await callsFromNow(host);
        await host.fault(rule(step, 'late', 'after'));
        const { child, ended } = commandLine(place, ['import', path, '--sr', sr, '--all-disks', '--quiet']);
        await called(command, Number(nth));
        child.kill('SIGKILL');
        await ended;
        await host.release();
        await settled(host);
        const { vdi } = host.state();
        expect(vdi.map(({ tags }) => tags.length)).toEqual(Array.from({ length: Number(nth) }, () => 1));
        expect(await reap({ xe: place.xe })).toMatchObject({ removed: Number(nth), failed: 0 });
        assertClean(host);
      }),
  );
});
