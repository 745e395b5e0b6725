import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { noise } from '../support/chunks.ts';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';
import { glanceForUploads, ID, TOKEN } from '../support/upload-glance.ts';
import { uploadServer } from '../support/upload-server.ts';

function files(): { readonly disk: string; readonly headers: string } {
  const folder = testFolder();
  const [disk, headers] = [join(folder, 'disk'), join(folder, 'headers')];
  writeFileSync(disk, noise(3 << 20, 1));
  writeFileSync(headers, `X-Auth-Token: ${TOKEN}\n`);
  return { disk, headers };
}

describe('upload', () => {
  test('prints the id, and on stderr what was done', async () => {
    const { disk } = files();
    const server = await glanceForUploads();
    const env = { ...process.env, OS_TOKEN: TOKEN };
    const done = await cli(['upload', disk, '--raw', `glance:${ID}`, '--glance', server.url('/v2'), '--property', 'a=b=c'], { env });
    expect(done).toMatchObject({ status: 0, stdout: `${ID}\n`, stderr: expect.stringContaining(`Uploaded`) });
    expect(done.stderr).not.toContain(TOKEN);
    expect(String(server.uploads[1]?.chunks)).toContain('{"op":"add","path":"/a","value":"b=c"}');
  });

  test('reports a refusal with its code, its advice and no secret', async () => {
    const { disk, headers } = files();
    const server = await glanceForUploads({ put: () => ({ status: 413 }) });
    const args = ['upload', disk, '--raw', `glance:${ID}`, '--glance', server.url('/v2'), '--headers', headers, '--json'];
    const { status, stdout, stderr } = await cli(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: expect.any(String) });
    expect(stdout + stderr).toContain('"UPLOAD_TOO_LARGE"');
    expect(stdout + stderr).not.toContain(TOKEN);
  });

  test.each([
    [['disk'], 'add glance:ID, or --create'],
    [['disk', 'glance:1', '--create', '--glance', 'http://h'], 'leave glance:ID out'],
    [['glance:1', '--glance', 'http://h'], 'DISK is missing'],
    [['disk', 'glance:1'], 'add --glance URL'],
    [['disk', 'glance:1', '--glance', 'http://h', '--property', 'a'], 'KEY=VALUE'],
    [['disk', 'glance:1', '--glance', 'http://h', '--glance-formats', 'qcow2'], 'qcow2,bare'],
    [['disk', 'glance:1', '--glance', 'http://h', '--visibility', 'all'], '--visibility accepts'],
    [['disk', 'glance:..', '--glance', 'http://h'], 'image id'],
    [['disk', '--create', '--glance', 'http://h', '--glance-version', '1'], 'version 1'],
    [['a', 'b', 'glance:1', '--glance', 'http://h', '--as-is'], 'one file'],
  ])('%j is wrong usage', async (args, text) => {
    expect(await cli(['upload', ...args])).toMatchObject({ status: 2, stderr: expect.stringContaining(text) });
  });
});

describe('export -o URL', () => {
  test('puts the image, with the headers of a file', async () => {
    const { disk, headers } = files();
    const server = await uploadServer();
    const done = await cli(['export', disk, '--raw', '-o', server.url('/disk.raw.gz?key=secret'), '--headers', headers]);
    expect(done).toMatchObject({ status: 0, stdout: expect.stringContaining(`to ${server.url('/disk.raw.gz')}:`) });
    expect(done.stdout + done.stderr).not.toContain('secret');
    expect(server.uploads).toMatchObject([{ method: 'PUT', path: '/disk.raw.gz?key=secret', complete: true }]);
    expect(server.uploads[0]?.headers).toMatchObject({ 'x-auth-token': TOKEN, 'if-none-match': '*' });
    expect(gunzipSync(Buffer.concat(server.uploads[0]?.chunks ?? [])).equals(readFileSync(disk))).toBe(true);
  });

  test('that is refused because something is there exits with 3', async () => {
    const { disk } = files();
    const server = await uploadServer({ script: ({ headers }) => ({ status: 'if-none-match' in headers ? 412 : 201 }) });
    expect(await cli(['export', disk, '--raw', '-o', server.url('/a.vhd')])).toMatchObject({ status: 3 });
    expect(await cli(['export', disk, '--raw', '-o', server.url('/a.vhd'), '--force=content'])).toMatchObject({ status: 0 });
    expect(await cli(['export', disk, '--raw', '-o', server.url('/a.vhd'), '--verify'])).toMatchObject({ status: 2 });
  });
});
