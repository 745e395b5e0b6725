/** Handshake: from the greeting of an NBD server to an export that can be read. */

import { KiB, MiB, startsWith, u16be, u32be, u64be } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import type { NbdLink } from './link.ts';
import {
  ALLOCATION,
  GREETING,
  goRequest,
  HANDSHAKE,
  INFO,
  LONGEST_TEXT,
  metaContextQuery,
  OLD_STYLE_MAGIC,
  OPTION,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  optionMessage,
  protocolError,
  REPLY,
  saying,
  uint32,
} from './protocol.ts';
import type { NbdAddress } from './uri.ts';

/** Sizes in bytes. */
export interface NbdExport {
  readonly size: number;
  /** What is read starts at a multiple of it, a power of two. */
  readonly smallest: number;
  /** The most that one request may read. */
  readonly largest: number;
  /** Whether replies come in chunks. */
  readonly structured: boolean;
  /** The number of the context base:allocation; undefined if the server does not say where zeros are. */
  readonly allocation: number | undefined;
}

/** As the protocol says for servers that announce no block sizes. */
const UNANNOUNCED = { smallest: 1, largest: 32 * MiB };

/** Throws NBD_REFUSED, NBD_TLS, NBD_PROTOCOL, NBD_DROPPED, CANCELLED. */
export async function negotiate(link: NbdLink, address: NbdAddress): Promise<NbdExport> {
  const { name, tlsName } = address;
  link.expect(true);
  const greeting = await read(link, 16);
  if (!startsWith(greeting, GREETING)) throw protocolError(name, 'is not an NBD server');
  if (u64be(greeting, 8) === OLD_STYLE_MAGIC) return oldStyle(link, address);
  if (!startsWith(greeting, OPTION_MAGIC, 8)) throw protocolError(name, 'uses an unknown handshake');
  const flags = u16be(await read(link, 2), 0);
  const isFixed = (flags & HANDSHAKE.fixedNewstyle) !== 0;
  const hasZeroes = (flags & HANDSHAKE.noZeroes) === 0;
  link.send(uint32(flags & (HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes)));
  if (tlsName !== undefined) {
    const refusal = isFixed ? await ask(link, address, OPTION.startTls) : UNSUPPORTED;
    if (refusal !== undefined) throw new VdiStreamError('NBD_TLS', `${name}: the server offers no TLS${refusal.saying}`);
    await link.secure(tlsName);
    link.expect(true);
  }
  if (!isFixed) return byName(link, address, { hasZeroes, structured: false, allocation: undefined });
  const structured = (await ask(link, address, OPTION.structuredReply)) === undefined;
  const allocation = structured ? await allocationContext(link, address) : undefined;
  const found = await go(link, address);
  if (found !== undefined) return { ...found, structured, allocation };
  return byName(link, address, { hasZeroes, structured, allocation });
}

async function read(link: NbdLink, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await link.fill(bytes);
  return bytes;
}

/** Without options; the server has a single export. */
async function oldStyle(link: NbdLink, { name, exportName, tlsName }: NbdAddress): Promise<NbdExport> {
  if (tlsName !== undefined) throw new VdiStreamError('NBD_TLS', `${name}: the server offers no TLS`);
  if (exportName !== '') throw new VdiStreamError('NBD_REFUSED', `${name}: the server has only one export, which has no name`);
  const answer = await read(link, 8 + 4 + 124);
  return { size: exportSize(name, answer, 0), ...UNANNOUNCED, structured: false, allocation: undefined };
}

interface Refusal {
  readonly type: number;
  /** A message of the server, as the end of a sentence. */
  readonly saying: string;
}

const UNSUPPORTED: Refusal = { type: REPLY.unsupported, saying: '' };

/** Replies to one option. A server that sends more would never end. */
const MOST_REPLIES = 100;
const LONGEST_REPLY = 64 * KiB;

