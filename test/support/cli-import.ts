/** A host without Xen for the tests of a file, and imports by the command line on it. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { type CliOptions, cli, type Outcome } from './cli.ts';
import { testFolder } from './folder.ts';
import { content, TOKEN } from './glance-stand-in.ts';
import { bytesOf, environmentOf, expectDisk } from './imported.ts';

export const MiB = 2 ** 20;
export const UUID_LINE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/;

export let host: Host;
export let sr: string;
export const made: string[] = [];
beforeAll(async () => {
  host = await startHost();
  sr = await host.sr('ext');
});
afterAll(() => host?.stop());

interface More extends CliOptions {
  readonly env?: Readonly<Record<string, string>>;
}

/** On the host without Xen. */
export const run = (args: readonly string[], { env = {}, ...more }: More = {}): Promise<Outcome> =>
  cli(args, { ...more, env: { ...environmentOf(host), ...env } });

/** An import that succeeds with this disk, and does not print its token; returns the summary. */
export async function imported(args: readonly string[], disk: Uint8Array = content, more: More = {}): Promise<string> {
  const { status, stdout, stderr } = await run(['import', ...args, '--sr', sr], more);
  // The output is shown if it fails. A slow import also prints progress.
  expect({ status, said: status === 0 ? '' : stderr }).toEqual({ status: 0, said: '' });
  expect(stdout).toMatch(UUID_LINE);
  made.push(stdout.trim());
  assertClean(host, { vdis: made });
  expectDisk(bytesOf(host, stdout.trim()), disk);
  expect(stderr).not.toContain(TOKEN);
  return stderr;
}

/** An import that fails without leaving anything behind; returns what it prints. */
export async function refused(args: readonly string[], status: number, more: More = {}): Promise<string> {
  const outcome = await run(['import', ...args], more);
  expect(outcome).toMatchObject({ status, stdout: '' });
  expect(outcome.stderr).not.toContain(TOKEN);
  assertClean(host, { vdis: made });
  return outcome.stderr;
}

export function stored(name: string, bytes: Uint8Array | string): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

export const nameOf = (uuid: string | undefined): string | undefined => host.state().vdi.find((vdi) => vdi.uuid === uuid)?.nameLabel;
