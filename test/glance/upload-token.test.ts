/** The real Glance with keystonemiddleware, and tokens that expire on the way. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uploadImage } from '../../src/index.ts';
import { type Keystone, startKeystone } from '../stand-in/keystone.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Glance, startGlance } from '../support/glance-server.ts';
import { testWith } from '../support/needs.ts';

const here = testWith('glance');

describe('an upload to the real Glance with a token', () => {
  let keystone: Keystone;
  let glance: Glance;
  beforeAll(async () => {
    if (here === test.skip) return;
    keystone = await startKeystone();
    glance = await startGlance('', { identity: keystone.identity });
  });
  afterAll(async () => {
    await glance?.stop();
    await keystone?.stop();
  });

  function disk(): string {
    const path = join(testFolder(), 'disk');
    writeFileSync(path, Buffer.concat([noise(8_000_000, 1), Buffer.alloc(388_608)]));
    return path;
  }

  here('succeeds while the token is valid', async () => {
    const token = keystone.issue();
    const options = { endpoints: [glance.endpoint], headers: { 'X-Auth-Token': token }, raw: true };
    expect(await uploadImage(disk(), undefined, options)).toMatchObject({ compared: 'sha512', warnings: [] });
    expect(keystone.wrong).toEqual([]);
  });

  async function request(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const answer = await fetch(`${glance.endpoint}/v2/images${path}`, {
      method,
      headers: { 'X-Auth-Token': keystone.issue(), 'Content-Type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    return Object(await answer.json());
  }

  /** To an image that exists, with a token for as many requests. */
  async function uploadWith(requests: number) {
    const { id } = await request('POST', '', { container_format: 'ovf', disk_format: 'vhd' });
    const image = String(id);
    const headers = { 'X-Auth-Token': keystone.issue(requests) };
    const upload = uploadImage(disk(), image, { endpoints: [glance.endpoint], headers, raw: true, retries: 0 });
    return { upload, record: () => request('GET', `/${image}`) };
  }

  here.each([
    [0, 'the first look'],
    [1, 'the change of the record'],
    [2, 'the data'],
  ])('that expires after %i requests, before %s, is refused for good, and the image stays queued', async (requests) => {
    for (let round = 0; round < 5; round++) {
      const { upload, record } = await uploadWith(requests);
      const error = await failure(upload);
      expect(error).toMatchObject({ code: 'HTTP_AUTH', status: 401, retryable: false });
      expect(error.message).not.toContain('user-');
      expect(await record()).toMatchObject({ status: 'queued', size: null });
    }
  });

  here('that expires once the data is stored succeeds, with a warning', async () => {
    const { upload, record } = await uploadWith(3);
    expect(await upload).toMatchObject({ compared: undefined, warnings: [{ code: 'UPLOAD_UNCOMPARED' }] });
    expect(await record()).toMatchObject({ status: 'active' });
  });

  here('that expires while an image is created leaves the image there, and says so', async () => {
    const headers = { 'X-Auth-Token': keystone.issue(2) };
    const error = await failure(uploadImage(disk(), undefined, { endpoints: [glance.endpoint], headers, raw: true, retries: 0 }));
    expect(error).toMatchObject({ code: 'HTTP_AUTH', left: [expect.stringMatching(/^glance image .* was not deleted: .*401/)] });
  });
});
