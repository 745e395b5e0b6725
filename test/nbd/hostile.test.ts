/** Servers that break the protocol, fall silent, or close the connection, at every step. */

import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { ReadableDisk } from '../../src/disk/readable.ts';
import { exportDisk, type NbdOptions, nbdDisk, type Warning } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import {
  CONTENT,
  chunk,
  dataChunk,
  exportInfo,
  nbdStandIn,
  optionReply,
  type Script,
  SIZE,
  simpleReply,
  u16,
  u32,
  u64,
} from '../support/nbd-stand-in.ts';
import { bytesAt } from '../support/readable.ts';

const ONCE = { retries: 0 };
/** Milliseconds, enough for a handshake on a busy machine. */
const PATIENCE = 3000;

const opening = async (script: Script, options: NbdOptions = ONCE): Promise<unknown> =>
  failure(nbdDisk((await nbdStandIn(script)).uri, options).open({}));

async function reading(script: Script, options: NbdOptions = ONCE): Promise<unknown> {
  const disk = await nbdDisk((await nbdStandIn(script)).uri, options).open({});
  const error = await failure(bytesAt(disk, 0, SIZE));
  await disk.close();
  return error;
}

async function wholeOf(disk: ReadableDisk): Promise<Buffer> {
  const bytes = await bytesAt(disk, 0, SIZE);
  await disk.close();
  return bytes;
}

const OLD = Buffer.from('4e42444d414749430000420281861253', 'hex');

describe('the handshake', () => {
  test.each<readonly [string, Script]>([
    ['no greeting of NBD', { greeting: Buffer.from('SSH-2.0-OpenSSH_9.2p1 Debian\r\n') }],
    ['an unknown handshake', { greeting: Buffer.from('NBDMAGICUNKNOWN!\0\x03') }],
    ['no magic before a reply', { option: () => Buffer.alloc(20, 1) }],
    ['a reply to another option', { option: (option) => optionReply(option + 1, 1) }],
    ['a reply of 4 GiB', { option: (option) => Buffer.concat([optionReply(option, 1).subarray(0, 16), u32(0xffff_ffff)]) }],
    ['no size', { option: (option) => (option === 7 ? optionReply(7, 1) : undefined) }],
    ['information of one byte', { option: (option) => (option === 7 ? optionReply(7, 3, Buffer.alloc(1)) : undefined) }],
    ['replies without end', { option: (option) => (option === 7 ? Buffer.concat(Array(200).fill(exportInfo(7, SIZE))) : undefined) }],
    [
      'a size of 2^64 - 1',
      { option: (option) => (option === 7 ? optionReply(7, 3, Buffer.concat([u16(0), Buffer.alloc(8, 255), u16(3)])) : undefined) },
    ],
    ...[
      [0, 0, 0],
      [3, 4096, 65_536],
      [512, 512, 512],
      [4096, 4096, 0],
    ].map(([smallest = 0, preferred = 0, largest = 0]): readonly [string, Script] => [
      `blocks of ${smallest} to ${largest} bytes`,
      {
        option: (option) =>
          option === 7 ? optionReply(7, 3, Buffer.concat([u16(3), u32(smallest), u32(preferred), u32(largest)])) : undefined,
      },
    ]),
  ])('with %s is NBD_PROTOCOL', async (_, script) => {
    expect(await opening(script)).toMatchObject({ code: 'NBD_PROTOCOL' });
  });

  test('of the oldest kind, which has no names, is refused for a name', async () => {
    expect(await opening({ greeting: Buffer.concat([OLD, Buffer.alloc(136)]) })).toMatchObject({ code: 'NBD_REFUSED' });
  });

  test('with blocks that are larger than those of a VHD is refused', async () => {
    const blocks = optionReply(7, 3, Buffer.concat([u16(3), u32(65_536), u32(65_536), u32(1 << 20)]));
    expect(await opening({ option: (option) => (option === 7 ? blocks : undefined) })).toMatchObject({ code: 'NBD_REFUSED' });
  });

  test.each(['closes the connection', 'resets the connection'])('NBD_DROPPED if the server %s', async (how) => {
    const option: Script['option'] = (_, __, socket) => {
      if (how.startsWith('resets')) socket.resetAndDestroy();
      else socket.end();
      return null;
    };
    expect(await opening({ option })).toMatchObject({ code: 'NBD_DROPPED' });
  });

  test('NBD_DROPPED if the server is silent', async () => {
    const silent = await opening({ option: () => null }, { idleTimeout: 100 });
    expect(silent).toMatchObject({ code: 'NBD_DROPPED', message: expect.stringContaining('sent nothing for 0.1 s') });
    expect(await opening({ greeting: Buffer.from('NBDMAGIC') }, { idleTimeout: 100 })).toMatchObject({ code: 'NBD_DROPPED' });
  });

  test('of a server of old, which does not support an option, ends in the export', async () => {
    for (const flags of [1, 3]) {
      const sizes = Buffer.concat([u64(SIZE), u16(3), flags === 1 ? Buffer.alloc(124) : Buffer.alloc(0)]);
      const names: string[] = [];
      const server = await nbdStandIn({
        flags,
        option(option, data) {
          if (option !== 1) return optionReply(option, 0x8000_0001);
          names.push(String(data));
          return sizes;
        },
        reply: ({ command, cookie, offset, length }) =>
          command === 0 ? simpleReply(cookie, 0, CONTENT.subarray(offset, offset + length)) : undefined,
      });
      const bytes = await wholeOf(await nbdDisk(server.uri).open({}));
      expect(Buffer.compare(bytes, CONTENT)).toBe(0);
      expect(names).toEqual(['disk']);
      await server.idle();
      expect(server.requests.map(({ command }) => command)).toEqual([0, 2]);
    }
  });

  test('of a server of old that closes the connection, since it does not have the export, is NBD_REFUSED', async () => {
    const option: Script['option'] = (option, _, socket) => {
      if (option !== 1) return optionReply(option, 0x8000_0001);
      socket.end();
      return null;
    };
    expect(await opening({ option })).toMatchObject({ code: 'NBD_REFUSED', retryable: false });
  });

  test('is cancelled', async () => {
    const { uri } = await nbdStandIn({ option: () => null });
    const stop = new AbortController();
    const opened = failure(nbdDisk(uri).open({ signal: stop.signal }));
    stop.abort();
    expect(await opened).toMatchObject({ code: 'CANCELLED' });
    expect(await failure(nbdDisk(uri).open({ signal: AbortSignal.abort() }))).toMatchObject({ code: 'CANCELLED' });
  });

  test('NBD_CONNECT if nothing listens', async () => {
    expect(await failure(nbdDisk('nbd+unix:///?socket=/nonexistent/socket').open({}))).toMatchObject({
      code: 'NBD_CONNECT',
      retryable: true,
    });
    expect(await failure(nbdDisk('nbd://127.0.0.1:1/').open({}))).toMatchObject({ code: 'NBD_CONNECT' });
  });
});

