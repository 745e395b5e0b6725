/** A host without Xen for the tests of a file, and the calls of its client. */

import { afterAll, beforeAll, expect } from 'vitest';
import { answer } from '../stand-in/answer.ts';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';

export const MiB = 2 ** 20;

export let host: Host;
export let ext: string;

beforeAll(async () => {
  host = await startHost();
  ext = await host.sr('ext');
});
afterAll(async () => {
  try {
    assertClean(host);
  } finally {
    await host.stop();
  }
});

export const xe = (...args: string[]): Promise<string> => answer(host, args);

/** What a command says on stderr that has to fail. */
export async function refusal(...args: string[]): Promise<string> {
  const { stdout, stderr, status } = await host.run(args);
  expect({ stdout, status, args }).toEqual({ stdout: '', status: 1, args });
  return stderr;
}

/** The error that --trace prints: code and parameters. */
export async function raised(...args: string[]): Promise<string> {
  const [, found] = /^Raised Server_error\((.*)\)$/m.exec(await refusal(...args, '--trace')) ?? [];
  return found ?? 'no Server_error';
}

export const newVdi = (sr: string, size: number | string, ...more: string[]): Promise<string> =>
  xe('vdi-create', `sr-uuid=${sr}`, 'name-label=disk', `virtual-size=${size}`, ...more);

export const param = (kind: string, uuid: string, name: string, ...more: string[]): Promise<string> =>
  xe(`${kind}-param-get`, `uuid=${uuid}`, `param-name=${name}`, ...more);

/** A disk for one test. */
export async function withVdi<T>(use: (vdi: string) => Promise<T>, ...more: string[]): Promise<T> {
  const vdi = await newVdi(ext, 4 * MiB, ...more);
  try {
    return await use(vdi);
  } finally {
    await xe('vdi-destroy', `uuid=${vdi}`);
  }
}
