/** A pool without Xen for the tests of a file, and imports to it. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest';
import { type ImportOptions, type ImportResult, importImage, type SourceInput, type XapiOptions } from '../../src/index.ts';
import { type Pool, startPool } from '../stand-in/pool.ts';
import { failure } from './failure.ts';

export let pool: Pool;
let vdis = 0;
let folder = '';
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vdistream-pool-'));
  pool = await startPool(folder);
});
afterEach(() => pool.heal());
afterAll(async () => {
  await pool?.stop();
  rmSync(folder, { recursive: true });
});

/** How the library reaches it. */
export const xapiOptions = (more: Partial<XapiOptions> = {}): XapiOptions => ({
  url: pool.master,
  ...pool.credentials,
  ca: pool.ca,
  pause: 5,
  ...more,
});

type Options = Omit<ImportOptions, 'sr' | 'xapi'>;

/** Nothing but the VDIs of the imports that have succeeded, and no mistake of the client. */
export async function expectNothingLeft(): Promise<void> {
  const nothing = { vdis, vbds: 0, tasks: 0, sessions: 0, connections: 0 };
  await vi.waitFor(() => expect(pool.left()).toEqual(nothing), { timeout: 60_000 });
  expect(pool.wrong).toEqual([]);
}

/** An import after which nothing else is there. */
export async function importedToPool(
  input: SourceInput | readonly SourceInput[],
  sr: string,
  options: Options = {},
  xapi: XapiOptions = xapiOptions(),
): Promise<ImportResult> {
  const result = await importImage(input, { ...options, sr, xapi });
  vdis++;
  await expectNothingLeft();
  return result;
}

/** The error of an import that leaves nothing; it shows no secret. */
export async function refusedByPool(
  input: SourceInput | readonly SourceInput[],
  sr: string,
  options: Options = {},
  xapi: XapiOptions = xapiOptions(),
) {
  const error = await failure(importImage(input, { ...options, sr, xapi }));
  expect(error.left).toEqual([]);
  await expectNothingLeft();
  expectNoSecret(error);
  return error;
}

export function expectNoSecret(error: unknown): void {
  const shown: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) shown.push(cause.message, JSON.stringify(cause));
  expect(shown.join('\n')).not.toMatch(new RegExp(`${pool.credentials.password}|OpaqueRef|session_id`));
}
