/**
 * A real limit on the address space: each run succeeds, or ends with a typed error that may be retried. V8 ends a process that cannot grow its
 * own heap, before any code of a program runs; so it gets no compiler or collector on other threads here, and such ends are not counted.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { testFolder } from '../support/folder.ts';
import { MEMORY_FLAGS, ofV8 } from '../support/limit-memory.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const ENTRIES = 3 * 2 ** 20;

// A BAT of 12 MiB: the largest allocation that depends on the image.
const vhd = dynamicVhd({ size: 512 * ENTRIES, blockSize: 512, blocks: new Map([[5, Buffer.alloc(512, 'data')]]) });

/** The limits below are those of this version. Others need more memory, and their V8 may end a process without a word. */
const IS_MEASURED = process.versions.node.startsWith('20.');

/** The code of the error, `success`, or `V8` if that ended the process. */
function outcomeOf(args: readonly string[], spare: number): string {
  const env = { ...process.env, SPARE_MIB: String(spare) };
  const { status, stderr } = spawnSync(process.execPath, [...MEMORY_FLAGS, main, ...args], { env, encoding: 'utf8', timeout: 60_000 });
  if (ofV8(stderr) || (!IS_MEASURED && status === null)) return 'V8';
  if (status === 0) return 'success';
  const last = stderr.trim().split('\n').at(-1) ?? '';
  return `${JSON.parse(last.startsWith('{') ? last : '{"error":{"code":"no document"}}').error.code} ${status}`;
}

/** MiB; some of them on each side of what a command needs. */
const ALL = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 32, 40, 48, 56, 60, 64, 72, 96, 128];
const SOME: Readonly<Record<string, readonly number[]>> = {
  'info image.vhd': [12, 14, 18, 128],
  'info image.vhd.gz': [12, 20, 24, 26, 28, 128],
  'check image.vhd': [12, 14, 18, 128],
  'write image.vhd': [40, 56, 60, 128],
};
const ACCEPTED = new Set(['success', 'V8', 'MEMORY 1', 'THREADS 1']);

test.each([
  ['info', 'image.vhd'],
  ['info', 'image.vhd.gz'],
  ['check', 'image.vhd'],
  ['write', 'image.vhd', 'disk.raw'],
])('%s %s', { timeout: 600_000 }, (command, ...files) => {
  const folder = testFolder();
  const target = join(folder, 'disk.raw');
  writeFileSync(join(folder, 'image.vhd'), vhd);
  writeFileSync(join(folder, 'image.vhd.gz'), gzipSync(vhd));
  const found: Record<string, string> = {};
  const spares = process.env.VDISTREAM_LONG === '1' ? ALL : (SOME[`${command} ${files[0]}`] ?? []);
  for (const spare of spares) {
    const outcome = outcomeOf([command, '--json', ...files.map((file) => join(folder, file))], spare);
    found[spare] = outcome;
    if (outcome !== 'V8') expect(existsSync(target), `${spare} MiB: ${outcome}`).toBe(outcome === 'success' && command === 'write');
    rmSync(target, { force: true });
  }
  expect(Object.entries(found).filter(([, outcome]) => !ACCEPTED.has(outcome))).toEqual([]);
  if (!IS_MEASURED) return;
  expect(Object.values(found).filter((outcome) => outcome === 'MEMORY 1').length, JSON.stringify(found)).toBeGreaterThan(0);
  expect(found[spares.at(-1) ?? 0]).toBe('success');
});
