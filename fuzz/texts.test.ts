/** Texts of others, as their bytes: descriptors and manifests, the calls and pickles of XAPI, what xe prints, and the answers of a server. */

import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VdiStreamError } from '../src/errors.ts';
import { httpImage } from '../src/http/download.ts';
import { readCertificate, readManifest } from '../src/ova/manifest.ts';
import { readOvf } from '../src/ova/ovf.ts';
import { readPickle } from '../src/plugin/pickle-read.ts';
import { readCall } from '../src/plugin/xmlrpc.ts';
import { parseOwnerTag } from '../src/xen/owner-tag.ts';
import { parseMap, printedUuid, splitMinimal } from '../src/xen/xe-output.ts';
import { commandError } from '../src/xen/xe-words.ts';
import { campaign, limit } from './campaign.ts';

const OVF = `<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References><File ovf:href="disk.vhd" ovf:id="file1" ovf:size="4096"/><File ovf:href="b.vhd" ovf:id="file2"/></References>
  <DiskSection><Info>disks</Info><Disk ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d1" ovf:fileRef="file1"
    ovf:format="http://technet.microsoft.com/en-us/virtualserver/bb676673.aspx#monitor_link"/></DiskSection>
  <VirtualSystem ovf:id="vm"><Info/><Name>&#x41;&amp;</Name></VirtualSystem>
</Envelope>`;
const MANIFEST = `SHA1(disk.vhd)= ${'0f'.repeat(20)}\nSHA256(box.ovf)= ${'a1'.repeat(32)}\r\n`;
const CERTIFICATE = `SHA1(box.mf)= ${'0f'.repeat(20)}\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`;
const PICKLE =
  '(dp0\nVargs\np1\n(tsVkwargs\np2\n(dp3\nVimage_id\np4\nVfake\np5\nsVapi_version\np6\nI2\nsVuuid_stack\np7\n(lp8\nVu1\np9\nass.';
const CALL = `<methodCall><methodName>download_vhd2</methodName><params><param><value>OpaqueRef:1</value></param><param><value><struct><member><name>params</name><value>a&lt;b</value></member><member><name>x</name><value/></member></struct></value></param></params></methodCall>`;
const XE =
  'The uuid you supplied was invalid.\ntype: VDI\nuuid: 5ec5c113-2143-4e83-b91b-e93287556f2f\nsm-config: type: raw; vdi_type: aio\\, b';
const ANSWER =
  'HTTP/1.1 200 OK\r\nContent-Length: 24\r\nETag: "abc"\r\nContent-Range: bytes 0-23/24\r\nConnection: close\r\n\r\nnot an image, only bytes';

const TOKENS = [
  '<',
  '>',
  '&',
  '"',
  '\0',
  '\n',
  '\r\n',
  ';',
  '\\,',
  '../',
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '&b;',
  '<![CDATA[',
  'xmlns:',
  '(',
  ')',
  '.',
  'c__builtin__\neval\n',
  'R',
  '-1',
  '99999999999999999999',
  'Transfer-Encoding: chunked\r\n',
  'Location: http://127.0.0.1:1/\r\n',
  '\u202e',
  '\ud83d\ude00',
];

interface Edit {
  /** Where, as a part of the length. */
  readonly at: number;
  readonly remove: number;
  readonly insert: Uint8Array;
}

const inserts = fc.oneof(
  fc.constantFrom(...TOKENS).map((token) => Buffer.from(token)),
  fc.uint8Array({ maxLength: 8 }),
  fc.constant(new Uint8Array(0)),
);
const edits: fc.Arbitrary<readonly Edit[]> = fc.array(
  fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), remove: fc.nat({ max: 40 }), insert: inserts }),
  { maxLength: 6 },
);

/** The text with the edits, one after the other. */
function edited(text: string, changes: readonly Edit[]): Buffer {
  let bytes = Buffer.from(text);
  for (const { at, remove, insert } of changes) {
    const start = Math.floor(at * bytes.length);
    bytes = Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + remove)]);
  }
  return bytes;
}

/** It returns, or throws a typed error. */
function expectTyped(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
  }
}

const xe = (bytes: Buffer): void => {
  const text = bytes.toString();
  splitMinimal(text);
  parseMap(text);
  parseOwnerTag(text);
  expect(commandError('vdi-create', text)).toBeInstanceOf(VdiStreamError);
  printedUuid('vdi-create', text);
};

test.each<[string, string, number, (bytes: Buffer) => unknown]>([
  ['ovf', OVF, 0.05, (bytes) => readOvf(bytes, 'box.ovf', () => {})],
  ['manifest', MANIFEST, 0.03, (bytes) => readManifest(bytes, 'box.mf')],
  ['certificate', CERTIFICATE, 0.03, (bytes) => readCertificate(bytes, 'box.cert')],
  ['pickle', PICKLE, 0.05, readPickle],
  ['xml-rpc', CALL, 0.05, (bytes) => readCall(bytes.toString())],
  ['xe', XE, 0.03, xe],
])(
  'a changed text of kind %s is read, or refused with a typed error',
  async (name, text, share, read) => {
    await campaign(name, share, edits, async (changes) => expectTyped(() => read(edited(text, changes))));
  },
  limit(0.05),
);

let answer: Uint8Array = Buffer.alloc(0);
const server = createServer((socket: Socket) => {
  socket.on('error', () => {});
  socket.once('data', () => socket.end(answer));
});
let url = '';

beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  url = typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}/image` : '';
});
afterAll(() => void server.close());

test(
  'a changed answer of a server is bytes of the image, or a typed error',
  async () => {
    await campaign('http', 0.1, edits, async (changes) => {
      answer = edited(ANSWER, changes);
      const image = httpImage(url, { retries: 0, connectTimeout: 2000, idleTimeout: 2000 });
      try {
        const source = await image.open({});
        try {
          for await (const bytes of source.cursor.chunks()) expect(bytes).toBeInstanceOf(Uint8Array);
          await source.finish();
        } finally {
          await source.close();
        }
      } catch (error) {
        if (!(error instanceof VdiStreamError)) throw error;
      }
    });
  },
  limit(0.1),
);
