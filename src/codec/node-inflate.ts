/** Inflating with `node:zlib`, on Node's own threads: for a system on which the addon cannot be loaded. */

import { promisify } from 'node:util';
import { createInflateRaw, type InflateRaw, inflateRaw } from 'node:zlib';
import { KiB } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { codeOf } from '../host/errno.ts';
import type { CompressedInput } from './compressed-input.ts';
import { addToCrc, damagedAt, need } from './gzip-member.ts';
import type { InflateCodec, Packed } from './inflate-codec.ts';
import { through } from './through.ts';

/** What a stream holds of its output at a time. */
const CHUNK = 256 * KiB;

async function* stream(input: CompressedInput): AsyncGenerator<Uint8Array, number, void> {
  const inflating = createInflateRaw({ chunkSize: CHUNK });
  let used = 0;
  const useUp = (): void => {
    input.skip(inflating.bytesWritten - used);
    used = inflating.bytesWritten;
  };
  async function* portions(): Chunks {
    while (await input.refill()) {
      yield input.bytes;
      useUp();
    }
  }
  let crc = 0;
  try {
    for await (const chunk of through(inflating, inflating, portions())) {
      crc = addToCrc(crc, chunk);
      yield chunk;
    }
  } catch (cause) {
    if (!codeOf(cause).startsWith('Z_')) throw cause;
    if (codeOf(cause) === 'Z_BUF_ERROR') await need(input);
    throw damagedAt(input.offset + inflating.bytesWritten - used, 'invalid data');
  }
  // A stream that ends inside a chunk never asks for another one.
  useUp();
  return crc;
}

const inflateWhole = promisify(inflateRaw);

/** Whether it was complete and matched its trailer, which follows it. */
async function inflateMember(input: Uint8Array, output: Uint8Array, { start, end, length }: Packed): Promise<boolean> {
  const found: unknown = await inflateWhole(input.subarray(start, end), { info: true, maxOutputLength: Math.max(length, 1) }).catch(
    () => {},
  );
  if (!isInfo(found)) return false;
  const { buffer, engine } = found;
  const trailer = Buffer.from(input.buffer, input.byteOffset + end, 8);
  if (engine.bytesWritten !== end - start || buffer.length !== length || addToCrc(0, buffer) !== trailer.readUInt32LE()) return false;
  output.set(buffer);
  return true;
}

/** What node:zlib resolves with for `info: true`, which its types do not say. */
const isInfo = (found: unknown): found is { readonly buffer: Buffer; readonly engine: InflateRaw } =>
  typeof found === 'object' && found !== null && 'buffer' in found && 'engine' in found;

async function inflateMembers(input: Uint8Array, output: Uint8Array, members: readonly Packed[]): Promise<number> {
  let at = 0;
  const right = await Promise.all(
    members.map((member) => {
      const room = output.subarray(at, at + member.length);
      at += member.length;
      return inflateMember(input, room, member);
    }),
  );
  const wrong = right.indexOf(false);
  return wrong === -1 ? members.length : wrong;
}

export const nodeInflate: InflateCodec = { stream, members: inflateMembers };