describe('a reply', () => {
  test.each<readonly [string, Script]>([
    ['with a wrong magic', { reply: ({ cookie }) => Buffer.concat([Buffer.alloc(8), cookie]) }],
    ['with a wrong cookie', { reply: ({ length }) => dataChunk({ command: 0, cookie: u64(77), offset: 0, length }, 0, length) }],
    ['that is short', { reply: (request) => dataChunk(request, request.offset, request.length - 1) }],
    ['that is too long', { reply: (request) => chunk(request.cookie, 1, Buffer.alloc(8), true, request.length + 9) }],
    ['that comes twice', { reply: (request) => Buffer.concat([dataChunk(request, request.offset, request.length), Buffer.alloc(16)]) }],
  ])('%s is NBD_PROTOCOL, and is not retried', async (_, script) => {
    const { uri } = await nbdStandIn(script);
    const warnings: Warning[] = [];
    const disk = await nbdDisk(uri).open({ onWarning: (warning) => warnings.push(warning) });
    const error = await failure(bytesAt(disk, 0, SIZE).then(() => bytesAt(disk, 0, SIZE)));
    expect(error).toMatchObject({ code: 'NBD_PROTOCOL', retryable: false });
    expect(warnings).toEqual([]);
    await disk.close();
  });

  test('that does not come is NBD_DROPPED', async () => {
    expect(await reading({ reply: () => null }, { retries: 0, idleTimeout: PATIENCE })).toMatchObject({ code: 'NBD_DROPPED' });
  });

  test('that stops in the middle is NBD_DROPPED', async () => {
    const half: Script['reply'] = (request, socket) => {
      socket.end(dataChunk(request, request.offset, request.length).subarray(0, 1000));
      return null;
    };
    expect(await reading({ reply: half })).toMatchObject({ code: 'NBD_DROPPED' });
  });

  test('that does not come is not waited for once the call is cancelled or the disk closed', async () => {
    const { uri } = await nbdStandIn({ reply: () => null });
    const stop = new AbortController();
    const disk = await nbdDisk(uri).open({ signal: stop.signal });
    const read = failure(bytesAt(disk, 0, SIZE));
    stop.abort();
    expect(await read).toMatchObject({ code: 'CANCELLED' });
    await disk.close();

    const other = await nbdDisk(uri).open({});
    const reading = bytesAt(other, 0, SIZE).catch(() => 'ended');
    await other.close();
    expect(await reading).toBe('ended');
  });

  test('that is not needed is not waited for: a connection may be idle for longer than the timeout', async () => {
    const server = await nbdStandIn();
    const disk = await nbdDisk(server.uri, { idleTimeout: PATIENCE, retries: 0 }).open({});
    await sleep(PATIENCE + 500);
    expect(Buffer.compare(await wholeOf(disk), CONTENT)).toBe(0);
    await server.idle();
    expect(server.requests.map(({ command }) => command)).toEqual([0, 2]);
  });
});

test('an export ends with the error, and leaves no connection', async () => {
  const { uri, idle } = await nbdStandIn({
    reply: (request) => (request.command === 0 ? chunk(request.cookie, 99, Buffer.alloc(8)) : undefined),
  });
  const sink = { name: 'sink', readable: false, open: () => Promise.reject(new Error('never opened')) };
  expect(await failure(exportDisk(uri, sink))).toMatchObject({ code: 'NBD_PROTOCOL' });
  await idle();
});
