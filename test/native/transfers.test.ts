/** No progress is an error: what a device moves is kept, and a device that moves nothing does not hang the call. */

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect } from 'vitest';
import { native } from '../../src/host/native.ts';
import { addonPath, faultyProcesses } from '../support/faults.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('gcc');
const LENGTH = 3 << 20;
const EINTR = 4;
const EIO = 5;
const program = fileURLToPath(new URL('../support/native-call.mjs', import.meta.url));
const faulty = faultyProcesses();

async function transfer(call: 'read' | 'write' | 'zero', rule: string): Promise<{ answer: unknown; bytes: Buffer }> {
  const file = join(testFolder(), 'target');
  writeFileSync(file, Buffer.alloc(LENGTH, 0x11));
  const { stdout, signal } = await faulty([program, addonPath, file, call], { rules: [rule], path: file, limit: 20_000 });
  expect(signal, 'it hangs').toBeNull();
  return { answer: JSON.parse(stdout), bytes: readFileSync(file) };
}

const kindOf = (call: string): string => (call === 'read' ? 'read' : 'write');

describe.each(['read', 'write', 'zero'] as const)('%s', (call) => {
  const fill = { read: 0x11, write: 0xa5, zero: 0 }[call];

  test.each([100, 511])('fails if the device moves no more than %d bytes each time', async (bytes) => {
    const { answer } = await transfer(call, `${kindOf(call)}:short${bytes}:1:0`);
    expect(answer).toMatchObject({ errno: EIO, offset: 0 });
  });

  test('fails if a signal interrupts it each time', async () => {
    const { answer } = await transfer(call, `${kindOf(call)}:${EINTR}:1:0`);
    expect(answer).toMatchObject({ errno: EINTR });
  });

  test.each([
    ['is short once', 'short100:1:1'],
    ['is short in the middle', 'short1000:2:1'],
    ['moves 65,000 bytes each time', 'short65000:1:0'],
    ['is interrupted for a while', `${EINTR}:1:50`],
  ])('moves every byte if the device %s', async (_what, rule) => {
    const { answer, bytes } = await transfer(call, `${kindOf(call)}:${rule}`);
    expect(answer).not.toHaveProperty('errno');
    expect(bytes.equals(Buffer.alloc(LENGTH, fill))).toBe(true);
  });
});

test('a file that has been cut to an odd length fails a read past its end', async () => {
  const path = join(testFolder(), 'file');
  writeFileSync(path, Buffer.alloc(LENGTH));
  const { fd } = await native().open(path, { write: false, direct: false, exclusive: false, create: false });
  try {
    truncateSync(path, 1000);
    await expect(native().read(fd, new Uint8Array(LENGTH), 0)).rejects.toMatchObject({ operation: 'read', offset: 512 });
  } finally {
    await native().close(fd);
  }
});
