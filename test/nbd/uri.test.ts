import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { redactUrl } from '../../src/http/url.ts';
import { nbdDisk } from '../../src/index.ts';
import { parseNbdUri } from '../../src/nbd/uri.ts';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';

// The examples of https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md, and some more.
test.each([
  ['nbd://example.com/disk', 'disk', { host: 'example.com', port: 10809 }],
  ['nbd+unix:///disk?socket=sock', 'disk', { path: 'sock' }],
  ['nbd://example.com/', '', { host: 'example.com', port: 10809 }],
  ['nbd://example.com', '', { host: 'example.com', port: 10809 }],
  ['nbd://example.com//disk', '/disk', { host: 'example.com', port: 10809 }],
  ['nbd://example.com/hello%20world', 'hello world', { host: 'example.com', port: 10809 }],
  ['NBD://example.com:10810/a/../b', 'a/../b', { host: 'example.com', port: 10810 }],
  ['nbd://[::1]:10809/disk', 'disk', { host: '::1', port: 10809 }],
  ['nbd+unix:///?socket=%00/abstract', '', { path: '\0/abstract' }],
])('%s', (uri, exportName, place) => {
  expect(parseNbdUri(uri)).toMatchObject({ exportName, place, tlsName: undefined });
});

test.each([
  ['nbds://example.com/disk', 'example.com'],
  ['nbds://10.0.0.1/disk?tls-hostname=host.example', 'host.example'],
  ['nbds+unix:///disk?socket=sock', 'localhost'],
])('the certificate for %s must have the name %s', (uri, tlsName) => {
  expect(parseNbdUri(uri)).toMatchObject({ tlsName });
});

test.each([
  'nbd:',
  'nbd://',
  'nbd:///disk',
  'nbd://host:0/',
  'nbd://host:65536/',
  'nbd://host:x/',
  'nbd://a:b:c/',
  'nbd://user@host/disk',
  'nbd://host/disk#part',
  'nbd://host/%zz',
  'nbd://host/a%00b',
  'nbd://host/disk?socket=/tmp/socket',
  'nbd+unix:///disk',
  'nbd+unix:///disk?socket=',
  'nbd://host/disk?tls-verify-peer=0',
  `nbd://host/${'n'.repeat(4097)}`,
  'http://host/disk',
])('%s is refused', (uri) => {
  expect(() => nbdDisk(uri)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test('the reference of a session, which XAPI has in the name of an export, is in no name and no message', () => {
  const secret = 'OpaqueRef:5ec2e7';
  const uri = `nbds://host/${encodeURIComponent(`/1234?session_id=${secret}`)}`;
  expect(parseNbdUri(uri)).toMatchObject({ exportName: `/1234?session_id=${secret}`, name: 'nbds://host//1234' });
  expect(nbdDisk(uri).name).toBe('nbds://host//1234');
  expect(redactUrl(uri)).toBe('nbds://host/%2F1234');
  for (const wrong of [
    `nbds://host//1234?session_id=${secret}`,
    `nbds://${secret}@host/`,
    `nbds://host/%zz${secret}`,
    `nbds://host/#${secret}`,
  ]) {
    expect(() => nbdDisk(wrong)).toThrow(expect.not.objectContaining({ message: expect.stringContaining('5ec2e7') }));
  }
});

test('the command line prints and logs no reference of a session', async () => {
  const folder = testFolder();
  const [log, out] = [join(folder, 'log'), join(folder, 'out.vhd')];
  const uri = `nbd+unix:///%2F1234%3Fsession_id%3D5ec2e7?socket=${folder}/none`;
  const { status, stdout, stderr } = await cli(['export', uri, '-o', out, '--log', log, '--json']);
  expect(status).toBe(1);
  const printed = `${stdout}${stderr}${readFileSync(log, 'utf8')}`;
  expect(printed).toContain('NBD_CONNECT');
  expect(printed).not.toContain('5ec2e7');
});
