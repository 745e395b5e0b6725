/** No progress is an error: a stream that yields nothing, and a folder that accepts nothing. */

import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { info } from '../../src/index.ts';
import { writeAll } from '../../src/source/staging.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';

const vhd = dynamicVhd({ size: 2 ** 21, blocks: new Map() });

describe('a stream', () => {
  test('of nothing but empty chunks is an error', async () => {
    async function* empty(): AsyncGenerator<Uint8Array> {
      for (;;) yield new Uint8Array(0);
    }
    expect(await failure(info(empty()))).toMatchObject({ code: 'SOURCE_READ', message: expect.stringContaining('empty chunks') });
  });

  test('may have many empty chunks', async () => {
    async function* sparse(): AsyncGenerator<Uint8Array> {
      for (const byte of vhd) {
        yield new Uint8Array(0);
        yield Uint8Array.of(byte);
      }
    }
    expect(await info(sparse())).toMatchObject({ virtualSize: 2 ** 21 });
  });

  test.each(['text', 3, null, undefined, new Uint16Array(4), new ArrayBuffer(8)])('of %s is refused', async (chunk) => {
    async function* junk(): AsyncGenerator<Uint8Array> {
      yield vhd.subarray(0, 512);
      yield chunk as unknown as Uint8Array;
    }
    for (const sha256 of [undefined, '0'.repeat(64)]) {
      expect(await failure(info(junk(), { sha256 }))).toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining('not a Uint8Array'),
      });
    }
  });

  test.each([
    ['shared', () => new SharedArrayBuffer(vhd.length)],
    ['resizable', () => Reflect.construct(ArrayBuffer, [vhd.length, { maxByteLength: 2 * vhd.length }])],
  ])('in %s memory is copied', async (_what, make) => {
    const bytes = new Uint8Array(make());
    bytes.set(vhd);
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield bytes;
    }
    expect(await info(stream())).toMatchObject({ virtualSize: 2 ** 21 });
  });
});

test('a file system that accepts no bytes without an error ends the staging', async () => {
  const { open } = await import('node:fs/promises');
  const file = await open(join(testFolder(), 'file'), 'w');
  const bytes = new Uint8Array(10);
  try {
    vi.spyOn(file, 'write').mockResolvedValue({ bytesWritten: 0, buffer: bytes } as never);
    await expect(writeAll(file, bytes, 0)).rejects.toThrow('accepts no more bytes');
  } finally {
    await file.close();
  }
});
