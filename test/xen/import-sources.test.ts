/** From a web server or an image service to a VDI, while the bytes are still under way. */

import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, vi } from 'vitest';
import { glanceImage, httpImage, type ImportOptions, type ImportResult, importImage, type SourceInput } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { chainTar, sampleChain } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { type Glance, startGlance } from '../support/glance-server.ts';
import { glanceV2, hex, honest, ID, imageAt, said, content as small, vhd as smallVhd } from '../support/glance-stand-in.ts';
import { httpServer, type Reply, rawServer, type TestServer } from '../support/http-server.ts';
import { bytesOf, expectDisk, toolstackOf } from '../support/imported.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const test = testWith('root', 'loop', 'g++');
const MiB = 2 ** 20;

let host: Host;
let sr: string;
const made: string[] = [];
beforeAll(async () => {
  host = await startHost();
  sr = await host.sr('lvm');
});
afterAll(() => host?.stop());

/** Onto a raw volume, where nothing that did not arrive passes for zero. */
const importing = (input: SourceInput, options: Partial<ImportOptions> = {}): Promise<ImportResult> =>
  importImage(input, { sr, rawVdi: true, xe: toolstackOf(host), ...options });

async function imported(input: SourceInput, content: Uint8Array): Promise<ImportResult> {
  const result = await importing(input);
  made.push(result.vdi);
  assertClean(host, { vdis: made });
  expectDisk(bytesOf(host, result.vdi), content, result.vdiSize);
  return result;
}

async function refused(input: SourceInput, expected: object, options: Partial<ImportOptions> = {}): Promise<void> {
  expect(await failure(importing(input, options))).toMatchObject({ left: [], ...expected });
  assertClean(host, { vdis: made });
}

/** 24 MiB of which all is there, and does not compress. */
const content = Buffer.from(noise(24 * MiB, 21));
const blocks = new Map(Array.from({ length: 12 }, (_, number) => [number, content.subarray(number * 2 * MiB, (number + 1) * 2 * MiB)]));
const image = gzipSync(tarOf([['./0.vhd', dynamicVhd({ size: content.length, blocks })]]), { level: 1 });
const tag = { etag: '"1"' };

