/** `import --xapi`: its credentials, and what it cannot be used with. Without the addon. */

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';
import { expectDisk } from '../support/imported.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { pool } from '../support/pool.ts';

const test = testWith('openssl');

const content = Buffer.alloc(2 ** 20, 'data');

interface Given {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Mode of the file with the credentials. */
  readonly mode?: number;
}

async function run({ args = [], env = {}, mode }: Given) {
  const folder = testFolder();
  const at = (name: string, text: string | Uint8Array): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const credentials = at('credentials', `user=${pool.credentials.user}\npassword=${pool.credentials.password}\n`);
  if (mode !== undefined) chmodSync(credentials, mode);
  const file = mode === undefined ? [] : ['--credentials', credentials];
  const fixed = [
    'import',
    at('image.vhd', fixedVhd(content)),
    '--xapi',
    pool.master,
    '--sr',
    pool.db.addSr('ext'),
    '--ca',
    at('ca', pool.ca),
  ];
  const outcome = await cli([...fixed, ...file, ...args], { env: { ...process.env, VDISTREAM_NATIVE: '0', ...env } });
  expect(outcome.stderr).not.toContain(pool.credentials.password);
  return outcome;
}

test.each([
  ['the environment', () => ({ env: { XAPI_USER: pool.credentials.user, XAPI_PASSWORD: pool.credentials.password } })],
  ['a file', () => ({ mode: 0o600 })],
  ['a session', () => ({ env: { XAPI_SESSION: pool.openSession() } })],
] as const)('imports with credentials from %s', async (_, given) => {
  const { status, stdout, stderr } = await run(given());
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  expectDisk(pool.bytesOf(stdout.trim()), content);
});

test.each<[string, Given, string]>([
  ['a file that others can read', { mode: 0o644 }, 'other users may read'],
  ['no credentials', {}, 'a pool needs credentials'],
  ...['--verify', '--dry-run', '--all-disks', '--device=/dev/null'].map((option): [string, Given, string] => [
    option,
    { mode: 0o600, args: [option] },
    `${option.replace(/=.*/, '')} cannot be used with --xapi`,
  ]),
])('refuses %s', async (_, given, message) => {
  const before = pool.calls.length;
  expect(await run(given)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(message) });
  expect(pool.calls.length).toBe(before);
});

test('a wrong password is exit status 1, and XAPI_LOGIN', async () => {
  const { status, stderr } = await run({ env: { XAPI_USER: 'root', XAPI_PASSWORD: 'wrong' } });
  expect(status).toBe(1);
  expect(stderr).toContain('XAPI_LOGIN');
});
