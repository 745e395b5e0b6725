/** Members that say how long they are are inflated on all cores, whatever the field says. */

import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { compressedInput } from '../../src/codec/compressed-input.ts';
import { gunzip } from '../../src/codec/gunzip.ts';
import { sizedMembers } from '../../src/codec/sized-members.ts';
import type { Chunks } from '../../src/cursor.ts';
import { VdiStreamError } from '../../src/errors.ts';
import { loadAddon } from '../../src/host/native.ts';
import { chunkSizes, collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { gzipMember, le16, le32, sizedMember, subfield } from '../support/gzip-members.ts';
import { streaming, usualInflate } from '../support/inflates.ts';
import { testWith } from '../support/needs.ts';
import { roundsOf } from '../support/rounds.ts';

/** The bytes, or the code of the error and its offset. */
async function outcome(gz: Uint8Array, sizes: readonly number[] = [65_536], inflate = usualInflate): Promise<unknown> {
  try {
    return await collect(gunzip(reusing(gz, sizes), inflate));
  } catch (error) {
    if (error instanceof VdiStreamError) return [error.code, error.offset];
    throw error;
  }
}

/** The same stream without the sizes: each field gets another name, which nobody looks for. */
function unsized(gz: Uint8Array): Buffer {
  const bytes = Buffer.from(gz);
  for (const id of ['IG\x04\x00', 'BC\x02\x00']) {
    for (let at = bytes.indexOf(id, 0, 'latin1'); at !== -1; at = bytes.indexOf(id, at + 1, 'latin1')) bytes.write('xx', at, 'latin1');
  }
  return bytes;
}

const parts = Array.from({ length: 40 }, (_, index) => noise(1000 * index, index));

describe.each(streaming)('with %s', (inflate) => {
  test('members of both conventions, between others, yield the bytes of all of them', async () => {
    const gz = Buffer.concat(
      parts.flatMap((part, index) => [index % 5 === 0 ? gzipMember(part) : sizedMember(part, index % 2 === 0 ? 'IG' : 'BC')]),
    );
    for (const sizes of [[1000], [100_000], [1, 70_000]]) {
      expect(Buffer.compare(await collect(gunzip(reusing(gz, sizes), inflate)), Buffer.concat(parts))).toBe(0);
    }
  });

  test('a chunk stays unchanged until the next one is requested', async () => {
    const content = noise(9 << 20, 3);
    const gz = Buffer.concat(Array.from({ length: 9 }, (_, index) => sizedMember(content.subarray(index << 20, (index + 1) << 20), 'IG')));
    let at = 0;
    for await (const chunk of gunzip(reusing(gz, [300_000]), inflate)) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(Buffer.compare(chunk, content.subarray(at, at + chunk.length))).toBe(0);
      at += chunk.length;
    }
    expect(at).toBe(content.length);
  });

  test('a wrong size, at any member, leads to the same bytes', async () => {
    for (const error of [-1, 1, -500, 500, 70_000, 2 ** 31]) {
      for (const wrong of [0, 1, 20, 39]) {
        const gz = Buffer.concat(parts.map((part, index) => sizedMember(part, 'IG', index === wrong ? error : 0)));
        const found = await collect(gunzip(reusing(gz, [50_000]), inflate));
        expect([error, wrong, Buffer.compare(found, Buffer.concat(parts))]).toEqual([error, wrong, 0]);
      }
    }
  });
});

test('the bytes and the errors are those of the same stream without sizes, however it is damaged', async () => {
  const member = fc.record({
    length: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 70_000 })),
    kind: fc.constantFrom<'IG' | 'BC' | 'plain'>('IG', 'IG', 'BC', 'plain'),
    error: fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -40, max: 5000 }) }),
    level: fc.constantFrom(0, 1, 6),
  });
  const damage = fc.record({ at: fc.nat(), bit: fc.nat(7) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(member, { minLength: 1, maxLength: 12 }),
      fc.array(damage, { maxLength: 2 }),
      fc.option(fc.nat()),
      fc.constantFrom(0, 0, 5, 600),
      chunkSizes,
      async (members, flips, end, padding, sizes) => {
        const made = members.map(({ length, kind, error, level }, index) => {
          const content = noise(length, index).map((byte) => byte & 0x1f);
          return kind === 'plain' ? gzipMember(content, { level }) : sizedMember(content, kind, error, { level });
        });
        const gz = Buffer.concat([...made, new Uint8Array(padding)]);
        for (const { at, bit } of flips) gz[at % gz.length] = (gz[at % gz.length] ?? 0) ^ (1 << bit);
        const whole = end === null ? gz : gz.subarray(0, end % (gz.length + 1));
        const [found, expected] = [await outcome(whole, sizes), await outcome(unsized(whole), [70_000])];
        if (found instanceof Buffer && expected instanceof Buffer) expect(Buffer.compare(found, expected)).toBe(0);
        else expect(found).toEqual(expected);
      },
    ),
    { numRuns: roundsOf({ inSuite: 60, long: 5000 }) },
  );
});

