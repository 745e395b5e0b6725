/** Imports with faults: hosts to run them on, one import at a time on each, and checks of the host afterwards. */

import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, vi } from 'vitest';
import { parseStat } from '../../src/host/owner.ts';
import { type ErrorCode, type ImportOptions, importImage, type SourceInput, VdiStreamError } from '../../src/index.ts';
import { assertClean, type Kept } from '../stand-in/clean.ts';
import type { SrOptions } from '../stand-in/control.mjs';
import { type Host, type Ran, startHost } from '../stand-in/host.ts';
import { noise, streamOf } from './chunks.ts';
import { bytesOf, environmentOf, expectDisk, toolstackOf } from './imported.ts';
import { dynamicVhd } from './make-vhd.mjs';
import { withoutProgress } from './progress.ts';

const MiB = 2 ** 20;

/** No whole number of blocks, nor of what a storage repository rounds to; the second of three blocks is empty. */
export const content = Buffer.alloc(5 * MiB + 512);
content.set(noise(2 * MiB, 1));
content.set(noise(MiB + 512, 2), 4 * MiB);

export const image: Buffer = dynamicVhd({
  size: content.length,
  blocks: new Map([
    [0, content.subarray(0, 2 * MiB)],
    [2, content.subarray(4 * MiB)],
  ]),
});

/** The end of it is wrong: that is known only when all has been written. */
export const broken = gzipSync(image, { level: 1 });
broken.writeInt32LE(~broken.readInt32LE(broken.length - 8), broken.length - 8);

/** `bytes` in small parts. */
export const inParts = (bytes: Uint8Array, size = 100_000): SourceInput =>
  streamOf(Array.from({ length: Math.ceil(bytes.length / size) }, (_, part) => bytes.subarray(part * size, (part + 1) * size)));

/** The commands of an import in their order; a number distinguishes repeated ones. The parameter removed from the disk in the end is its owner tag. */
export const STEPS = [
  'vm-list',
  'sr-param-get',
  'sr-param-get 2',
  'vdi-list',
  'vdi-create',
  'vdi-param-get',
  'vbd-create',
  'vbd-plug',
  'vbd-list',
  'vbd-unplug',
  'vbd-destroy',
  'vdi-param-remove',
] as const;

export type Step = (typeof STEPS)[number];

export interface Place {
  readonly host: Host;
  /** An SR of type lvm with VHDs on it. */
  readonly sr: string;
  /** Paths of `image` and `broken` as files. */
  readonly image: string;
  readonly broken: string;
  readonly xe: NonNullable<ImportOptions['xe']>;
}

/** `kept` was there before, and must be there afterwards. */
export async function newPlace(options: SrOptions = {}): Promise<Place> {
  const host = await startHost();
  const sr = await host.sr('lvm', options);
  // The control domain is left out, so that the toolstack is asked for it.
  const inventory = join(host.folder, 'inventory');
  writeFileSync(inventory, readFileSync(host.inventory, 'utf8').replace(/^CONTROL_DOMAIN_UUID=.*\n/m, ''));
  const files = { image: join(host.folder, 'image.vhd'), broken: join(host.folder, 'broken.vhd.gz') };
  writeFileSync(files.image, image);
  writeFileSync(files.broken, broken);
  return { host, sr, ...files, xe: { ...toolstackOf(host), inventory, timeout: 30_000, grace: 100, pause: 1 } };
}

/**
 * Call it once in a file. What it returns runs `work` on a host that is not used by others meanwhile, and is in its initial state. A host that a test
 * has failed on is not used again.
 */
export function places(): <T>(work: (place: Place) => Promise<T>) => Promise<T> {
  const free: Place[] = [];
  const all: Place[] = [];
  afterAll(async () => {
    for (const { host } of all) await host.stop();
  });
  return async (work) => {
    const place = free.pop() ?? (await newPlace());
    if (!all.includes(place)) all.push(place);
    const result = await work(place);
    await place.host.noFaults();
    for (const { uuid } of place.host.state().vdi) await place.host.run(['vdi-destroy', `uuid=${uuid}`]);
    assertClean(place.host);
    free.push(place);
    return result;
  };
}

/** What has become of an import. */
export interface Outcome {
  /** uuid, if it has succeeded. */
  readonly vdi?: string;
  readonly error?: VdiStreamError;
  readonly warnings: readonly string[];
}

export async function imported(place: Place, options: Partial<ImportOptions> = {}, input: SourceInput = inParts(image)): Promise<Outcome> {
  const warnings: string[] = [];
  const onWarning: ImportOptions['onWarning'] = ({ code }) => void warnings.push(code);
  try {
    const { vdi } = await importImage(input, { sr: place.sr, xe: place.xe, name: 'image', onWarning, ...options });
    return { vdi, warnings };
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
    return { error, warnings };
  }
}

