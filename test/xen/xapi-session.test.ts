/** Logging in to a pool: credentials, certificates, a slave that names its master. */

import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, onTestFinished, vi } from 'vitest';
import type { XapiOptions } from '../../src/index.ts';
import { certificateAuthority } from '../support/certificates.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { importedToPool, pool, refusedByPool, xapiOptions } from '../support/pool.ts';

const test = testWith('openssl');

const MiB = 2 ** 20;

function image(): string {
  const path = join(testFolder(), 'image.vhd');
  writeFileSync(path, dynamicVhd({ size: 4 * MiB, blocks: new Map([[1, Buffer.alloc(2 * MiB, 5)]]) }));
  return path;
}

const imported = (xapi: XapiOptions, hosts: readonly ('master' | 'slave')[] = ['master']) =>
  importedToPool(image(), pool.db.addSr('ext', { hosts }), {}, xapi);
const refused = (xapi: XapiOptions, hosts: readonly ('master' | 'slave')[] = ['master']) =>
  refusedByPool(image(), pool.db.addSr('ext', { hosts }), {}, xapi);

async function fingerprintOf(url: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const { fingerprint256 } = new X509Certificate(socket.getPeerCertificate(true).raw);
  socket.destroy();
  return fingerprint256;
}

describe('a session', () => {
  test('is opened with a password, and closed at the end', async () => {
    const before = pool.calls.filter((call) => call === 'session.logout').length;
    await imported(xapiOptions());
    expect(pool.calls.filter((call) => call === 'session.logout').length).toBe(before + 1);
  });

  test('is refused with a wrong password, which no message shows', async () => {
    const error = await refused(xapiOptions({ password: 'secret-of-another-pool' }));
    expect(error).toMatchObject({ code: 'XAPI_LOGIN', xapi: 'SESSION_AUTHENTICATION_FAILED' });
    expect(JSON.stringify(error)).not.toContain('secret-of-another-pool');
  });

  test('of the caller is used, and stays open', async () => {
    const session = pool.openSession();
    const { user, password, ...xapi } = xapiOptions({ session });
    await imported(xapi);
    await refused({ ...xapi, url: `${pool.slave}` }, []);
    expect(pool.hasSession(session)).toBe(true);
  });

  test('that has expired is refused, and no message shows it', async () => {
    const { user, password, ...xapi } = xapiOptions({ session: 'OpaqueRef:expired' });
    expect(await refused(xapi)).toMatchObject({ code: 'XAPI_LOGIN', xapi: 'SESSION_INVALID' });
  });

  test('is that of the master, if a slave is named', async () => {
    await imported(xapiOptions({ url: pool.slave }));
    expect(await refused(xapiOptions({ url: pool.slave, password: 'wrong' }))).toMatchObject({ code: 'XAPI_LOGIN' });
  });
});

describe('TLS', () => {
  test('is trusted with the certificate of its authority, and not without it', async () => {
    expect(await refused(xapiOptions({ ca: undefined }))).toMatchObject({ code: 'XAPI_TLS' });
    const { ca } = certificateAuthority(testFolder());
    expect(await refused(xapiOptions({ ca }))).toMatchObject({ code: 'XAPI_TLS' });
  });

  test('is trusted with the fingerprint of the certificate', async () => {
    const master = await fingerprintOf(pool.master);
    await imported(xapiOptions({ ca: undefined, fingerprints: [master] }));
    await imported(xapiOptions({ ca: undefined, fingerprints: [`sha256:${master.replaceAll(':', '').toLowerCase()}`] }));
    const error = await refused(xapiOptions({ ca: undefined, fingerprints: ['0'.repeat(64)] }));
    expect(error).toMatchObject({ code: 'XAPI_TLS', message: expect.stringContaining(master.replaceAll(':', '')) });
  });

  test('needs the fingerprint of each host', async () => {
    const [master, slave] = [await fingerprintOf(pool.master), await fingerprintOf(pool.slave)];
    expect(await refused(xapiOptions({ ca: undefined, fingerprints: [master] }), ['slave'])).toMatchObject({ code: 'XAPI_TLS' });
    await imported(xapiOptions({ ca: undefined, fingerprints: [master, slave] }), ['slave']);
  });

  test('needs both, the authority and the fingerprint, if both are given', async () => {
    const fingerprints = [await fingerprintOf(pool.master)];
    await imported(xapiOptions({ fingerprints }));
    expect(await refused(xapiOptions({ fingerprints: ['0'.repeat(64)] }))).toMatchObject({ code: 'XAPI_TLS' });
    const { ca } = certificateAuthority(testFolder());
    expect(await refused(xapiOptions({ fingerprints, ca }))).toMatchObject({ code: 'XAPI_TLS' });
  });

  test('cannot be turned off by the environment', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await refused(xapiOptions({ ca: undefined }))).toMatchObject({ code: 'XAPI_TLS' });
  });
});

test('a host that does not listen is XAPI_CONNECTION', async () => {
  expect(await refused(xapiOptions({ url: 'https://127.0.0.1:1' }))).toMatchObject({ code: 'XAPI_CONNECTION' });
});