/** Sends an option. Resolves with the refusal, if it is one. `onReply` gets what comes before. */
async function ask(
  link: NbdLink,
  { name, exportName, tlsName }: NbdAddress,
  option: number,
  data: Uint8Array = Buffer.alloc(0),
  onReply: (type: number, data: Buffer) => void = () => {},
): Promise<Refusal | undefined> {
  link.send(optionMessage(option, data));
  for (let count = 0; count < MOST_REPLIES; count++) {
    const head = await read(link, 20);
    if (u64be(head, 0) !== OPTION_REPLY_MAGIC || u32be(head, 8) !== option) throw protocolError(name, 'sent no reply to an option');
    const type = u32be(head, 12);
    const length = u32be(head, 16);
    if (length > LONGEST_REPLY) throw protocolError(name, `sent a reply of ${length} bytes to an option`);
    const payload = await read(link, length);
    if (type === REPLY.ack) return undefined;
    if (type === REPLY.tlsRequired && tlsName === undefined) {
      throw new VdiStreamError('NBD_TLS', `${name}: the server accepts only TLS`, { advice: 'Use nbds:// in place of nbd://.' });
    }
    if (type >= REPLY.error) return { type, saying: saying(payload.subarray(0, LONGEST_TEXT), exportName) };
    onReply(type, payload);
  }
  throw protocolError(name, 'sent too many replies to an option');
}

async function allocationContext(link: NbdLink, address: NbdAddress): Promise<number | undefined> {
  let context: number | undefined;
  await ask(link, address, OPTION.setMetaContext, metaContextQuery(address.exportName), (type, data) => {
    if (type === REPLY.metaContext && data.subarray(4).toString() === ALLOCATION) context = u32be(data, 0);
  });
  return context;
}

type Sizes = Pick<NbdExport, 'size' | 'smallest' | 'largest'>;

/** Undefined if the server does not support NBD_OPT_GO. */
async function go(link: NbdLink, address: NbdAddress): Promise<Sizes | undefined> {
  const { name, exportName } = address;
  let size: number | undefined;
  let blocks = UNANNOUNCED;
  const refusal = await ask(link, address, OPTION.go, goRequest(exportName), (type, data) => {
    if (type !== REPLY.info || data.length < 2) throw protocolError(name, 'sent a malformed reply to an option');
    const info = u16be(data, 0);
    if (info === INFO.export && data.length === 12) size = exportSize(name, data, 2);
    if (info === INFO.blockSize && data.length === 14) blocks = blockSizes(name, u32be(data, 2), u32be(data, 10));
  });
  if (refusal?.type === REPLY.unsupported) return undefined;
  if (refusal !== undefined) throw new VdiStreamError('NBD_REFUSED', `${name}: the server refuses this export${refusal.saying}`);
  if (size === undefined) throw protocolError(name, 'did not send the size of the export');
  return { size, ...blocks };
}

/** The older NBD_OPT_EXPORT_NAME, which a server can refuse only by closing the connection. */
async function byName(
  link: NbdLink,
  { name, exportName }: NbdAddress,
  { hasZeroes, ...replies }: Pick<NbdExport, 'structured' | 'allocation'> & { readonly hasZeroes: boolean },
): Promise<NbdExport> {
  link.send(optionMessage(OPTION.exportName, Buffer.from(exportName)));
  const answer = await read(link, hasZeroes ? 8 + 2 + 124 : 8 + 2).catch((cause: unknown) => {
    if (!(cause instanceof VdiStreamError && cause.code === 'NBD_DROPPED')) throw cause;
    throw new VdiStreamError('NBD_REFUSED', `${name}: the server did not accept the name of the export`, { cause });
  });
  return { size: exportSize(name, answer, 0), ...UNANNOUNCED, ...replies };
}

function exportSize(name: string, bytes: Uint8Array, at: number): number {
  const size = u64be(bytes, at);
  if (size > Number.MAX_SAFE_INTEGER) throw protocolError(name, 'announced an impossible size');
  return size;
}

/** What buffers and the blocks of a VHD are multiples of. */
const MOST_ALIGNED = 4 * KiB;

function blockSizes(name: string, smallest: number, largest: number): typeof UNANNOUNCED {
  const isPower = smallest > 0 && Number.isInteger(Math.log2(smallest));
  if (!isPower || largest < MOST_ALIGNED || largest < smallest) throw protocolError(name, 'announced impossible block sizes');
  if (smallest <= MOST_ALIGNED) return { smallest, largest };
  throw new VdiStreamError(
    'NBD_REFUSED',
    `${name}: the server reads only blocks of ${smallest} bytes; at most ${MOST_ALIGNED} are supported`,
  );
}