/** What a process has reported of its import before it exited. */
export interface ImportReport {
  readonly vdi?: string;
  readonly error?: { readonly code: ErrorCode; readonly message: string; readonly left: readonly string[] };
}

export interface Elsewhere<T> {
  /** A process of its own, in a group of its own. */
  readonly child: ChildProcessWithoutNullStreams;
  /** Resolves when it is gone, so that what it has left behind has no owner. */
  readonly ended: Promise<T>;
}

/** Those that have not ended, should a test have failed. */
const running = new Set<ChildProcess>();
afterAll(async () => {
  for (const child of running) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
});

function elsewhere<T>(program: string, args: readonly string[], env: NodeJS.ProcessEnv, outcome: (ran: Ran) => T): Elsewhere<T> {
  const child = spawn(process.execPath, [fileURLToPath(new URL(program, import.meta.url)), ...args], { env, detached: true });
  child.stdin.on('error', () => {}); // it may end before it has read everything
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  running.add(child);
  child.once('close', () => running.delete(child));
  const ended = once(child, 'close').then(() => outcome({ ...said, status: child.exitCode, signal: child.signalCode }));
  return { child, ended };
}

/** The library. SIGTERM cancels it. */
export function importing({ sr, xe }: Place, input: string, options: Partial<ImportOptions> = {}): Elsewhere<ImportReport> {
  const task = JSON.stringify({ input, options: { sr, xe, name: 'image', ...options } });
  return elsewhere('import-process.mjs', [task], process.env, ({ stdout, stderr }) => JSON.parse(stdout || JSON.stringify(stderr)));
}

export const importedElsewhere = (...task: Parameters<typeof importing>): Promise<ImportReport> => importing(...task).ended;

/** The command line. Its standard input stays open until the test ends it. */
export const commandLine = ({ host, xe: { inventory } }: Place, args: readonly string[]): Elsewhere<Ran> =>
  elsewhere('../../dist/cli/main.js', args, { ...environmentOf(host), VDISTREAM_INVENTORY: inventory }, (ran) => ({
    ...ran,
    stderr: withoutProgress(ran.stderr),
  }));

/** Resolves with a function that resolves when that many more calls of a command have come. */
export async function callsFromNow(host: Host): Promise<(command: string, count?: number) => Promise<void>> {
  const calls = await host.calls();
  return (command, count = 1) => host.called(command, calls.filter(([name]) => name === command).length + count);
}

/** Clients of the toolstack that run: pids. */
export const clientsOf = ({ xe }: Host): string[] => processes((pid) => readlinkSync(`/proc/${pid}/exe`) === xe);

function processes(isOne: (pid: string) => boolean): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && isOne(name);
    } catch {
      return false; // gone, or of the kernel
    }
  });
}

/**
 * Sends a signal, and resolves when it has been delivered: any thread may receive it, and under load a later event could be
 * seen first. The process must be waiting for something else that is held. Twice, since threads are looked at one after the other.
 */
export async function signalled({ pid = Number.NaN }: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const waits = (): boolean => {
    const stats = readdirSync(`/proc/${pid}/task`).map((task) => readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1'));
    const isPending = /^(?:SigPnd|ShdPnd):\t0*[1-9a-f]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return !isPending && stats.every((stat) => parseStat(stat).state === 'S');
  };
  process.kill(pid, signal);
  await vi.waitUntil(() => waits() && waits(), { timeout: 30_000, interval: 1 });
}

/** Resolves when nothing is under way any more of what processes have begun that were killed, not even a client that was just to start. */
export async function settled(host: Host): Promise<void> {
  const starting = (pid: string): boolean => readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`VDISTREAM_XE=${host.xe}`);
  await vi.waitUntil(() => clientsOf(host).length === 0 && processes(starting).length === 0, { timeout: 30_000, interval: 5 });
  await host.idle();
}

/** The VDI is the only one besides what was kept; it holds the image, has `size` bytes in all, and no longer has an owner tag. */
export function expectArrived({ host, sr }: Place, vdi: string, { vdis = [], vbds = [] }: Kept = {}, size = 6 * MiB): void {
  assertClean(host, { vdis: [...vdis, vdi], vbds });
  expect(host.state().vdi.find(({ uuid }) => uuid === vdi)).toMatchObject({ sr, nameLabel: 'image', tags: [], virtualSize: size });
  expectDisk(bytesOf(host, vdi), content, size);
}
