/** Reply: what an NBD server answers to one request, whole or in chunks, each length and offset checked. */

import { MiB, u16be, u32be, u64be } from '../bytes.ts';
import type { Range } from '../disk/disk.ts';
import { VdiStreamError } from '../errors.ts';
import type { NbdExport } from './handshake.ts';
import {
  CHUNK_DONE,
  CHUNK_TYPE,
  errnoName,
  LONGEST_TEXT,
  protocolError,
  SIMPLE_REPLY,
  STATE_ZERO,
  STRUCTURED_REPLY,
  saying,
} from './protocol.ts';
import type { NbdAddress } from './uri.ts';

/** Consecutive bytes of an export. */
export interface StatusRun {
  readonly length: number;
  readonly isZero: boolean;
}

/** A request, and what has arrived of its reply. */
export interface Pending extends Range {
  /** Of a read, `length` bytes; undefined for a block status. */
  readonly into: Uint8Array | undefined;
  /** The parts of `into` that are filled, joined where one continues the last. */
  readonly filled: Range[];
  runs: readonly StatusRun[] | undefined;
  failure: VdiStreamError | undefined;
}

interface Server extends Pick<NbdAddress, 'name' | 'exportName'> {
  readonly served: Pick<NbdExport, 'structured' | 'allocation'>;
  /** Fills memory with the next bytes of the server. */
  readonly fill: (into: Uint8Array) => Promise<void>;
}

/** Bytes of the head of a simple reply, and those that the head of a chunk begins with. Both have the cookie at the same place. */
export const HEAD = 16;

export const cookieOf = (head: Uint8Array): number => u64be(head, 8);

/** Reads what follows a head. Resolves with whether the reply is complete. Throws NBD_PROTOCOL, and what `fill` throws. */
export async function receiveReply(server: Server, head: Uint8Array, pending: Pending): Promise<boolean> {
  const { name, served } = server;
  const magic = u32be(head, 0);
  if (magic === SIMPLE_REPLY) {
    const errno = u32be(head, 4);
    if (errno !== 0) pending.failure = serverError(server, pending, errno);
    else if (served.structured || pending.into === undefined) throw protocolError(name, 'sent a simple reply in place of chunks');
    else {
      await server.fill(pending.into);
      pending.filled.push(pending);
    }
    return true;
  }
  if (magic !== STRUCTURED_REPLY || !served.structured) throw protocolError(name, 'sent something else than a reply');
  const length = u32be(await taken(server, 4), 0);
  const isLast = (u16be(head, 4) & CHUNK_DONE) !== 0;
  await receiveChunk(server, { type: u16be(head, 6), length, isLast }, pending);
  return isLast;
}

/** What is wrong with a complete reply; undefined if nothing is. */
export function replyProblem({ name }: Pick<NbdAddress, 'name'>, { offset, length, into, filled, runs, failure }: Pending): unknown {
  if (failure !== undefined) return failure;
  if (into === undefined) return runs === undefined ? protocolError(name, `sent no status of the bytes from ${offset} on`) : undefined;
  let end = offset;
  for (const part of filled.toSorted((a, b) => a.offset - b.offset)) {
    if (part.offset !== end) return protocolError(name, `sent some of the bytes from ${offset} on twice, or not at all`);
    end += part.length;
  }
  return end === offset + length ? undefined : protocolError(name, `did not send all of the ${length} bytes from ${offset} on`);
}

async function taken({ fill }: Server, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await fill(bytes);
  return bytes;
}

interface Chunk {
  readonly type: number;
  readonly length: number;
  readonly isLast: boolean;
}

async function receiveChunk(server: Server, { type, length, isLast }: Chunk, pending: Pending): Promise<void> {
  const malformed = (): VdiStreamError => protocolError(server.name, `sent a malformed chunk of type ${type} and ${length} bytes`);
  const { into } = pending;
  if (type === CHUNK_TYPE.none) {
    if (length !== 0 || !isLast) throw malformed();
  } else if (type === CHUNK_TYPE.data && into !== undefined) {
    if (length < 9) throw malformed();
    await server.fill(place(server.name, pending, into, u64be(await taken(server, 8), 0), length - 8));
  } else if (type === CHUNK_TYPE.hole && into !== undefined) {
    if (length !== 12) throw malformed();
    const hole = await taken(server, 12);
    place(server.name, pending, into, u64be(hole, 0), u32be(hole, 8)).fill(0);
  } else if (type === CHUNK_TYPE.blockStatus && into === undefined) {
    if (length < 12 || length > MOST_STATUS || length % 8 !== 4 || pending.runs !== undefined) throw malformed();
    pending.runs = statusRuns(server, await taken(server, length));
  } else if (type >= CHUNK_TYPE.error) {
    if (length < 6 || length > 6 + LONGEST_TEXT + 8) throw malformed();
    const payload = await taken(server, length);
    if (6 + u16be(payload, 4) > length) throw malformed();
    pending.failure ??= serverError(server, pending, u32be(payload, 0), payload.subarray(6, 6 + u16be(payload, 4)));
  } else throw malformed();
}

/** Servers send parts of 512 bytes or more, mostly in order. */
const MOST_PARTS = 8192;

/** The part of `into` for these bytes of the export. */
function place(name: string, { offset, length, filled }: Pending, into: Uint8Array, at: number, count: number): Uint8Array {
  if (count === 0 || at < offset || at + count > offset + length) {
    throw protocolError(name, `sent ${count} bytes at ${at}, outside of the ${length} bytes at ${offset} that were requested`);
  }
  const last = filled.at(-1);
  if (last !== undefined && last.offset + last.length === at)
    filled[filled.length - 1] = { offset: last.offset, length: last.length + count };
  else if (filled.push({ offset: at, length: count }) > MOST_PARTS) throw protocolError(name, 'sent too many small chunks');
  return into.subarray(at - offset, at - offset + count);
}

/** nbdkit sends at most a million runs of 8 bytes, qemu fewer. */
const MOST_STATUS = 8 * MiB + 4;

function statusRuns({ name, served }: Server, payload: Uint8Array): StatusRun[] {
  if (u32be(payload, 0) !== served.allocation) throw protocolError(name, 'sent a status of a context that was not requested');
  const runs: StatusRun[] = [];
  for (let at = 4; at < payload.length; at += 8) {
    const length = u32be(payload, at);
    if (length === 0) throw protocolError(name, 'sent a status of no bytes');
    const isZero = (u32be(payload, at + 4) & STATE_ZERO) !== 0;
    const last = runs.at(-1);
    if (last?.isZero === isZero) runs[runs.length - 1] = { length: last.length + length, isZero };
    else runs.push({ length, isZero });
  }
  return runs;
}

/** Without `errno`, which would be one of this host. */
const serverError = (
  { name, exportName }: Server,
  { offset, length }: Range,
  errno: number,
  message: Uint8Array = Buffer.alloc(0),
): VdiStreamError =>
  new VdiStreamError(
    'NBD_IO',
    `${name}: the server cannot read ${length} bytes at ${offset}: ${errnoName(errno)}${saying(message, exportName)}`,
    { offset, device: name },
  );
