/** The real Glance with several stores, some of which accept nothing. */

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uploadImage } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { type Glance, startGlance } from '../support/glance-server.ts';
import { testWith } from '../support/needs.ts';

const here = testWith('glance', 'root');

const content = Buffer.concat([noise(2_500_000, 1), Buffer.alloc(94_304 + (1 << 20))]);

describe('an upload to the real Glance with several stores', () => {
  let glance: Glance;
  let disk: string;
  let stores: Readonly<Record<string, string>>;
  const release: (() => void)[] = [];

  beforeAll(async () => {
    if (here === test.skip) return;
    const folder = mkdtempSync(join(tmpdir(), 'vdistream-stores-'));
    release.push(() => rmSync(folder, { recursive: true }));
    disk = join(folder, 'disk');
    writeFileSync(disk, content);
    stores = Object.fromEntries(['first', 'second', 'denied', 'full', 'disabled', 'broken'].map((name) => [name, join(folder, name)]));
    for (const path of Object.values(stores)) mkdirSync(path);
    for (const name of ['full', 'disabled', 'broken']) {
      const path = stores[name] ?? '';
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'vdistream-test', path]);
      release.unshift(() => void execFileSync('umount', ['--lazy', path]));
    }
    const makeReadOnly = (path = ''): void => void execFileSync('mount', ['-o', 'remount,ro', path]);
    makeReadOnly(stores.disabled);
    glance = await startGlance('', { stores });
    makeReadOnly(stores.broken);
    chmodSync(stores.denied ?? '', 0o500);
  });
  afterAll(async () => {
    await glance?.stop();
    for (const undo of release) undo();
  });

  here.each([undefined, 'first', 'second'])('lands in the default store, or in the one that was chosen (%s)', async (store) => {
    const { image } = await uploadImage(disk, undefined, { endpoints: [glance.endpoint], raw: true, store });
    const expected = store ?? 'first';
    expect(await glance.record(image)).toMatchObject({ status: 'active', stores: expected });
    expect(existsSync(join(stores[expected] ?? '', image))).toBe(true);
  });

  here.each<[string, string, number, boolean]>([
    ['unknown', 'UPLOAD_REFUSED', 400, false],
    ['disabled', 'UPLOAD_REFUSED', 410, false],
    ['full', 'UPLOAD_TOO_LARGE', 413, false],
    ['denied', 'HTTP_SERVER', 503, true],
    ['broken', 'HTTP_SERVER', 500, true],
  ])('is refused by a store that is %s, and the image stays queued', async (store, code, status, retryable) => {
    for (const compress of ['none', 'gzip'] as const) {
      const options = { endpoints: [glance.endpoint], raw: true, store, compress, retries: 0 };
      const id = await glance.create();
      expect(await failure(uploadImage(disk, id, options))).toMatchObject({ code, status, retryable });
      expect(await glance.record(id)).toMatchObject({ status: 'queued' });
      expect(await failure(uploadImage(disk, undefined, { ...options, name: store }))).toMatchObject({ code, left: [] });
    }
    expect(await (await fetch(`${glance.endpoint}/v2/images?name=${store}`)).json()).toMatchObject({ images: [] });
  });
});
