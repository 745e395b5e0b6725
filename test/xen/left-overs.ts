/** Left-overs of imports on a host of their own, and how they are reaped. A file that imports this gets a host before each test. */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { reap } from '../../src/index.ts';
import { createRecords, type ImportRecord } from '../../src/xen/record.ts';
import { answer } from '../stand-in/answer.ts';
import { newPlace, type Place } from '../support/import-host.ts';

export const BOOT = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
export const NOBODY = '00000000-0000-4000-8000-000000000000';

/** Where the tests of a file reap. */
export let place: Place;
/** pid and start of a process that has ended. */
export let ended: { pid: number; start: string };

beforeAll(async () => {
  const child = spawn('sleep', ['600']);
  await once(child, 'spawn');
  ended = { pid: child.pid ?? 0, start: startOf(child.pid) };
  child.kill();
  await once(child, 'exit');
});
beforeEach(async () => {
  if (place !== undefined && place.host.state().vdi.length === 0) return place.host.noFaults();
  await place?.host.stop();
  place = await newPlace();
});
afterAll(() => place?.host.stop());

/** Field 22 of /proc/PID/stat; these names have no spaces in them. */
export const startOf = (pid: number | undefined): string => readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[21] ?? '';

export interface Owner {
  readonly host?: string;
  readonly boot?: string;
  readonly namespace?: string;
  readonly pid?: number;
  readonly start?: string;
}

/** Of this process. */
export const NAMESPACE = readlinkSync('/proc/self/ns/pid').slice('pid:['.length, -1);

/** The owner tag of an import whose process is dead, unless `owner` says otherwise. */
export const tagOf = (owner: Owner = {}): string => {
  const { host = place.host.uuid, boot = BOOT, namespace = NAMESPACE, pid = ended.pid, start = ended.start } = owner;
  return `vdistream.${host}.2.${boot}.${namespace}.${pid}.${start}.${randomBytes(16).toString('hex')}`;
};

/** The older form. */
export const oldTagOf = ({ boot = BOOT, pid = ended.pid, start = ended.start }: Owner = {}): string =>
  `vdistream.${place.host.uuid}.${boot}.${pid}.${start}.1`;

export const records = () => createRecords(place.xe.records);

export const tokenOf = (tag: string): string => tag.slice(tag.lastIndexOf('.') + 1);

/** What an import that creates `disk(tag)` records first. */
export async function recorded(tag: string, fields: Partial<ImportRecord> = {}): Promise<string> {
  await records().add(tokenOf(tag), { tag, sr: place.sr, name: 'left', size: 2 ** 21 - 512, ...fields });
  return tag;
}

/** The left-over VDI of an import that was killed right after it had created it. */
export async function leftOver(owner: Owner = {}, sr = place.sr, ...more: string[]): Promise<string> {
  const tag = await recorded(tagOf(owner), { sr });
  const vdi = await disk(tag, sr, ...more);
  await records().complete(tokenOf(tag), vdi);
  return vdi;
}

export const xe = (...args: string[]): Promise<string> => answer(place.host, args);

export const disk = (tag: string, sr = place.sr, ...more: string[]): Promise<string> =>
  xe('vdi-create', `sr-uuid=${sr}`, 'name-label=left', 'virtual-size=2097152', `tags:${tag}=`, ...more);

export async function plug(vdi: string, vm = place.host.dom0): Promise<string> {
  const vbd = await xe('vbd-create', `vm-uuid=${vm}`, `vdi-uuid=${vdi}`, 'device=autodetect', 'mode=RW');
  await xe('vbd-plug', `uuid=${vbd}`);
  return vbd;
}

export const reaping = (options: Parameters<typeof reap>[0] = {}) => reap({ xe: place.xe, ...options });

/** What is reported of a left-over that was removed. */
export const removed = (vdi: string, owner: Owner = {}) => ({
  vdi,
  host: place.host.uuid,
  pid: owner.pid ?? ended.pid,
  owner: 'dead',
  removed: true,
  left: [],
});

export const byVdi = <T extends { readonly vdi: string }>(leftOvers: readonly T[]): T[] =>
  leftOvers.toSorted((a, b) => (a.vdi < b.vdi ? -1 : 1));
