/** The package, installed with install scripts blocked, does all that needs no root, with its addon and without. */

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chainTar, sampleChain } from './support/chains.ts';
import { type InstalledPackage, installPackage } from './support/installed-package.ts';
import { fixedVhd } from './support/make-vhd.mjs';
import { manifestOf, ovfOf } from './support/packages.ts';
import { tarOf } from './support/tar.ts';
import { glanceForUploads, ID, TOKEN } from './support/upload-glance.ts';
import { uploadServer } from './support/upload-server.ts';

let place: InstalledPackage;
beforeAll(async () => {
  place = await installPackage();
}, 300_000);
afterAll(() => rmSync(place.folder, { recursive: true, force: true }));

const { vhds, content } = sampleChain();
const fixed = fixedVhd(content);
const ova = [
  ['box.ovf', ovfOf(['disk.vhd'])],
  ['disk.vhd', fixed],
] as const;
/** Each is the same disk. */
const IMAGES: ReadonlyArray<readonly [string, Buffer]> = [
  ['fixed.vhd.gz', gzipSync(fixed)],
  ['chain.tar', chainTar(vhds)],
  ['box.ova', tarOf([...ova, ['box.mf', manifestOf(ova)]])],
];

describe.each([
  ['with its addon', '1'],
  ['without an addon', '0'],
])('%s', (_, native) => {
  /** A new folder, and the program in it. */
  function fresh() {
    const folder = join(place.folder, `run-${native}`);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [name, bytes] of [...IMAGES, ['source.raw', content] as const]) writeFileSync(join(folder, name), bytes);
    const env = { ...process.env, VDISTREAM_NATIVE: native, OS_TOKEN: TOKEN, TMPDIR: folder };
    const program =
      (name: string) =>
      (...args: string[]) =>
        promisify(execFile)(join(place.folder, 'node_modules/.bin', name), args, { cwd: folder, env });
    return {
      run: program('vdistream'),
      plugin: program('vdistream-plugin'),
      read: (name: string): Buffer => readFileSync(join(folder, name)),
    };
  }

  test('it says which Node runs it, and whether it has the addon', async () => {
    const { stdout } = await fresh().run('--version');
    expect(stdout).toContain(`node: ${process.versions.node}\n`);
    expect(/^addon: missing/m.test(stdout)).toBe(native === '0');
  });

  test('the plugin answers', async () => {
    expect((await fresh().plugin('x')).stdout).toContain('<methodResponse>');
  });

  test.each(IMAGES.map(([name]) => name))('info, check, write and verify %s', async (image) => {
    const { run, read } = fresh();
    expect(JSON.parse((await run('info', image, '--json')).stdout)).toMatchObject({ virtualSize: content.length });
    expect(JSON.parse((await run('check', image, '--json')).stdout)).toMatchObject({ ok: true });
    await run('write', image, 'disk.raw', '--verify');
    expect(read('disk.raw').equals(content)).toBe(true);
    await run('verify', image, 'disk.raw');
  });

  test.each(['out.vhd', 'out.ova', 'out.raw.gz'])('export %s, and write it back', async (image) => {
    const { run, read } = fresh();
    const format = image.startsWith('out.raw') ? ['--raw'] : [];
    await run('export', 'source.raw', ...format, '-o', image, '--verify');
    await run('write', image, 'back.raw', ...format);
    expect(read('back.raw').equals(content)).toBe(true);
  });

  test('export to a web server, and upload to an image service', async () => {
    const { run } = fresh();
    const server = await uploadServer();
    await run('export', 'source.raw', '--raw', '-o', server.url('/disk.raw.gz'));
    expect(gunzipSync(Buffer.concat(server.uploads[0]?.chunks ?? [])).equals(content)).toBe(true);
    const glance = await glanceForUploads();
    expect((await run('upload', 'source.raw', `glance:${ID}`, '--glance', glance.url('/v2'))).stdout).toBe(`${ID}\n`);
  });

  test('an image from a pipe becomes the disk', async () => {
    const { run, read } = fresh();
    const running = run('write', '-', 'piped.raw');
    running.child.stdin?.end(gzipSync(chainTar(vhds)));
    await running;
    expect(read('piped.raw').equals(content)).toBe(true);
  });
});
