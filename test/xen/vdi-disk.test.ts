/** A VDI as a disk to export: attached read-only, read to its size, and detached. */

import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect } from 'vitest';
import { createPool, exportDisk, type ReadableDisk, vdiDisk } from '../../src/index.ts';
import { answer } from '../stand-in/answer.ts';
import { expectImage, expectUntouched, exported, guestVdi, keptRecords, outputOf, removeOutput } from '../support/export-host.ts';
import { failure } from '../support/failure.ts';
import { commandLine, content, type Place, places } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();
const MiB = 2 ** 20;

const withVdi = (work: (place: Place, vdi: string) => Promise<void>): Promise<void> =>
  onPlace(async (place) => {
    mkdirSync(dirname(outputOf(place)), { recursive: true });
    removeOutput(place);
    await work(place, await guestVdi(place));
  });

const xe = ({ host }: Place, ...args: string[]): Promise<string> => answer(host, args);

async function withDisk(place: Place, vdi: string, use: (disk: ReadableDisk) => Promise<void>): Promise<void> {
  const disk = await vdiDisk(vdi, { xe: place.xe }).open({});
  try {
    await use(disk);
  } finally {
    await disk.close();
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // of the listing itself
  }
}

/** Into aligned memory, as an export does. */
async function bytesFrom(disk: ReadableDisk, offset: number, length: number): Promise<Buffer> {
  const lease = await createPool({ count: 1 }).acquire();
  const bytes = lease.bytes.subarray(0, length);
  await disk.read(bytes, offset);
  return Buffer.from(bytes);
}

describe('an export of a VDI', () => {
  test('makes an image of its bytes, and leaves the VDI as it was and nothing attached', () =>
    withVdi(async (place, vdi) => {
      expect(await exported(place, vdi)).toEqual({ warnings: [] });
      await expectImage(place, vdi);
      expect(keptRecords(place)).toEqual([]);
    }));

  test('accepts the uuid in capitals, by the command line', () =>
    withVdi(async (place, vdi) => {
      const { status, stdout, stderr } = await commandLine(place, ['export', `vdi:${vdi.toUpperCase()}`, '-o', outputOf(place), '--json'])
        .ended;
      expect([status, stderr]).toEqual([0, '']);
      expect(JSON.parse(stdout)).toMatchObject({ disks: [{ source: `vdi:${vdi}`, virtualSize: 6 * MiB }] });
      await expectImage(place, vdi);
    }));

  test('attaches it read-only and with a label, under a record', () =>
    withVdi(async (place, vdi) => {
      await withDisk(place, vdi, async (disk) => {
        expect([disk.name, disk.size]).toEqual([`vdi:${vdi}`, 6 * MiB]);
        const [vbd, ...more] = place.host.state().vbd;
        const [token = ''] = keptRecords(place);
        expect(more).toEqual([]);
        expect(vbd).toMatchObject({ vm: place.host.dom0, vdi, mode: 'RO', currentlyAttached: true });
        expect(vbd?.otherConfig).toEqual({
          vdistream: expect.stringMatching(new RegExp(`^vdistream\\.${place.host.uuid}\\..*\\.${token}$`)),
        });
        const lines = readFileSync(`${place.xe.records}/${token}`, 'utf8').trim().split('\n');
        expect(lines.map((line) => JSON.parse(line))).toEqual([
          { kind: 'export', tag: vbd?.otherConfig.vdistream, sr: place.sr, vdi, before: [] },
          { vbd: vbd?.uuid },
        ]);
      });
      expectUntouched(place, vdi);
      expect(keptRecords(place)).toEqual([]);
    }));

  test('of a raw volume reads the volume itself', () =>
    withVdi(async (place, vdi) => {
      const raw = await xe(place, 'vdi-create', `sr-uuid=${place.sr}`, 'name-label=raw', `virtual-size=${8 * MiB}`, 'sm-config:type=raw');
      // The stand-in fills it with old data when it is plugged first.
      await withDisk(place, raw, async () => {});
      const { disk } = place.host.state().vdi.find(({ uuid }) => uuid === raw) ?? {};
      writeFileSync(disk?.path ?? '', content, { flag: 'r+' });
      await withDisk(place, raw, async (disk) => {
        const bytes = await bytesFrom(disk, 0, MiB);
        expect([disk.size, bytes.equals(content.subarray(0, MiB))]).toEqual([8 * MiB, true]);
        // Its name under /dev/sm/backend is open in no process.
        const open = readdirSync('/proc/self/fd').map((fd) => linkOf(`/proc/self/fd/${fd}`));
        expect(open.filter((path) => path.includes(raw))).toEqual([]);
      });
      expectUntouched(place, vdi, { vdis: [raw] });
    }));

  test('has the size of the VDI, even if its device is larger', () =>
    withVdi(async (place, vdi) => {
      await place.host.fault({
        command: 'vdi-param-get',
        argument: 'param-name=virtual-size',
        what: { say: { stdout: `${MiB + 512}\n` } },
      });
      await withDisk(place, vdi, async (disk) => {
        const bytes = await bytesFrom(disk, MiB, 8192);
        const ranges = [];
        for await (const range of disk.mayHold()) ranges.push(range);
        expect([disk.size, ranges]).toEqual([MiB + 512, [{ offset: 0, length: MiB + 512 }]]);
        expect(bytes.subarray(0, 512).equals(content.subarray(MiB, MiB + 512))).toBe(true);
        expect(bytes.subarray(512).every((byte) => byte === 0)).toBe(true);
      });
      expectUntouched(place, vdi);
    }));

  test('can run beside another one of the same VDI', () =>
    withVdi(async (place, vdi) => {
      await withDisk(place, vdi, async () => {
        await withDisk(place, vdi, async () => {
          expect(place.host.state().vbd.filter(({ currentlyAttached }) => currentlyAttached).length).toBe(2);
        });
      });
      expectUntouched(place, vdi);
    }));

  test('that fails after the VDI was attached detaches it, and keeps its first error', () =>
    withVdi(async (place, vdi) => {
      writeFileSync(outputOf(place), 'already there');
      const { error } = await exported(place, vdi);
      expect([error?.code, error?.left]).toEqual(['TARGET_CONTENT', []]);
      expectUntouched(place, vdi);
    }));

  test('whose second disk cannot be opened detaches the first', () =>
    withVdi(async (place, vdi) => {
      const disks = [vdiDisk(vdi, { xe: place.xe }), '/nonexistent'];
      expect(await failure(exportDisk(disks, outputOf(place), { container: 'tar' }))).toMatchObject({ code: 'SOURCE_OPEN', left: [] });
      expectUntouched(place, vdi);
    }));

  test('that fails and cannot detach the VDI has its first error, and what is left', () =>
    withVdi(async (place, vdi) => {
      await place.host.fault({ command: 'vbd-destroy', always: true, what: { fail: ['INTERNAL_ERROR', 'storage'] } });
      // Before the disk is attached, that would be refused.
      const appears = (): void => writeFileSync(outputOf(place), 'another program');
      const { error } = await exported(place, vdi, { onProgress: appears });
      const [vbd] = place.host.state().vbd;
      expect([error?.code, error?.left]).toEqual([
        'TARGET_CONTENT',
        [expect.stringMatching(`^VBD ${vbd?.uuid} of VDI ${vdi}: xe vbd-destroy: `)],
      ]);
      expect(keptRecords(place).length).toBe(1);
      await place.host.noFaults();
      // The next export of the VDI removes it, even in the same process.
      removeOutput(place);
      expect(await exported(place, vdi)).toEqual({ warnings: [] });
      await expectImage(place, vdi);
      expect(keptRecords(place)).toEqual([]);
    }));
});

