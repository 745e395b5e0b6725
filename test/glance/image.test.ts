import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { glanceImage } from '../../src/glance/image.ts';
import { writeDisk } from '../../src/index.ts';
import { stored } from '../support/chains.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { proxyOf } from '../support/glance-proxy.ts';
import { type Glance, startGlance } from '../support/glance-server.ts';
import { closedPort } from '../support/http-server.ts';
import { eachImage } from '../support/images.ts';
import { withLoop } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';
import { sample } from '../support/packages.ts';
import type { Answers } from '../support/producers/image.ts';

const MIB = 1 << 20;
const test = testWith('loop', 'glance');

const named = (...files: readonly string[]) =>
  ({ where: ({ file }: Answers): boolean => files.includes(file), needs: ['loop', 'glance'] }) as const;

let glance: Glance;
beforeAll(async () => {
  glance = await startGlance();
});
afterAll(() => glance?.stop());

describe('an image of a real Glance', () => {
  const uploaded = named(
    'ova/nova-dot-chain3.ova',
    'ova/nova-xo-chain2.ova',
    'ova/image-gnu.ova',
    'real/ocaml-vhd/test.vhd.gz',
    'generated/qemu-convert-fixed-24M.vhd.gz',
    'generated/xo-bs512K.vhd.gz',
    'made/archive/nova-chain-order-201',
    'made/archive/gnu',
    'made/windows/10-fixed',
    'made/xen-orchestra/blocks-of-512K',
  );

  eachImage('is on the device as the disk that is known: $file', uploaded, async (known) => {
    const [path = ''] = await known.store(testFolder());
    const image = glanceImage(await glance.upload(path), { endpoints: [glance.endpoint] });
    const size = (known.virtualSize ?? 0) + MIB;
    await withLoop({ size, fill: 0xaa }, async (device) => {
      const result = await writeDisk(image, device.path, { verify: true });
      expect(result).toMatchObject({ virtualSize: known.virtualSize, bytesRead: readFileSync(path).length });
      expect(device.sha256(size - MIB)).toBe(known.sha256raw);
      expect(device.holds(0xaa, size - MIB, size)).toBe(true);
    });
  });

  test('has the name, the length and the digest that Glance reports', async () => {
    const { vhd } = sample(1);
    const id = await glance.upload(vhd);
    const image = glanceImage(id, { endpoints: [`${glance.endpoint}/v2/`] });
    expect(image.name).toBe(`glance image ${id}`);
    const hex = createHash('sha512').update(vhd).digest('hex');
    const identity = ['glance', id, String(vhd.length), 'sha512', hex];
    expect(await image.describe?.({})).toEqual({ length: vhd.length, digest: { algorithm: 'sha512', hex }, identity });
    const source = await image.open({});
    expect(source).toMatchObject({ name: image.name, cursor: { length: vhd.length } });
    await source.close();
  });

  test('comes from the second endpoint if nothing listens at the first', async () => {
    const { vhd, content } = sample(2);
    const id = await glance.upload(vhd);
    const dead = `http://127.0.0.1:${closedPort()}`;
    const target = join(testFolder(), 'disk');
    await writeDisk(glanceImage(id, { endpoints: [dead, glance.endpoint], retries: 0 }), target);
    expect(readFileSync(target).equals(content)).toBe(true);

    const error = await failure(glanceImage(id, { endpoints: [dead], retries: 0 }).open({}));
    expect(error.code).toBe('HTTP_CONNECT');
    expect(error.message).toContain(dead);
  });
});

