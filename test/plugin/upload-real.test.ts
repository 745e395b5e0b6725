/** From a VDI to the real Glance through the plugin, and back into another VDI. */

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { keptRecords } from '../support/export-host.ts';
import { type Glance, startGlance } from '../support/glance-server.ts';
import { content } from '../support/import-host.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { expectDetached, novaUpload, refusedUpload, uploadHost } from '../support/plugin-upload.ts';

const here = testWith('root', 'loop', 'g++', 'glance');
const host = uploadHost('src/plugin/main.ts');
let glance: Glance;
let capped: Glance;

beforeAll(async () => {
  if (here === test.skip) return;
  [glance, capped] = await Promise.all([startGlance(), startGlance('image_size_cap = 1000000')]);
});
afterAll(async () => {
  await Promise.all([glance?.stop(), capped?.stop()]);
});

/** A record as Nova creates it before the snapshot: without formats. */
async function queued({ endpoint }: Glance): Promise<string> {
  const answer = await fetch(`${endpoint}/v2/images`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'snapshot', visibility: 'private' }),
  });
  return String(Object(await answer.json()).id);
}

here('upload_vhd2, then download_vhd2: the same bytes, and a record as Nova expects it', async () => {
  const { plugin, place, vdis } = host();
  const id = await queued(glance);
  const properties = { auto_disk_config: true, os_type: 'linux', xenapi_image_compression_level: 6 };
  const call = novaUpload(host(), glance.endpoint, { image_id: id, properties });
  expect((await plugin.success(call)).value).toBeNull();
  expectDetached(host());

  const record = await glance.record(id);
  const data = await glance.data(id);
  expect(record).toMatchObject({
    status: 'active',
    disk_format: 'vhd',
    container_format: 'ovf',
    visibility: 'private',
    auto_disk_config: 'True',
    os_type: 'linux',
    xenapi_image_compression_level: '6',
    size: data.length,
    os_hash_value: createHash('sha512').update(data).digest('hex'),
  });

  const { value } = await plugin.success({
    fn: 'download_vhd2',
    kwargs: {
      image_id: id,
      endpoint: glance.endpoint,
      uuid_stack: [],
      sr_path: `/var/run/sr-mount/${place.sr}`,
      extra_headers: {},
      api_version: 2,
    },
    env: call.env,
  });
  const vdi = String(Object(value).root.uuid);
  expectDisk(bytesOf(place.host, vdi), content, 6 * 2 ** 20);
  expect(bytesOf(place.host, vdi).equals(bytesOf(place.host, vdis[0] ?? ''))).toBe(true);
  assertClean(place.host, { vdis: [...vdis, vdi] });
  expect(keptRecords(place)).toEqual([]);
  await place.host.run(['vdi-destroy', `uuid=${vdi}`]);
});

here('an image that is gone, has data already, or is too large: the classes that Nova expects', async () => {
  const gone = await queued(glance);
  await glance.remove(gone);
  const refused = (service: Glance, image: string) => refusedUpload(host(), novaUpload(host(), service.endpoint, { image_id: image }));
  expect(await refused(glance, gone)).toEqual(['Failure', 'ImageNotFound']);
  const [kind, message] = await refused(glance, await glance.upload(Buffer.alloc(1000)));
  expect([kind, message]).toEqual(['PluginError', expect.stringMatching(/^Got Permanent Error while.*the image status is active/)]);
  const capping = await queued(capped);
  const [large, why] = await refused(capped, capping);
  expect([large, why]).toEqual(['PluginError', expect.stringMatching(/^Got Permanent Error response \[413\].*\(UPLOAD_TOO_LARGE\)/)]);
  expect(await capped.record(capping)).toMatchObject({ status: 'queued' });
});
