/** An NBD server of 1 MiB that does what no real one does: it breaks the protocol where a test says so. */

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { createInbox } from '../../src/nbd/inbox.ts';
import { noise } from './chunks.ts';

export const SIZE = 1 << 20;
export const CONTENT = Buffer.from(noise(SIZE, 5));

export interface Request {
  readonly command: number;
  readonly cookie: Buffer;
  readonly offset: number;
  readonly length: number;
}

export interface Script {
  /** In place of the greeting. */
  readonly greeting?: Buffer;
  /** Handshake flags: 3 for fixed newstyle without zeroes. */
  readonly flags?: number;
  /** Replies to an option; undefined for those of a server of today, null for none. */
  readonly option?: (option: number, data: Buffer, socket: Socket) => Buffer | undefined | null;
  /** Replies to a request; undefined for the right one, null for none. */
  readonly reply?: (request: Request, socket: Socket, connection: number) => Buffer | undefined | null;
}

export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export const optionReply = (option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from('0003e889045565a9', 'hex'), u32(option), u32(type), u32(data.length), data]);

export const chunk = (cookie: Buffer, type: number, payload: Buffer, isLast = true, length = payload.length): Buffer =>
  Buffer.concat([Buffer.from('668e33ef', 'hex'), u16(isLast ? 1 : 0), u16(type), cookie, u32(length), payload]);

export const simpleReply = (cookie: Buffer, errno: number, data: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from('67446698', 'hex'), u32(errno), cookie, data]);

export const dataChunk = ({ cookie }: Request, offset: number, length: number, isLast = true): Buffer =>
  chunk(cookie, 1, Buffer.concat([u64(offset), CONTENT.subarray(offset, offset + length)]), isLast);

export const statusChunk = (cookie: Buffer, context: number, ...runs: readonly number[]): Buffer =>
  chunk(cookie, 5, Buffer.concat([u32(context), ...runs.map(u32)]));

const GO = 7;
const META = 10;
export const exportInfo = (option: number, size: number): Buffer => optionReply(option, 3, Buffer.concat([u16(0), u64(size), u16(3)]));

/** Those of a server with structured replies and base:allocation, which has the number 7. */
function usualReply(option: number): Buffer {
  if (option === GO) return Buffer.concat([exportInfo(GO, SIZE), optionReply(GO, 1)]);
  if (option === META)
    return Buffer.concat([optionReply(META, 4, Buffer.concat([u32(7), Buffer.from('base:allocation')])), optionReply(META, 1)]);
  return option === 8 ? optionReply(8, 1) : optionReply(option, 0x8000_0001);
}

const rightReply = (request: Request): Buffer =>
  request.command === 7 ? statusChunk(request.cookie, 7, request.length, 0) : dataChunk(request, request.offset, request.length);

export interface StandIn {
  readonly uri: string;
  readonly connections: number;
  /** What was asked in the transmission phase, of all connections. */
  readonly requests: readonly Request[];
  /** Resolves once no connection is open. */
  idle(): Promise<void>;
}

/** Closed after the test. */
export async function nbdStandIn(script: Script = {}): Promise<StandIn> {
  const requests: Request[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    const connection = connections++;
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
    talk(socket, script, connection, requests).catch(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  const { port } = server.address() as AddressInfo;
  return {
    uri: `nbd://127.0.0.1:${port}/disk`,
    requests,
    get connections() {
      return connections;
    },
    async idle() {
      while (open.size > 0) await sleep(5);
    },
  };
}

async function talk(socket: Socket, script: Script, connection: number, requests: Request[]): Promise<void> {
  const inbox = createInbox();
  socket.on('data', (bytes) => inbox.push(bytes)).on('close', () => inbox.end(new Error('closed')));
  const read = async (length: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(length);
    await inbox.fill(bytes);
    return bytes;
  };
  const { greeting = Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(script.flags ?? 3)]), option, reply } = script;
  socket.write(greeting);
  await read(4);
  for (let isOpen = false; !isOpen; ) {
    const head = await read(16);
    const asked = head.readUInt32BE(8);
    const data = await read(head.readUInt32BE(12));
    const answer = option?.(asked, data, socket);
    if (answer !== null) socket.write(answer ?? usualReply(asked));
    isOpen = (asked === GO && answer === undefined) || asked === 1;
  }
  for (;;) {
    const bytes = await read(28);
    const cookie = bytes.subarray(8, 16);
    const request = {
      command: bytes.readUInt16BE(6),
      cookie,
      offset: Number(bytes.readBigUInt64BE(16)),
      length: bytes.readUInt32BE(24),
    };
    requests.push(request);
    if (request.command === 2) return void socket.end();
    const answer = reply?.(request, socket, connection);
    if (answer !== null) socket.write(answer ?? rightReply(request));
  }
}
