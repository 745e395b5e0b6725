/**
 * Gunzip: a stream of gzip members (RFC 1952) as one stream of bytes. Concatenated members are one stream, as in gzip, pigz and bgzip; the
 * last may be followed by zero padding only. Members that say how long they are are inflated on all cores, any other on one thread.
 */

import type { Chunks } from '../cursor.ts';
import { VdiStreamError } from '../errors.ts';
import { type Stages, untimed } from '../host/stages.ts';
import { type CompressedInput, compressedInput } from './compressed-input.ts';
import { checkTrailer, ID1, skipHeader, skipPadding, trailingAt } from './gzip-member.ts';
import { type InflateChoice, openInflate } from './inflate.ts';
import type { InflateCodec } from './inflate-codec.ts';
import { type Slot, sizedMembers } from './sized-members.ts';
import { severalMembers } from './zlib-sync.ts';

/**
 * The bytes of all members of `source`. Throws COMPRESSION_DATA, COMPRESSION_CHECKSUM, COMPRESSION_TRUNCATED or COMPRESSION_TRAILING, with
 * the offset in `source`, COMPRESSION_TOOL if `inflate` cannot be used, MEMORY, THREADS, and what `source` throws.
 */
export async function* gunzip(source: Chunks, inflate: InflateChoice = 'auto', stages: Stages = untimed): Chunks {
  const codec = await openInflate(inflate, stages);
  const input = compressedInput(source);
  const slots: Slot[] = [];
  let isTrusted = true;
  try {
    for (;;) {
      if (codec.members !== undefined && isTrusted) isTrusted = yield* sizedMembers(input, codec.members, slots);
      const isFirst = input.offset === 0;
      if (!isFirst && !(await startsMember(input))) return;
      if (!isFirst && codec.isSingle) throw severalMembers(input.offset);
      yield* oneMember(input, codec, isFirst);
    }
  } finally {
    await input.close();
  }
}

/** Whether there is a member after the last one. Throws COMPRESSION_TRAILING. */
async function startsMember(input: CompressedInput): Promise<boolean> {
  if (!(await input.refill())) return false;
  if (input.bytes[0] === ID1) return true;
  await skipPadding(input);
  return false;
}

async function* oneMember(input: CompressedInput, { stream }: InflateCodec, isFirst: boolean): Chunks {
  const start = input.offset;
  try {
    await skipHeader(input);
  } catch (error) {
    // After the first member, bytes that are not a gzip header are trailing data.
    throw !isFirst && error instanceof VdiStreamError && error.code === 'COMPRESSION_DATA' ? trailingAt(start) : error;
  }
  let length = 0;
  const chunks = stream(input);
  try {
    for (;;) {
      const next = await chunks.next();
      if (next.done) return await checkTrailer(input, next.value, length);
      length += next.value.length;
      yield next.value;
    }
  } finally {
    await chunks.return(0);
  }
}
