/** The NBD protocol: its numbers, and what a client sends. See https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md */

import { ascii } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';

export const GREETING = 'NBDMAGIC';
/** Of the newstyle handshake; before each option, too. */
export const OPTION_MAGIC = 'IHAVEOPT';
export const OLD_STYLE_MAGIC = 0x4202_8186_1253;
export const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9;
export const SIMPLE_REPLY = 0x6744_6698;
export const STRUCTURED_REPLY = 0x668e_33ef;

export const HANDSHAKE = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTION = { exportName: 1, startTls: 5, go: 7, structuredReply: 8, setMetaContext: 10 } as const;

/** The highest bit is set in the types that are errors. */
export const REPLY = {
  ack: 1,
  info: 3,
  metaContext: 4,
  error: 0x8000_0000,
  unsupported: 0x8000_0001,
  tlsRequired: 0x8000_0005,
} as const;

export const INFO = { export: 0, blockSize: 3 } as const;

export const COMMAND = { read: 0, disconnect: 2, blockStatus: 7 } as const;

export const CHUNK_TYPE = { none: 0, data: 1, hole: 2, blockStatus: 5, error: 0x8000 } as const;
export const CHUNK_DONE = 1;

/** Of the context base:allocation. What has only the other flag, of a hole, may read as anything. */
export const STATE_ZERO = 2;

export const ALLOCATION = 'base:allocation';

/** As many bytes as all messages and names of a server may have. */
export const LONGEST_TEXT = 4096;

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const prefixed = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
};

export const optionMessage = (option: number, data: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(OPTION_MAGIC), uint32(option), uint32(data.length), data]);

export const metaContextQuery = (exportName: string): Buffer => Buffer.concat([prefixed(exportName), uint32(1), prefixed(ALLOCATION)]);

/** Of NBD_OPT_GO: the export, and one request for information. */
export const goRequest = (exportName: string): Buffer => Buffer.concat([prefixed(exportName), Buffer.from([0, 1, 0, INFO.blockSize])]);

interface RequestFields {
  readonly command: number;
  readonly cookie: number;
  readonly offset: number;
  readonly length: number;
}

export function requestMessage({ command, cookie, offset, length }: RequestFields): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x2560_9513);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(BigInt(cookie), 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

export const protocolError = (name: string, problem: string): VdiStreamError =>
  new VdiStreamError('NBD_PROTOCOL', `${name}: the server ${problem}`);

/** Linux's numbers, whatever the system of the server. */
const ERRNOS: ReadonlyMap<number, string> = new Map([
  [1, 'EPERM'],
  [5, 'EIO'],
  [12, 'ENOMEM'],
  [22, 'EINVAL'],
  [28, 'ENOSPC'],
  [75, 'EOVERFLOW'],
  [95, 'ENOTSUP'],
  [108, 'ESHUTDOWN'],
]);

export const errnoName = (errno: number): string => ERRNOS.get(errno) ?? `error ${errno}`;

/** A message of the server, quoted; empty if the export name has a part that may be secret, since the message may repeat it. */
export const saying = (message: Uint8Array, exportName: string): string =>
  message.length === 0 || exportName.includes('?') ? '' : `: ${quote(ascii(message, 0, message.length))}`;