describe('a VDI that is attached for writing', () => {
  const plug = async (place: Place, vdi: string, vm: string): Promise<string> => {
    const vbd = await xe(place, 'vbd-create', `vm-uuid=${vm}`, `vdi-uuid=${vdi}`, 'device=autodetect', 'mode=RW');
    await xe(place, 'vbd-plug', `uuid=${vbd}`);
    return vbd;
  };

  test.each(['guest', 'dom0', 'otherDom0'] as const)('to %s is not exported, and the advice is a snapshot', (vm) =>
    withVdi(async (place, vdi) => {
      const vbd = await plug(place, vdi, place.host[vm]);
      const { error } = await exported(place, vdi);
      expect([error?.code, error?.message, error?.left]).toEqual(['VDI_BUSY', `VDI ${vdi} is attached for writing, by VBD ${vbd}`, []]);
      expect(error?.advice).toContain('xe vdi-snapshot');
      expect(place.host.state().vbd.map(({ uuid }) => uuid)).toEqual([vbd]);
      await xe(place, 'vbd-unplug', `uuid=${vbd}`);
    }),
  );

  test('just before it is plugged is not exported', () =>
    withVdi(async (place, vdi) => {
      await place.host.fault({ command: 'vbd-list', argument: 'mode=RW', what: { say: { stdout: '\n' } } });
      const vbd = await plug(place, vdi, place.host.guest);
      const { error } = await exported(place, vdi);
      expect([error?.code, error?.left]).toEqual(['VDI_BUSY', []]);
      expect(place.host.state().vbd.map(({ uuid }) => uuid)).toEqual([vbd]);
      await xe(place, 'vbd-unplug', `uuid=${vbd}`);
    }));

  test.each([
    ['VDI_IN_USE', 'VDI_BUSY'],
    ['SR_BACKEND_FAILURE_46', 'VDI_UNAVAILABLE'],
  ])('is refused by xapi with %s, which is passed on', (xapi, code) =>
    withVdi(async (place, vdi) => {
      await place.host.fault({ command: 'vbd-plug', what: { fail: [xapi, 'OpaqueRef:0'] } });
      const { error } = await exported(place, vdi);
      expect([error?.code, error?.xapi, error?.left]).toEqual([code, xapi, []]);
      expect(error?.advice).toContain('xe vdi-snapshot');
      expectUntouched(place, vdi);
    }),
  );
});

test.each(['', 'x', '0c085cf8-61f7-48d8-9ff4-60d5b7cb66b'])('%j is not the uuid of a VDI', (text) => {
  expect(() => vdiDisk(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test('a uuid that no VDI has ends in XE_UUID', () =>
  withVdi(async (place, vdi) => {
    const { error } = await exported(place, '0c085cf8-61f7-48d8-9ff4-60d5b7cb66bb');
    expect(error?.code).toBe('XE_UUID');
    expectUntouched(place, vdi);
  }));
