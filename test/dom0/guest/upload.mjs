/** Upload: from a logical volume, and of a VDI that Xen plugs, by the plugin. The image is written to another volume, and dd reads both. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { MIB, sha256, volume } from './devices.mjs';
import { imageService } from './image-service.mjs';
import { patchy, qemu } from './images.mjs';
import { plugin, vdistream } from './programs.mjs';
import { test } from './runner.mjs';
import { toolstack } from './toolstack.mjs';

const ID = '5c1c3d7e-8d0f-4b1c-a2a4-3d3f0e1f5c55';
const OUT = '/tmp/uploaded.tar.gz';

/** Writes what the service has to another volume. @param {import('./runner.mjs').Test} t @param {Buffer} image @param {number} size */
async function written(t, image, size) {
  t.after(() => rmSync(OUT, { force: true }));
  writeFileSync(OUT, image);
  const copy = volume(t, { size, name: 'LV-6f6c6420-6461-4461-8a61-000000000001' });
  assert.equal((await vdistream(['write', OUT, copy.path])).status, 0);
  return copy;
}

test('an upload from a logical volume comes back bit for bit', async (t) => {
  const service = await imageService(t);
  const source = volume(t, { size: 20 * MIB });
  assert.equal((await vdistream(['write', qemu.path, source.path, '--zero=write'])).status, 0);
  const { status, result, error } = await vdistream(['upload', source.path, `glance:${ID}`, '--glance', service.url]);
  assert.deepEqual([status, error, result.compared], [0, {}, 'sha512']);
  const image = service.image();
  assert.equal(result.sha512, createHash('sha512').update(image).digest('hex'));
  const copy = await written(t, image, source.size);
  assert.equal(sha256(copy, source.size), sha256(source, source.size));
});

test('an upload of a VDI by the plugin comes back bit for bit, and leaves no device', async (t) => {
  const service = await imageService(t);
  const host = await toolstack(t);
  const imported = await vdistream(['import', patchy.path, '--sr', await host.sr('lvm', 512), '--xe', host.xe]);
  const vdi = String(imported.result.vdi);
  const answer = await plugin('upload_vhd2', { vdi_uuids: vdi, image_id: ID, endpoint: service.url, api_version: '2' }, host.xe);
  assert.match(answer, /<name>Status<\/name><value>Success<\/value>/);
  assert.deepEqual([host.state().vbd, readdirSync('/sys/class/block').filter((name) => name.startsWith('xvd'))], [[], []]);
  const copy = await written(t, service.image(), 24 * MIB);
  assert.equal(sha256(copy, patchy.size), patchy.sha256);
});