describe('an image that is fetched', () => {
  test('is half written to the device when the server has sent half', async () => {
    const half = Math.floor(image.length / 2);
    let isSeen = (): void => {};
    const seen = new Promise<void>((resolve) => {
      isSeen = resolve;
    });
    let sent = 0;
    const { url } = await rawServer(async (socket) => {
      const send = async (bytes: Buffer): Promise<void> => {
        sent += bytes.length;
        if (!socket.write(bytes)) await once(socket, 'drain');
      };
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${image.length}\r\n\r\n`);
      await send(image.subarray(0, half));
      await seen;
      await send(image.subarray(half));
    });
    const running = importing(url());
    running.catch(() => {}); // its error is thrown where it is awaited
    try {
      // 8 MiB of the disk, four blocks, lie well within the first half of the image.
      await vi.waitFor(
        () => {
          const { vdi } = host.state();
          const bytes = bytesOf(host, vdi.find(({ uuid }) => !made.includes(uuid))?.uuid ?? '');
          expect(bytes.subarray(0, 8 * MiB).equals(content.subarray(0, 8 * MiB))).toBe(true);
        },
        { timeout: 60_000, interval: 20 },
      );
      expect(sent).toBe(half);
    } finally {
      isSeen();
    }
    const { vdi, vdiSize } = await running;
    made.push(vdi);
    expectDisk(bytesOf(host, vdi), content, vdiSize);
    assertClean(host, { vdis: made });
  });

  const wait = async (): Promise<void> => {};
  /** Five answers that are cut at odd offsets, and then a complete one. */
  const cutting = (how: 'end' | 'reset') => ({
    image,
    headers: tag,
    reply: (_: unknown, number: number): Reply => (number < 5 ? { cut: Math.floor(image.length / 6) + 1001 * number, how } : {}),
  });

  test('is fetched once, however often the connection drops', async () => {
    const server = await httpServer(cutting('end'));
    await imported(httpImage(server.url(), { wait }), content);
    expect(server.requests).toHaveLength(6);
    expect(server.sent()).toBe(image.length);
  });

  test('is fetched again only as far as it was still in flight when the connection dropped', async () => {
    const server = await httpServer(cutting('reset'));
    await imported(httpImage(server.url(), { wait }), content);
    expect(server.requests).toHaveLength(6);
    // Nothing received is requested again: each answer resumes after the last byte read from the previous one.
    const starts = server.requests.map(({ start }) => start);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b));
    expect(new Set(starts).size).toBe(6);
    const again = server.requests.slice(1).map(({ start }, index) => endOf(server, index) - start);
    expect(Math.min(...again)).toBeGreaterThanOrEqual(0);
    expect(server.sent() - image.length).toBe(again.reduce((sum, bytes) => sum + bytes, 0));
  });

  test('leaves nothing if the server has a different image by then', async () => {
    const other = { headers: { etag: '"2"' } };
    const reply = (_: unknown, number: number): Reply => (number === 0 ? { cut: image.length - 100 } : other);
    const server = await httpServer({ image, headers: tag, reply });
    await refused(httpImage(server.url(), { wait }), { code: 'HTTP_CHANGED' });
  });

  test('leaves nothing if the server stops serving it', async () => {
    const server = await httpServer({ image, headers: tag, reply: (_, number) => (number === 0 ? { cut: 9 * MiB } : { status: 503 }) });
    await refused(httpImage(server.url(), { wait, retries: 1 }), { code: 'HTTP_DROPPED', retryable: true });
  });

  test('leaves nothing if it is damaged in a place that only its checksum covers', async () => {
    const damaged = Buffer.from(smallVhd);
    damaged.writeUInt8(damaged.readUInt8(100_000) ^ 1, 100_000);
    const { url } = await httpServer({ image: damaged });
    await refused(url(), { code: 'SOURCE_CHECKSUM' }, { sha256: hex('sha256') });
    const server = await glanceV2(honest, ({ path }) => (path.endsWith('/file') ? { image: damaged } : {}));
    await refused(imageAt([server]), { code: 'SOURCE_CHECKSUM' });
  });
});

const endOf = ({ requests }: TestServer, index: number): number => (requests[index]?.start ?? 0) + (requests[index]?.sent ?? 0);

describe('an image of Glance', () => {
  test('is looked up, and then fetched once', async () => {
    const server = await glanceV2(honest);
    const { name } = await imported(imageAt([server]), small);
    expect(name).toBe(`glance image ${ID}`);
    expect(said(server)).toEqual([`GET /v2/images/${ID}`, `GET /v2/images/${ID}/file`]);
  });

  test.each([
    ['does not exist', { status: 404 }, 'HTTP_NOT_FOUND'],
    ['is not accessible with this token', { status: 403 }, 'HTTP_AUTH'],
    ['is still being uploaded', { image: Buffer.from(JSON.stringify({ ...honest, status: 'saving' })) }, 'GLANCE_STATUS'],
  ])('that %s creates no VDI', async (_, reply: Reply, code) => {
    const creations = async (): Promise<number> => (await host.calls()).filter(([command]) => command === 'vdi-create').length;
    const before = await creations();
    const server = await glanceV2(honest, () => reply);
    await refused(imageAt([server]), { code });
    expect(await creations()).toBe(before);
  });
});

describe('a real glance-api', () => {
  const test = testWith('root', 'loop', 'g++', 'glance');
  const chain = sampleChain({ shuffled: true });
  let glance: Glance;
  beforeAll(async () => {
    glance = await startGlance();
  });
  afterAll(() => glance?.stop());
  const from = (id: string): SourceInput => glanceImage(id, { endpoints: [glance.endpoint], retries: 0 });

  test.each([
    ['a compressed tar, as Nova uploads it', image, content, undefined],
    ['a compressed tar of a chain', gzipSync(chainTar(chain.vhds)), chain.content, undefined],
    ['a plain VHD', smallVhd, small, { disk_format: 'vhd', container_format: 'bare' }],
  ] as const)('serves %s, and the VDI holds its disk', async (_, bytes, disk, format) => {
    const id = await glance.upload(bytes, format);
    const { bytesRead } = await imported(from(id), disk);
    expect(bytesRead).toBe(bytes.length);
  });

  test('serves a chain whose leaf comes late twice, and one VDI is created from it', async () => {
    const id = await glance.upload(gzipSync(chainTar(chain.vhds, [2, 0, 1])));
    const { warnings, layers } = await imported(from(id), chain.content);
    expect({ layers, warnings: warnings.map(({ code }) => code) }).toEqual({ layers: 3, warnings: ['FETCHED_TWICE'] });
  });

  test('that has lost the bytes of an image causes no VDI to be created', async () => {
    const id = await glance.upload(smallVhd);
    glance.lose(id);
    await refused(from(id), { exitCode: 1 });
    const queued = await glance.create();
    await refused(from(queued), { code: 'GLANCE_STATUS' });
    await refused(from(ID), { code: 'HTTP_NOT_FOUND' });
  });
});
