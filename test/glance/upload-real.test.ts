import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { glanceImage, uploadImage, writeDisk } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { cli } from '../support/cli.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Glance, startGlance } from '../support/glance-server.ts';
import { testWith } from '../support/needs.ts';

const here = testWith('glance');
const CAP = 3_000_000;

describe('the real Glance', () => {
  let glance: Glance;
  let capped: Glance;
  beforeAll(async () => {
    if (here === test.skip) return;
    [glance, capped] = await Promise.all([startGlance(), startGlance(`image_size_cap = ${CAP}`)]);
  });
  afterAll(async () => {
    await Promise.all([glance?.stop(), capped?.stop()]);
  });

  /** A raw disk with data in its first and its last block. */
  function disk(): { readonly path: string; readonly content: Buffer } {
    const content = Buffer.alloc(9 << 20);
    content.set(noise(1_500_000, 1), 4096);
    content.set(noise(1_000_000, 2), 8 << 20);
    const path = join(testFolder(), 'disk');
    writeFileSync(path, content);
    return { path, content };
  }

  const FORMS = [
    ['the image of Nova', {}, 'vhd', 'ovf'],
    ['a bare VHD', { container: 'none' }, 'vhd', 'bare'],
    ['a tar that is not compressed', { compress: 'none' }, 'vhd', 'ovf'],
    ['an OVA', { container: 'ova' }, 'vhd', 'ova'],
    ['a raw disk', { container: 'none', format: 'raw' }, 'raw', 'bare'],
  ] as const;

  here.each(FORMS)('gives %s back bit for bit: to our own reader, and to a plain client', async (_, form, diskFormat, containerFormat) => {
    const { path, content } = disk();
    const id = await glance.create();
    const result = await uploadImage(path, id, { endpoints: [glance.endpoint], properties: { os_type: 'linux' }, raw: true, ...form });
    expect(result).toMatchObject({ image: id, created: false, diskFormat, containerFormat, compared: 'sha512', warnings: [] });
    const data = await glance.data(id);
    expect(data.length).toBe(result.bytesWritten);
    expect(createHash('sha512').update(data).digest('hex')).toBe(result.sha512);
    expect(await glance.record(id)).toMatchObject({ disk_format: diskFormat, container_format: containerFormat, os_type: 'linux' });
    const back = join(testFolder(), 'back');
    await writeDisk(glanceImage(id, { endpoints: [glance.endpoint] }), back, { raw: diskFormat === 'raw' });
    expect(readFileSync(back).equals(content)).toBe(true);
  });

  here('has the virtual size of a bare VHD', async () => {
    const { path, content } = disk();
    const { image } = await uploadImage(path, undefined, { endpoints: [glance.endpoint], container: 'none', raw: true });
    expect(await glance.record(image)).toMatchObject({ status: 'active', virtual_size: content.length });
  });

  here('accepts an image that exists, as it is', async () => {
    const { path } = disk();
    const { image } = await uploadImage(path, undefined, { endpoints: [glance.endpoint], raw: true, name: 'first' });
    const file = join(testFolder(), 'image.tar.gz');
    writeFileSync(file, await glance.data(image));
    const again = await uploadImage(file, undefined, { endpoints: [glance.endpoint], asIs: true });
    expect(again).toMatchObject({ created: true, diskFormat: 'vhd', containerFormat: 'ovf', disks: [] });
    expect((await glance.data(again.image)).equals(readFileSync(file))).toBe(true);
    expect(await glance.record(image)).toMatchObject({ name: 'first' });
  });

  here('never gets a bare fixed VHD, which newer versions refuse', async () => {
    const { path } = disk();
    const upload = uploadImage(path, undefined, { endpoints: [glance.endpoint], format: 'fixed-vhd', container: 'none', raw: true });
    expect((await failure(upload)).code).toBe('USAGE');
  });

  here('refuses an image above its limit, and the image that was created is gone', async () => {
    const { path } = disk();
    for (const form of [{ container: 'none', format: 'raw' }, { container: 'none' }, { compress: 'none' }] as const) {
      const id = await capped.create();
      const error = await failure(uploadImage(path, id, { endpoints: [capped.endpoint], raw: true, retries: 0, ...form }));
      expect(error).toMatchObject({ code: 'UPLOAD_TOO_LARGE', status: 413 });
      expect(await capped.record(id)).toMatchObject({ status: 'queued' });
    }
    const error = await failure(uploadImage(path, undefined, { endpoints: [capped.endpoint], raw: true, name: 'gone', compress: 'none' }));
    expect(error).toMatchObject({ code: 'UPLOAD_TOO_LARGE', left: [] });
    expect(await (await fetch(`${capped.endpoint}/v2/images?name=gone`)).json()).toMatchObject({ images: [] });
  });

  here('without the image, or with one that has data, sends nothing', async () => {
    const { path } = disk();
    const id = await glance.create();
    await glance.remove(id);
    const upload = (image: string): Promise<unknown> => uploadImage(path, image, { endpoints: [glance.endpoint], raw: true });
    expect((await failure(upload(id))).code).toBe('HTTP_NOT_FOUND');
    expect((await failure(upload(await glance.upload(noise(1000, 1))))).code).toBe('GLANCE_NOT_QUEUED');
  });

  here('that loses the image during the upload is a refusal, not a success', async () => {
    const { path } = disk();
    const id = await glance.create();
    let removed: Promise<void> | undefined;
    const upload = uploadImage(path, id, {
      endpoints: [glance.endpoint],
      container: 'none',
      format: 'raw',
      raw: true,
      onProgress: ({ phase, done }) => {
        if (phase === 'export' && done > 4 << 20) removed ??= glance.remove(id);
      },
    });
    const error = await failure(upload);
    await removed;
    expect(['UPLOAD_REFUSED', 'HTTP_NOT_FOUND']).toContain(error.code);
  });

  here('works from the command line', async () => {
    const { path, content } = disk();
    const made = await cli([
      'upload',
      path,
      '--raw',
      '--create',
      '--name',
      'root',
      '--glance',
      glance.endpoint,
      '--property',
      'os_type=linux',
    ]);
    expect(made).toMatchObject({ status: 0, stderr: expect.stringContaining('sha512 compared') });
    const id = made.stdout.trim();
    expect(await glance.record(id)).toMatchObject({ name: 'root', os_type: 'linux', status: 'active' });
    const back = join(testFolder(), 'back');
    expect(await cli(['write', `glance:${id}`, back, '--glance', glance.endpoint])).toMatchObject({ status: 0 });
    expect(readFileSync(back).equals(content)).toBe(true);
    const json = await cli(['upload', path, '--raw', `glance:${await glance.create()}`, '--glance', glance.endpoint, '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ created: false, compared: 'sha512' });
  });
});
