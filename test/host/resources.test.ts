/** Threads and memory that the host refuses. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { addonPath, faultyProcesses } from '../support/faults.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';

const test = testWith('gcc');
const MIB = 1 << 20;
const EAGAIN = 11;
const ENOMEM = 12;
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const program = fileURLToPath(new URL('../support/native-call.mjs', import.meta.url));
const faulty = faultyProcesses();

const vhd = dynamicVhd({ size: 8 * MIB, blocks: new Map([[1, Buffer.alloc(2 * MIB, 'data')]]) });

describe('a thread that cannot be started', () => {
  test.each([2, 5])('is done without if others run: from thread %d on', async (first) => {
    const file = join(testFolder(), 'file');
    writeFileSync(file, Buffer.alloc(3 * MIB));
    const { stdout, calls, status } = await faulty([program, addonPath, file, 'many'], { rules: [`thread:${EAGAIN}:${first}:0`] });
    expect({ status, answer: JSON.parse(stdout) }).toEqual({ status: 0, answer: { sum: 0 } });
    expect(calls.thread?.made).toBeGreaterThan(0);
    expect(calls.thread?.failed).toBeGreaterThan(0);
  });

  test.each(['read', 'inflate'])('is an error if none runs: %s', async (call) => {
    const file = join(testFolder(), 'file');
    writeFileSync(file, Buffer.alloc(3 * MIB));
    const { stdout } = await faulty([program, addonPath, file, call], { rules: [`thread:${EAGAIN}:${call === 'read' ? 1 : 2}:0`] });
    expect(JSON.parse(stdout)).toMatchObject({ errno: EAGAIN, operation: 'thread' });
  });

  // The first thread writes, the second inflates.
  test.each([1, 2])('ends a write with a typed error that may be retried, and leaves no file: thread %d', async (first) => {
    const folder = testFolder();
    const [image, target] = [join(folder, 'image.vhd.gz'), join(folder, 'disk.raw')];
    writeFileSync(image, gzipSync(vhd));
    const run = await faulty([main, 'write', '--json', image, target], { rules: [`thread:${EAGAIN}:${first}:1`] });
    expect(run.status).toBe(1);
    expect(JSON.parse(run.stderr)).toMatchObject({ error: { code: 'THREADS', errno: EAGAIN } });
    expect(() => readFileSync(target)).toThrow('ENOENT');
  });
});

describe('no memory for buffers', () => {
  test.each([1, 2])('ends a write with a typed error: allocation %d', async (first) => {
    const folder = testFolder();
    const [image, target] = [join(folder, 'image.vhd'), join(folder, 'disk.raw')];
    writeFileSync(image, vhd);
    writeFileSync(target, Buffer.alloc(8 * MIB)); // the guards read an existing file
    const { status, stderr } = await faulty([main, 'write', '--json', image, target], { rules: [`map:${ENOMEM}:${first}:1`] });
    expect({ status, answer: JSON.parse(stderr) }).toMatchObject({
      status: 1,
      answer: { error: { code: 'MEMORY', errno: ENOMEM } },
    });
  });

  test('and no thread may be retried', () => {
    for (const code of ['MEMORY', 'THREADS'] as const)
      expect(new VdiStreamError(code, '')).toMatchObject({ retryable: true, atFault: 'host' });
  });
});
