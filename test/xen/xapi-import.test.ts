/** From an image to a VDI of a pool that is reached over the network: what the disk holds, and what is left. */

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { ImportOptions } from '../../src/index.ts';
import type { SrKind } from '../stand-in/pool-database.ts';
import { chainTar, chunked, sampleChain } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { makeDisk } from '../support/disk.ts';
import { testFolder } from '../support/folder.ts';
import { eachImage } from '../support/images.ts';
import { expectDisk } from '../support/imported.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { importedToPool, pool, refusedByPool, xapiOptions } from '../support/pool.ts';
import type { Answers } from '../support/producers/image.ts';

const test = testWith('openssl');

const KiB = 1024;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

function stored(name: string, bytes: Uint8Array): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** An odd number of sectors; absent blocks, absent sectors with another's data under them, blocks in no order. */
const sample = makeDisk({
  blockSize: 64 * KiB,
  size: 5 * MiB + 3 * 512,
  order: [70, 3, 4, 5, 80, 17, 0, 41, 42],
  bitmaps: 'random',
  gap: 3,
  spare: 9,
  short: false,
  shortFooter: false,
  seed: 11,
});

interface Kind {
  readonly type: string;
  readonly options?: SrKind;
  readonly raw?: boolean;
  readonly unit: number;
}

const KINDS: readonly Kind[] = [
  { type: 'ext', unit: 2 * MiB },
  { type: 'nfs', raw: true, unit: 512 },
  { type: 'lvm', unit: 2 * MiB },
  { type: 'lvmoiscsi', raw: true, unit: 4 * MiB },
  { type: 'equal', options: { smConfig: { allocation: 'thick' } }, unit: 2 * MiB },
];

describe('the disk of the VDI', () => {
  test.each(KINDS.map((kind) => [`${kind.type}${kind.raw ? ', raw' : ''}`, kind] as const))(
    'is the image, with zeros after it, on %s',
    async (_, { type, options, raw: rawVdi = false, unit }) => {
      const sr = pool.db.addSr(type, options);
      const result = await importedToPool(stored('image.vhd', sample.vhd), sr, { rawVdi, name: 'web' });
      const size = Math.ceil(sample.content.length / unit) * unit;
      expect(result).toMatchObject({ sr, name: 'web', vdiSize: size, target: `vdi:${result.vdi}`, verified: false });
      expectDisk(pool.bytesOf(result.vdi), sample.content, size);
      const vdi = pool.db.get('VDI', pool.db.byUuid('VDI', result.vdi));
      expect(vdi).toMatchObject({ name_label: 'web', tags: [], other_config: { 'vdistream-vdi': result.vdi } });
    },
  );

  test('is that of a chain, also from a stream with the base first', async () => {
    const chain = sampleChain();
    const sr = pool.db.addSr('lvm');
    for (const order of [undefined, [...chain.vhds.keys()].reverse()]) {
      const options = { rawVdi: true, virtualSize: chain.content.length };
      const { vdi } = await importedToPool(chunked(chainTar(chain.vhds, order)), sr, options);
      expectDisk(pool.bytesOf(vdi), chain.content);
    }
  });

  test('is dense: a fixed disk of several blocks', async () => {
    const disk = noise(9 * MiB + 512, 3);
    const { vdi, bytesWritten } = await importedToPool(stored('image.vhd', fixedVhd(disk)), pool.db.addSr('ext'));
    expect(bytesWritten).toBe(disk.length);
    expectDisk(pool.bytesOf(vdi), disk);
  });

  test('has 2040 GiB, of which only the blocks that hold data are sent', async () => {
    const block = noise(2 * MiB, 4);
    const size = 2040 * GiB;
    const image = dynamicVhd({ size, blocks: new Map([[1_000_000, block]]) });
    const { vdi, bytesWritten } = await importedToPool(stored('image.vhd', image), pool.db.addSr('ext'));
    expect(bytesWritten).toBe(2 * MiB);
    expect(pool.db.disks.get(pool.db.byUuid('VDI', vdi))).toMatchObject({ size, written: 2 * MiB });
  });
});

