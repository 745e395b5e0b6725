/** The counterpart of the addon gives the same answers, and does to a file what the addon does. */

import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { loadAddon } from '../../src/host/native.ts';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import { createPortable } from '../../src/host/portable.ts';
import { defaultLockFolder, preparePrivateFolder } from '../../src/host/private-folder.ts';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';
import { loopDevice } from '../support/loop.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';

const portable = createPortable('no native addon');

const addonTest = testWith('addon');
const SECTOR = 512;
const SPAN = 2 << 20;

beforeEach(() => void vi.stubEnv('XDG_RUNTIME_DIR', testFolder()));
afterEach(() => void vi.unstubAllEnvs());

/** Mostly zeros, with some data anywhere. */
const sparse = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.array(fc.record({ at: fc.nat(Math.max(0, length - 1)), byte: fc.nat(255) }), { maxLength: 4 }).map((places) => {
    const bytes = new Uint8Array(length);
    for (const { at, byte } of places) if (length > 0) bytes[at] = byte;
    return bytes;
  });

/** A view that begins at any address. */
const anywhere = (bytes: Uint8Array, shift: number): Uint8Array => {
  const memory = new Uint8Array(bytes.length + shift);
  memory.set(bytes, shift);
  return memory.subarray(shift);
};

const view = fc.tuple(
  fc.nat(20_000).chain((length) => fc.oneof(sparse(length), fc.uint8Array({ minLength: length, maxLength: length }))),
  fc.nat(7),
);

addonTest('zero runs and the first byte that is not zero', () => {
  const { addon } = loadAddon();
  fc.assert(
    fc.property(view, fc.constantFrom(1, 7, 512, 4096, 65536), ([content, shift], grain) => {
      const bytes = anywhere(content, shift);
      expect(portable.zeroRuns(bytes, grain)).toEqual(addon.zeroRuns(bytes, grain));
      expect(portable.firstNonZero(bytes)).toBe(addon.firstNonZero(bytes));
    }),
  );
});

addonTest('the first difference', () => {
  const { addon } = loadAddon();
  fc.assert(
    fc.property(view, fc.array(fc.nat(20_000), { maxLength: 3 }), fc.nat(7), ([content, shift], changed, other) => {
      const a = anywhere(content, shift);
      const b = anywhere(content, other);
      for (const at of changed) if (at < b.length) b[at] = (b[at] ?? 0) ^ 0x80;
      expect(portable.firstDifference(a, b)).toBe(addon.firstDifference(a, b));
    }),
  );
});

const sectors = fc.array(
  fc.oneof(fc.constant(new Uint8Array(SECTOR)), sparse(SECTOR), fc.uint8Array({ minLength: SECTOR, maxLength: SECTOR })),
  {
    minLength: 1,
    maxLength: 24,
  },
);
/** Around the end of a span, and at numbers of sectors above 32 bits. */
const places = fc.oneof(
  fc.nat(3 * (SPAN / SECTOR)).map((sector) => sector * SECTOR),
  fc.nat(40).map((before) => SPAN - before * SECTOR),
);

addonTest('sums, added and taken', () => {
  const { addon } = loadAddon();
  fc.assert(
    fc.property(sectors, places, fc.nat(7), (parts, offset, shift) => {
      const bytes = anywhere(Buffer.concat(parts), shift);
      const [ours, theirs] = [new BigUint64Array(2), new BigUint64Array(2)];
      portable.addSums(ours, bytes, offset);
      addon.addSums(theirs, bytes, offset);
      expect(ours).toEqual(theirs);
      portable.takeSums(ours, bytes.subarray(0, SECTOR), offset);
      addon.takeSums(theirs, bytes.subarray(0, SECTOR), offset);
      expect(ours).toEqual(theirs);
    }),
  );
});

addonTest('sums of sectors whose number has more than 32 bits', () => {
  const { addon } = loadAddon();
  const bytes = Buffer.alloc(4 * SECTOR, 'data');
  const offset = 2 ** 32 * SECTOR - 2 * SECTOR;
  const count = Math.floor(offset / SPAN) + 2;
  const [ours, theirs] = [new BigUint64Array(count), new BigUint64Array(count)];
  portable.addSums(ours, bytes, offset);
  addon.addSums(theirs, bytes, offset);
  expect(ours.slice(-2)).toEqual(theirs.slice(-2));
  expect(theirs.at(-1)).not.toBe(0n);
});

