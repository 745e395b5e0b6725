/** What an import has left on a host without Xen: the bytes of its disks. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { XeOptions } from '../../src/index.ts';
import type { Host } from '../stand-in/host.ts';

/** How the library finds the toolstack of `host`. */
export const toolstackOf = ({ xe, inventory, folder }: Host): XeOptions => ({
  program: xe,
  inventory,
  locks: locksOf(folder),
  records: recordsOf(folder),
  pause: 5,
});

const locksOf = (folder: string): string => join(folder, 'locks');
const recordsOf = (folder: string): string => join(folder, 'records');

/** The environment in which the command line and the plugin do. */
export const environmentOf = ({ xe, inventory, folder }: Host): NodeJS.ProcessEnv => ({
  ...process.env,
  VDISTREAM_XE: xe,
  VDISTREAM_INVENTORY: inventory,
  VDISTREAM_LOCKS: locksOf(folder),
  VDISTREAM_RECORDS: recordsOf(folder),
});

/** The whole file of a VDI: what its guest will see. */
export function bytesOf(host: Host, vdi: string): Buffer {
  const found = host.state().vdi.find(({ uuid }) => uuid === vdi);
  if (found === undefined) throw new Error(`there is no VDI ${vdi}`);
  return readFileSync(found.disk.path);
}

/** Throws unless `bytes` are those of `content` followed only by zeros; names the first wrong byte. */
export function expectDisk(bytes: Uint8Array, content: Uint8Array, size = bytes.length): void {
  expect(bytes.length).toBe(size);
  const wanted = Buffer.alloc(size);
  wanted.set(content);
  if (!wanted.equals(bytes)) expect({ firstWrong: wanted.findIndex((byte, at) => byte !== bytes[at]) }).toEqual({ firstWrong: -1 });
}