describe('the host', () => {
  const image = (): string => stored('image.vhd', sample.vhd);

  test('is the master if it has the SR attached', async () => {
    await importedToPool(image(), pool.db.addSr('ext'));
    expect(pool.calls.filter((call) => call.startsWith('PUT')).at(-1)).toBe('PUT master');
  });

  test('is another one if only that has the SR attached', async () => {
    const { vdi } = await importedToPool(image(), pool.db.addSr('ext', { hosts: ['slave'] }));
    expect(pool.calls.filter((call) => call.startsWith('PUT')).at(-1)).toBe('PUT slave');
    expectDisk(pool.bytesOf(vdi), sample.content);
  });

  test('may redirect the transfer to another one, before the first byte', async () => {
    pool.transfer({ status: 302, location: `${pool.slave}/import_raw_vdi?session_id=x` });
    const { vdi } = await importedToPool(image(), pool.db.addSr('ext'));
    expect(pool.calls.filter((call) => call.startsWith('PUT')).slice(-2)).toEqual(['PUT master', 'PUT slave']);
    expectDisk(pool.bytesOf(vdi), sample.content);
  });

  test('may detach the VDI after it has reported success', async () => {
    pool.detachAfter(50);
    const { vdi } = await importedToPool(image(), pool.db.addSr('ext'));
    expectDisk(pool.bytesOf(vdi), sample.content);
  });

  test('is refused if it is not enabled, or has the SR not attached', async () => {
    const sr = pool.db.addSr('ext', { hosts: [] });
    expect(await refusedByPool(image(), sr)).toMatchObject({ code: 'SR_UNAVAILABLE' });
    const host = pool.db.get('host', pool.db.slave);
    host.enabled = false;
    expect(await refusedByPool(image(), pool.db.addSr('ext', { hosts: ['slave'] }))).toMatchObject({ code: 'SR_UNAVAILABLE' });
    host.enabled = true;
  });
});

describe('before a VDI is created', () => {
  const created = (): number => pool.calls.filter((call) => call === 'VDI.create').length;

  test.each([
    ['more than 2040 GiB on an SR of VHDs', 'ext', {}, 2041 * GiB, 'VDI_SIZE'],
    ['more than a thick SR has', 'lvm', { physicalSize: GiB }, 2 * GiB, 'SR_FULL'],
  ] as const)('%s is refused', async (_, type, kind, size, code) => {
    const before = created();
    const image = stored('image.vhd', dynamicVhd({ size, blocks: new Map() }));
    expect(await refusedByPool(image, pool.db.addSr(type, kind))).toMatchObject({ code });
    expect(created()).toBe(before);
  });

  test('an SR that makes qcow2 accepts more than 2040 GiB', async () => {
    const size = 2042 * GiB;
    const sr = pool.db.addSr('ext', { deviceConfig: { 'preferred-image-formats': 'vhd,qcow2' } });
    const { vdiSize } = await importedToPool(stored('image.vhd', dynamicVhd({ size, blocks: new Map() })), sr);
    expect(vdiSize).toBe(size);
  });

  test.each<[string, Partial<ImportOptions>]>([
    ['an SR that does not exist', { sr: '11111111-2222-3333-4444-555555555555' }],
    ['verify', { verify: true }],
    ['an address without TLS', { xapi: { url: 'http://127.0.0.1', user: 'root', password: 'x' } }],
    ['an address with a password', { xapi: { url: 'https://root:x@127.0.0.1', user: 'root', password: 'x' } }],
    ['a password without a user', { xapi: { url: 'https://127.0.0.1', password: 'x' } }],
    ['a fingerprint that is none', { xapi: { url: 'https://127.0.0.1', session: 'x', fingerprints: ['abc'] } }],
  ])('%s is refused', async (_, { sr = pool.db.addSr('ext'), xapi = xapiOptions(), ...options }) => {
    const error = await refusedByPool(stored('image.vhd', sample.vhd), sr, options, xapi);
    expect(error.code).toBe(options.verify || xapi.url !== pool.master ? 'USAGE' : 'XE_UUID');
  });
});

/** Each small disk, and each order of a chain. */
const small = ({ file, expect, virtualSize }: Answers): boolean =>
  expect === 'ok' && /^(real|generated|qemu-img|made|ova)\//.test(file) && (virtualSize ?? Number.POSITIVE_INFINITY) < 3 * MiB;

eachImage('$file arrives as the disk that is known', { where: small, needs: ['openssl'] }, async (image) => {
  const size = image.virtualSize ?? 0;
  const { vdi } = await importedToPool(await image.store(testFolder()), pool.db.addSr('lvm'), { rawVdi: true });
  const bytes = pool.bytesOf(vdi);
  expect(createHash('sha256').update(bytes.subarray(0, size)).digest('hex')).toBe(image.sha256raw);
  expectDisk(bytes, bytes.subarray(0, size), Math.ceil(size / (4 * MiB)) * 4 * MiB);
});