test('extra fields of all lengths, with the size first, last, twice, cut off or without room, are read past', async () => {
  const content = noise(5000, 1);
  const after = gzipMember(Buffer.from('after'));
  const others = [0, 1, 3, 4, 5, 100, 65_000].map((length) => subfield('zz', noise(length, 2)));
  const extras = [
    ...others,
    ...others.map((other) => Buffer.concat([other, subfield('IG', le32(40))])),
    ...others.map((other) => Buffer.concat([subfield('BC', le16(27)), other])),
    new Uint8Array(0),
    new Uint8Array(3),
    new Uint8Array(65_535),
    Buffer.from('IG\x04\x00\x01', 'latin1'),
    subfield('IG', le32(0)),
    subfield('IG', le32(0xffffffff)),
    subfield('IG', le16(100)),
    subfield('BC', le32(100)),
  ];
  for (const extra of extras) {
    const gz = Buffer.concat([gzipMember(content, { extra }), after]);
    for (const sizes of [[7], [100_000]]) expect(await outcome(gz, sizes)).toEqual(Buffer.concat([content, Buffer.from('after')]));
  }
});

test('a huge member of known size, and a small one whose trailer says 4 GiB, need no more memory', async () => {
  const huge = new Uint8Array(80 << 20);
  const gz = Buffer.concat([sizedMember(huge, 'IG'), sizedMember(noise(3 << 20, 1), 'IG', 0, { level: 0 })]);
  const before = process.memoryUsage.rss();
  let length = 0;
  let most = 0;
  for await (const chunk of gunzip(reusing(gz, [65_536]))) {
    length += chunk.length;
    most = Math.max(most, process.memoryUsage.rss());
  }
  expect(length).toBe(83 << 20);
  expect(most - before).toBeLessThan(64 << 20);
  expect(await outcome(sizedMember(noise(1000, 1), 'IG', 0, { length: 0xffffffff }))).toEqual(['COMPRESSION_CHECKSUM', 1033]);
});

test('a member that fills its slot is copied once, and so is the next one', async () => {
  const content = noise(2 << 20, 5).map((byte) => byte & 0x07);
  const gz = Buffer.concat(Array.from({ length: 5 }, () => sizedMember(content, 'IG', 0, { level: 1 })));
  const input = compressedInput(reusing(gz, [100_000]));
  const copy = vi.spyOn(input, 'copy');
  const restore = vi.spyOn(input, 'restore');
  for await (const _ of sizedMembers(input, async (_input, _output, members) => members.length, []));
  const copied = await Promise.all(copy.mock.results.map(({ value }) => value));
  expect(copied.reduce((total, count) => total + count, 0)).toBe(gz.length);
  expect(restore).not.toHaveBeenCalled();
});

test('thousands of empty members, with and without a size, are nothing', async () => {
  const empty = Buffer.concat([sizedMember(new Uint8Array(0), 'BC'), sizedMember(new Uint8Array(0), 'IG')]);
  const gz = Buffer.concat(Array.from({ length: 3000 }, (_, index) => (index % 500 === 0 ? gzipMember(new Uint8Array(0)) : empty)));
  expect(await outcome(gz)).toEqual(Buffer.alloc(0));
});

test('bytes before an error of the source are yielded, then the error is thrown unchanged', async () => {
  const gz = Buffer.concat(parts.map((part) => sizedMember(part, 'IG')));
  const reason = new VdiStreamError('SOURCE_READ', 'the pipe broke');
  async function* breaking(): Chunks {
    yield* reusing(gz.subarray(0, gz.length - 5000), [7000]);
    throw reason;
  }
  let length = 0;
  const reading = (async () => {
    for await (const chunk of gunzip(breaking())) length += chunk.length;
  })();
  await expect(reading).rejects.toBe(reason);
  expect(length).toBeGreaterThan(gz.length - 45_000 - 5000);
});

test('a reader that stops closes the source, and waits for no source that has stalled', async () => {
  const gz = Buffer.concat(parts.map((part) => sizedMember(part, 'IG')));
  let closed = 0;
  async function* source(stalls: boolean): Chunks {
    try {
      yield* reusing(gz.subarray(0, gz.length - 10), [7000]);
      if (stalls) await new Promise(() => {});
    } finally {
      closed++;
    }
  }
  for await (const _ of gunzip(source(false))) break;
  await vi.waitFor(() => expect(closed).toBe(1));
  for await (const _ of gunzip(source(true))) break;
});

testWith('addon')('without threads it fails with THREADS', async () => {
  const inflateMembers = vi
    .spyOn(loadAddon().addon, 'inflateMembers')
    .mockRejectedValue(Object.assign(new Error('thread: no'), { operation: 'thread', errno: 11 }));
  try {
    const { code } = await failure(collect(gunzip(reusing(sizedMember(noise(100, 1), 'IG')))));
    expect(code).toBe('THREADS');
  } finally {
    inflateMembers.mockRestore();
  }
});

testWith('addon', 'bgzip')('what bgzip writes is read, and inflated on all cores', async () => {
  const content = Buffer.concat([noise(6 << 20, 4), Buffer.alloc(4 << 20, 'text ')]);
  const gz = execFileSync('bgzip', ['-c'], { input: content, maxBuffer: 1 << 28 });
  const whole = vi.spyOn(loadAddon().addon, 'inflateMembers');
  expect(Buffer.compare(await collect(gunzip(reusing(gz, [100_000]), usualInflate)), content)).toBe(0);
  expect(whole.mock.calls.length).toBeGreaterThan(4);
  whole.mockRestore();
  const more = await collect(gunzip(reusing(Buffer.concat([gz, gzipSync('after')]))));
  expect(Buffer.compare(more, Buffer.concat([content, Buffer.from('after')]))).toBe(0);
});