test('a file is created, written, grown, zeroed and read', async () => {
  const path = join(testFolder(), 'file');
  const opened = await portable.open(path, { write: true, direct: true, exclusive: true, create: true });
  expect(opened).toMatchObject({ kind: 'file', direct: false, size: 0, sector: 512 });
  const { fd } = opened;
  const sums = new BigUint64Array(1);
  await portable.write(fd, Buffer.alloc(1024, 'a'), 512, sums);
  await portable.truncate(fd, 2000);
  await portable.sync(fd);
  const found = new BigUint64Array(1);
  const into = Buffer.alloc(2048, 'x');
  await portable.read(fd, into, 0, found);
  expect(found).toEqual(sums);
  await portable.zero(fd, 1024, 100);
  await portable.read(fd, into, 0);
  expect(into.subarray(0, 2000).equals(readFileSync(path))).toBe(true);
  expect(into.subarray(2000).equals(Buffer.alloc(48))).toBe(true); // the rest of the last sector
  await expect(portable.read(fd, Buffer.alloc(8192), 4096)).rejects.toMatchObject({ operation: 'read', offset: 4096, code: 'ENODATA' });
  expect(await portable.seekData(fd, 100)).toBe(100);
  expect(await portable.seekHole(fd)).toBe(2000);
  expect(await portable.uncache(fd, 0, 1 << 20)).toBe(1);
  await portable.close(fd);
  await expect(portable.open(path, { write: true, direct: false, exclusive: true, create: true })).rejects.toMatchObject({
    code: 'EEXIST',
  });
});

test('a file has one writer at a time, or several readers', async () => {
  const path = join(testFolder(), 'file');
  writeFileSync(path, '');
  const open = async (write: boolean): Promise<number> =>
    (await portable.open(path, { write, direct: false, exclusive: false, create: false })).fd;
  const [reader, another, writer] = [await open(false), await open(false), await open(true)];
  expect([await portable.lock(reader), await portable.lock(another), await portable.lock(writer)]).toEqual([1, 1, 0]);
  await portable.close(reader);
  expect(await portable.lock(writer)).toBe(0);
  await portable.close(another);
  expect(await portable.lock(writer)).toBe(1);
  const late = await open(false);
  expect(await portable.lock(late)).toBe(0);
  await portable.close(writer);
  expect(await portable.lock(late)).toBe(1);
  await portable.close(late);
});

test('a lock that a killed process has left is removed', async () => {
  const path = join(testFolder(), 'file');
  writeFileSync(path, '');
  const { fd } = await portable.open(path, { write: true, direct: false, exclusive: false, create: false });
  const { dev, ino } = statSync(path);
  const lockOf = (owner: string): string => join(defaultLockFolder(), `file-${dev}-${ino}.w.${owner}.${randomUUID()}`);
  preparePrivateFolder(defaultLockFolder(), 'LOCK_FILE');
  // Another process had this pid.
  const dead = lockOf(ownerText({ ...thisOwner(), start: '1' }));
  writeFileSync(dead, '');
  expect(await portable.lock(fd)).toBe(1);
  expect(existsSync(dead)).toBe(false);
  await portable.close(fd);
});

testWith('loop')('a block device needs the addon', async () => {
  const device = loopDevice({ size: 1 << 20 });
  const image = join(testFolder(), 'image.vhd');
  writeFileSync(image, fixedVhd(Buffer.alloc(1 << 20, 'x')));
  try {
    const opening = portable.open(device.path, { write: false, direct: true, exclusive: false, create: false });
    await expect(opening).rejects.toMatchObject({ code: 'NATIVE_MISSING', device: device.path });
    const { status, stderr } = await cli(['write', image, device.path], { env: { ...process.env, VDISTREAM_NATIVE: '0' } });
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining('which only the addon can use, and there is no native addon: VDISTREAM_NATIVE=0 switches it off'),
    ]);
  } finally {
    device.detach();
  }
});
