/** The plugin's log in syslog, through a program in the place of logger(1). */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { testFolder } from '../support/folder.ts';
import type { Request } from '../support/plugin.ts';
import { call, nova, SR, TOKEN } from '../support/plugin-call.ts';

const VDI = '0f1e2d3c-aaaa-4bbb-8ccc-123456789abc';
const LEAF = '11111111-2f58-4e0c-9a57-1f0f2b9d4c11';

interface Logged {
  readonly path: string;
  /** Resolves with the arguments of `count` runs, by severity and message. */
  lines(count: number): Promise<string[]>;
}

/** A folder for PATH in which `logger` writes its arguments to a file. */
function logger(script?: string): Logged {
  const folder = testFolder();
  const lines = join(folder, 'lines');
  mkdirSync(lines);
  writeFileSync(
    join(folder, 'logger'),
    `#!/bin/sh\n${script ?? `printf '%s\\0' "$@" >'${lines}'/$$.part && mv '${lines}'/$$.part '${lines}'/$$`}\n`,
    {
      mode: 0o755,
    },
  );
  const files = (): string[] => readdirSync(lines).filter((name) => !name.endsWith('.part'));
  return {
    path: `${folder}:/usr/bin:/bin`,
    async lines(count) {
      await vi.waitUntil(() => files().length >= count, { timeout: 10_000 });
      expect(files()).toHaveLength(count);
      return files()
        .map((name) => readFileSync(join(lines, name), 'utf8').split('\0'))
        .map(([t, tag, p, severity, end, message, ...more]) => {
          expect([t, tag, p, end, more]).toEqual(['-t', expect.stringMatching(/^vdistream-plugin\[\d+\]$/), '-p', '--', ['']]);
          return `${severity} ${message}`;
        })
        .sort();
    },
  };
}

/** The lines of a call, and what it would log if it logged everything: none of it may be a secret. */
async function logged(request: Request, count: number): Promise<string[]> {
  const { path, lines } = logger();
  await call({ ...request, env: { PATH: path } });
  const found = await lines(count);
  expect(found.join('\n')).not.toMatch(new RegExp(`${TOKEN}|auth-token|admin,member|secret`, 'i'));
  for (const line of found) expect(line).toMatch(/^[ -~…]{1,960}$/);
  return found;
}

const upload = (image: string, more: object = {}) => ({
  fn: 'upload_vhd2',
  kwargs: {
    ...nova(image).kwargs,
    uuid_stack: undefined,
    vdi_uuids: [LEAF],
    properties: { os_type: 'linux', note: 'secret' },
    ...more,
  },
});

/** JSON has no undefined: Nova would send None, which the function does not expect. */
const sent = ({ fn, kwargs }: ReturnType<typeof upload>): Request => ({ fn, kwargs: JSON.parse(JSON.stringify(kwargs)) });

test('a download: its start, and its end with image, VDI, SR, bytes and seconds', async () => {
  expect(await logged(nova('good'), 2)).toEqual([
    `user.notice download_vhd2 start image=good sr=${SR} endpoint=http://10.0.0.1:9292/`,
    expect.stringMatching(
      new RegExp(
        `^user.notice download_vhd2 success image=good sr=${SR} endpoint=http://10.0.0.1:9292/ vdi=${VDI} bytes=4711 seconds=\\d+\\.\\d$`,
      ),
    ),
  ]);
});

test('an upload: the same', async () => {
  expect(await logged(sent(upload('good')), 2)).toEqual([
    `user.notice upload_vhd2 start image=good vdi=${LEAF} endpoint=http://10.0.0.1:9292/`,
    expect.stringMatching(
      new RegExp(
        `^user.notice upload_vhd2 success image=good vdi=${LEAF} endpoint=http://10.0.0.1:9292/ sr=${SR} bytes=4711 seconds=\\d+\\.\\d$`,
      ),
    ),
  ]);
});

test('a failure: its class and reason, also where Nova only gets ImageNotFound', async () => {
  const [error] = await logged(nova('busy'), 2);
  expect(error).toMatch(/^user.err download_vhd2 failure image=busy sr=.* seconds=[\d.]+: RetryableError: .*status 503 \(HTTP_SERVER\)/);
  const [gone] = await logged(sent(upload('gone')), 2);
  expect(gone).toMatch(
    /^user.err upload_vhd2 failure image=gone vdi=.*: Failure: ImageNotFound\. Message: .*404 \(HTTP_NOT_FOUND\).*Left behind: a VBD/,
  );
  const [wrong] = await logged(nova('good', { extra_headers: { [`${TOKEN}: x`]: 'secret' } }), 1);
  expect(wrong).toMatch(/^user.err download_vhd2 failure seconds=[\d.]+: ArgumentError: a header name/);
  const [garbage] = await logged({ argv: [`garbage ${TOKEN}`] }, 1);
  expect(garbage).toMatch(/^user.err vdistream-plugin failure seconds=[\d.]+: ArgumentError: the argument is not an XML-RPC call/);
  const [defect] = await logged(nova('defect'), 2);
  expect(defect).toMatch(/^user.err download_vhd2 failure .*: PluginError: This is a bug in vdistream.*\*\*\*/);
  const [early] = await logged(nova('exit'), 2);
  expect(early).toMatch(/^user.err download_vhd2 failure .*: PluginError: .*the call ended without a result/);
});

test('a signal is a failure, too', async () => {
  const [error] = await logged({ ...nova('slow'), signals: ['SIGTERM'] }, 2);
  expect(error).toMatch(/^user.err download_vhd2 failure image=slow .*: RetryableError: cancelled by SIGTERM/);
});

test('warnings, up to a number of them', async () => {
  const warning = 'user.warning download_vhd2 warning: 0.vhd: the footer is of 2038 (VHD_TIMESTAMP)';
  expect(await logged(nova('odd'), 3)).toContain(warning);
  expect((await logged(nova('very odd'), 22)).filter((line) => line === warning)).toHaveLength(20);
});

test('a call that does no work is not logged', async () => {
  await logged({ fn: 'get_version', kwargs: {} }, 0);
  await logged({ fn: 'no\nsuch', kwargs: {} }, 0);
});

test('no user, query or line of a caller gets into it', async () => {
  const lines = await logged(nova('x vdi=y\u009b\u202e\nz', { endpoint: 'http://10.0.0.1:9292/?token=secret' }), 2);
  expect(lines.join()).toContain('image="x vdi=y\\u{9b}\\u{202e}\\nz" sr=');
  expect(await logged(nova('unprintable'), 2)).toContainEqual(expect.stringContaining('xe says \\u{1b}[1m & \\u{fffe}\\u{d800}'));
  expect(await logged(nova('long'), 2)).toContainEqual(expect.stringMatching(/x{500}…$/));
});

test.each([
  ['is missing', undefined],
  ['fails', 'exit 1'],
  ['never ends', 'sleep 3'],
])('a call works the same if logger %s', async (_, script) => {
  const { path } = script === undefined ? { path: testFolder() } : logger(script);
  const began = performance.now();
  const { value } = await call({ ...nova('good'), env: { PATH: path } });
  expect(value).toEqual({ root: { uuid: VDI } });
  const { reply } = await call({ ...nova('busy'), env: { PATH: path } });
  expect(reply?.ErrorDescription?.[2]).toBe('RetryableError');
  expect(performance.now() - began).toBeLessThan(2500);
});
