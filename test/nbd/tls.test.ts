import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type NbdOptions, nbdDisk } from '../../src/index.ts';
import { type Certificate, certificateAuthority } from '../support/certificates.ts';
import { noise } from '../support/chunks.ts';
import { cli } from '../support/cli.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { nbdkit, nbdProxy, qemuNbd } from '../support/nbd-server.ts';
import { nbdStandIn, optionReply } from '../support/nbd-stand-in.ts';
import { testWith } from '../support/needs.ts';
import { bytesAt } from '../support/readable.ts';

const MIB = 1 << 20;
const bytes = Buffer.from(noise(4 * MIB, 3));

function disk(): string {
  const path = join(testFolder(), 'disk.raw');
  writeFileSync(path, bytes);
  return path;
}

/** The files that GnuTLS reads, with the names that qemu and nbdkit have for them. */
function stored({ key, cert }: Certificate, ca: string): string {
  const folder = testFolder();
  for (const [name, content] of [
    ['ca-cert.pem', ca],
    ['server-cert.pem', cert],
    ['server-key.pem', key],
  ] as const) {
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

async function readThrough(uri: string, options: NbdOptions): Promise<void> {
  const opened = await nbdDisk(uri, options).open({});
  try {
    expect(Buffer.compare(await bytesAt(opened, 0, bytes.length), bytes)).toBe(0);
  } finally {
    await opened.close();
  }
}

const open = (uri: string, options: NbdOptions = {}): Promise<unknown> => nbdDisk(uri, options).open({});

const SERVERS = {
  'qemu-nbd': (folder: string) =>
    qemuNbd(disk(), '-f', 'raw', '--object', `tls-creds-x509,id=tls0,endpoint=server,dir=${folder},verify-peer=no`, '--tls-creds', 'tls0'),
  nbdkit: (folder: string) => nbdkit('--tls=require', `--tls-certificates=${folder}`, 'file', disk()),
} as const;

for (const program of ['qemu-nbd', 'nbdkit'] as const) {
  testWith('openssl', program)(`${program} is read with TLS, if its certificate is that of an authority and has its name`, async () => {
    const authority = certificateAuthority(testFolder());
    const { ca } = authority;
    const server = await SERVERS[program](stored(authority.issue('IP:127.0.0.1,DNS:disks.example'), ca));
    const { uri } = await nbdProxy(server);
    const secure = uri.replace('nbd:', 'nbds:');
    await readThrough(secure, { ca });
    await readThrough(`${secure}/?tls-hostname=disks.example`, { ca });
    await readThrough(`nbds+unix:///?socket=${server.socket}&tls-hostname=disks.example`, { ca });
    expect(await failure(open(secure))).toMatchObject({ code: 'NBD_TLS' });
    expect(await failure(open(secure, { ca: certificateAuthority(testFolder()).ca }))).toMatchObject({ code: 'NBD_TLS' });
    expect(await failure(open(`${secure}/?tls-hostname=other.example`, { ca }))).toMatchObject({ code: 'NBD_TLS' });
    expect(await failure(open(uri, { ca }))).toMatchObject({ code: 'NBD_TLS', advice: expect.stringContaining('nbds://') });
  });

  testWith('openssl', program)(`${program} with a certificate that is out of date is refused`, async () => {
    const authority = certificateAuthority(testFolder());
    // GnuTLS of qemu-nbd checks its own certificate too: there, the name is wrong.
    const certificate = program === 'nbdkit' ? authority.issue('IP:127.0.0.1', -1) : authority.issue('IP:127.0.0.2');
    const { uri } = await nbdProxy(await SERVERS[program](stored(certificate, authority.ca)));
    expect(await failure(open(uri.replace('nbd:', 'nbds:'), { ca: authority.ca }))).toMatchObject({ code: 'NBD_TLS' });
  });
}

testWith('qemu-nbd')('a server without TLS is not read where TLS is required', async () => {
  const server = await qemuNbd(disk(), '-f', 'raw');
  expect(await failure(open(`nbds+unix:///?socket=${server.socket}`))).toMatchObject({
    code: 'NBD_TLS',
    message: expect.stringContaining('the server offers no TLS'),
  });
});

testWith('openssl')('bytes before the TLS handshake, which anybody may have sent, end the connection', async () => {
  const { ca } = certificateAuthority(testFolder());
  const { uri } = await nbdStandIn({
    option: (option) => (option === 5 ? Buffer.concat([optionReply(5, 1), optionReply(8, 1)]) : undefined),
  });
  expect(await failure(open(uri.replace('nbd:', 'nbds:'), { ca }))).toMatchObject({ code: 'NBD_PROTOCOL' });
});

testWith('openssl', 'qemu-nbd')('the command line reads with TLS, with --ca', async () => {
  const authority = certificateAuthority(testFolder());
  const folder = stored(authority.issue('IP:127.0.0.1'), authority.ca);
  const { uri } = await nbdProxy(await SERVERS['qemu-nbd'](folder));
  const place = testFolder();
  mkdirSync(join(place, 'out'));
  copyFileSync(join(folder, 'ca-cert.pem'), join(place, 'ca.pem'));
  const out = join(place, 'out', 'disk.vhd.gz');
  const secure = uri.replace('nbd:', 'nbds:');
  const exported = await cli(['export', secure, '-o', out, '--ca', join(place, 'ca.pem'), '--verify']);
  expect(exported).toMatchObject({ status: 0, stderr: '' });
  expect(await cli(['verify', out, secure, '--ca', join(place, 'ca.pem')])).toMatchObject({ status: 0, stderr: '' });
  expect(await cli(['export', secure, '-o', join(place, 'b.vhd')])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('--ca FILE'),
  });
});