describe('the reason is reported, and the target does not change, for an image', () => {
  async function refused(id: string, version?: 1 | 2): Promise<unknown> {
    const before = Buffer.alloc(MIB, 0xaa);
    const target = stored(testFolder(), 'disk', before);
    const error = await failure(writeDisk(glanceImage(id, { endpoints: [glance.endpoint], version }), target));
    expect(readFileSync(target).equals(before)).toBe(true);
    return error;
  }

  test('that does not exist', async () => {
    const id = '2f5e9b0c-6f4e-4a57-9d43-0f3a3e1b7c11';
    expect(await refused(id)).toMatchObject({ code: 'HTTP_NOT_FOUND', status: 404, message: expect.stringContaining(id) });
  });

  test('to which nothing was uploaded', async () => {
    expect(await refused(await glance.create())).toMatchObject({ code: 'GLANCE_STATUS', message: expect.stringContaining('queued') });
  });

  test('that an operator has deactivated', async () => {
    const id = await glance.upload(sample(3).vhd);
    await glance.deactivate(id);
    expect(await refused(id)).toMatchObject({ code: 'GLANCE_STATUS', message: expect.stringContaining('deactivated') });
  });

  test('that is empty', async () => {
    expect(await refused(await glance.upload(new Uint8Array(0)))).toMatchObject({ code: 'SOURCE_EMPTY' });
  });

  test('whose file is missing from the store', async () => {
    const id = await glance.upload(sample(4).vhd);
    glance.lose(id);
    expect(await refused(id)).toMatchObject({ code: 'SOURCE_EMPTY', status: 204 });
  });

  test('whose file in the store is shorter than its size, with both sizes', async () => {
    const { vhd } = sample(4);
    const id = await glance.upload(vhd);
    glance.shorten(id, vhd.length - 1000);
    // glance-api announces all of it, then keeps the connection open and sends nothing.
    const image = glanceImage(id, { endpoints: [glance.endpoint], idleTimeout: 1000 });
    const error = await failure(writeDisk(image, join(testFolder(), 'disk')));
    expect(error).toMatchObject({ code: 'HTTP_SHORT', offset: vhd.length - 1000 });
    expect(error.message).toMatch(new RegExp(`: the server announced ${vhd.length} bytes, but has only the first ${vhd.length - 1000}$`));
  });

  test('requested in version 1, which is no longer supported', async () => {
    expect(await refused(await glance.upload(sample(5).vhd), 1)).toMatchObject({ code: 'HTTP_NOT_FOUND' });
  });
});

describe('through a proxy', () => {
  test('that keeps cutting the connection, the download resumes where it stopped', async () => {
    const { vhd, content } = sample(6);
    const id = await glance.upload(vhd);
    const cuts = fc.array(fc.integer({ min: 0, max: vhd.length >> 2 }), { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(cuts, async (cut) => {
        const proxy = await proxyOf(glance.endpoint, (number) => ({ cut: cut[number] }));
        const target = join(testFolder(), 'disk');
        await writeDisk(glanceImage(id, { endpoints: [proxy.endpoint] }), target);
        expect(readFileSync(target).equals(content)).toBe(true);
        expect(proxy.ranges).toHaveLength(cut.length + 1);
        const starts = proxy.ranges.map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')?.[1]));
        expect(starts).toEqual([...starts].sort((a, b) => a - b));
      }),
      { numRuns: 4 },
    );
  });

  const fixed = named('real/rdisk/vhd_fixed_small.vhd.gz', 'made/windows/10-fixed');
  const title = 'that changes one bit anywhere in the disk $file, no success is reported and no file is left';

  eachImage(title, fixed, async ({ store, virtualSize }) => {
    const [path = ''] = await store(testFolder());
    const id = await glance.upload(path);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: (virtualSize ?? 0) - 1 }), async (flip) => {
        const proxy = await proxyOf(glance.endpoint, () => ({ flip }));
        const target = join(testFolder(), 'disk');
        const error = await failure(writeDisk(glanceImage(id, { endpoints: [proxy.endpoint] }), target));
        expect(error.code).toBe('SOURCE_CHECKSUM');
        expect(existsSync(target)).toBe(false);
      }),
      { numRuns: 3 },
    );
  });

  const chain = named('ova/nova-dot-chain3.ova', 'made/archive/nova-chain');

  eachImage('that changes a bit of $file which no other check would find, that is found too', chain, async ({ store }) => {
    const [path = ''] = await store(testFolder());
    const id = await glance.upload(path);
    // The time in the header of the gzip.
    const proxy = await proxyOf(glance.endpoint, () => ({ flip: 4 }));
    const target = join(testFolder(), 'disk');
    const error = await failure(writeDisk(glanceImage(id, { endpoints: [proxy.endpoint] }), target));
    expect(error.code).toBe('SOURCE_CHECKSUM');
    expect(existsSync(target)).toBe(false);
  });
});
