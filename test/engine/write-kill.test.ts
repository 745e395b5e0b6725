/**
 * SIGKILL, SIGTERM and SIGINT at random moments of `vdistream write`, to a new file and to a block device. The process ends; a file bears
 * its name only if it is whole; the next writer is held up by no lock and removes what is left; and a device that holds part of a disk
 * says so when it refuses the next write. KILL_SEED repeats a run. With VDISTREAM_LONG=1 there are 300 rounds.
 */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { VdiStreamError, writeDisk } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { cli } from '../support/cli.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { roundsOf, seedOf } from '../support/rounds.ts';

const test = testWith('root', 'loop');

const MIB = 1 << 20;
const SIZE = 24 * MIB;
/** On each of the two targets. */
const ROUNDS = roundsOf({ inSuite: 12, long: 150 });
const SIGNALS: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGTERM', 'SIGINT'];
/** Milliseconds in which a process that got a signal ends: far more than the machine needs when it is busy. */
const END_LIMIT = 60_000;
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const seed = seedOf('kills of writes', 'KILL_SEED');

/** The first block holds the header of a swap area, so that the guard for content sees that the device was written. */
const blocks = new Map([0, 1, 5, 6, 11].map((block) => [block, Buffer.from(noise(2 * MIB, block))]));
blocks.get(0)?.fill(0, 0, 4096).writeUInt32LE(1, 1024);
blocks.get(0)?.write('SWAPSPACE2', 4086, 'latin1');
const vhd = dynamicVhd({ size: SIZE, blocks });
const disk = Buffer.alloc(SIZE);
for (const [block, data] of blocks) data.copy(disk, block * 2 * MIB);

interface Moment {
  readonly signal: NodeJS.Signals;
  /** So much of the time that a write takes, or so many bytes of the image, of which the write then waits for more. */
  readonly when: { readonly share: number } | { readonly bytes: number };
}

/** In equal parts of the write, one each, so that every run has early and late ones; each signal in turn. */
function momentsOf(name: string): readonly Moment[] {
  const random = Buffer.from(noise(4 * ROUNDS, seed + name.length));
  return Array.from({ length: ROUNDS }, (_, round) => {
    const pair = Math.floor(round / 2);
    const share = (pair + random.readUInt32LE(4 * round) / 2 ** 32) / (ROUNDS / 2);
    const signal = SIGNALS[pair % SIGNALS.length] ?? 'SIGKILL';
    return { signal, when: round % 2 === 0 ? { share: 1.2 * share } : { bytes: Math.floor(share * vhd.length) } };
  });
}

/** `status` is null after a signal that nothing handled. */
interface Ended {
  readonly status: number | null;
  readonly stderr: string;
}

/** A write that gets a signal, which it may outrun. */
async function interrupted(image: string, target: string, { signal, when }: Moment, duration: number): Promise<Ended> {
  const child = spawn(process.execPath, [main, 'write', '--json', '--force=content', 'share' in when ? image : '-', target]);
  const closed = once(child, 'close');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.resume();
  child.stdin.on('error', () => {}); // it may end before it has read everything
  if ('share' in when) await sleep(when.share * duration);
  else await fed(child, vhd.subarray(0, when.bytes));
  child.kill(signal);
  const ended = await Promise.race([closed, sleep(END_LIMIT, 'late' as const, { ref: false })]);
  if (ended === 'late') child.kill('SIGKILL');
  expect(ended, 'it does not end').not.toBe('late');
  return { status: child.exitCode, stderr };
}

const fed = ({ stdin }: ChildProcessWithoutNullStreams, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve) => {
    stdin.write(bytes, () => resolve());
  });

/** How a write ended that got a signal. Throws if it did otherwise than it should. */
function expectEnd({ status, stderr }: Ended, { signal }: Moment): 'killed' | 'cancelled' | 'finished' {
  if (status === 0) return 'finished';
  // Before the program listens for them, the other signals kill it too.
  if (status === null) return 'killed';
  expect(signal).not.toBe('SIGKILL');
  expect({ status, stderr }).toMatchObject({ status: 130 });
  expect(JSON.parse(stderr.trim().split('\n').at(-1) ?? '').error).toMatchObject({ code: 'CANCELLED' });
  return 'cancelled';
}

type Round = (moment: Moment, duration: number) => Promise<string>;

/** Runs the rounds, and prints how many ended how. */
async function rounds(name: string, image: string, target: string, round: Round): Promise<Readonly<Record<string, number>>> {
  const began = performance.now();
  expect(await cli(['write', '--json', '--force=content', image, target])).toMatchObject({ status: 0 });
  const duration = performance.now() - began;
  const counts: Record<string, number> = {};
  for (const [index, moment] of momentsOf(name).entries()) {
    try {
      const end = await round(moment, duration);
      counts[end] = (counts[end] ?? 0) + 1;
    } catch (error) {
      throw new Error(`round ${index}, ${JSON.stringify(moment)}, KILL_SEED=${seed}`, { cause: error });
    }
  }
  console.log(`write to ${name}: ${ROUNDS} signals, ${JSON.stringify(counts)}`);
  return counts;
}

const limit = { timeout: 120_000 + ROUNDS * 20_000 };

test('a write to a new file that gets a signal leaves nothing half-written, and the next one finds nothing in its way', limit, async () => {
  const image = join(testFolder(), 'image.vhd');
  writeFileSync(image, vhd);
  const counts = await rounds('a new file', image, join(testFolder(), 'disk.raw'), async (moment, duration) => {
    const folder = testFolder();
    const target = join(folder, 'disk.raw');
    const ended = await interrupted(image, target, moment, duration);
    const end = expectEnd(ended, moment);
    const isThere = readdirSync(folder).includes('disk.raw');
    if (end === 'finished') expect(isThere).toBe(true);
    if (end === 'cancelled') expect(readdirSync(folder)).toEqual([]);
    if (isThere) expect(readFileSync(target).equals(disk), 'it is half-written').toBe(true);
    const next = isThere ? join(folder, 'next.raw') : target;
    await writeDisk(image, next);
    expect(readFileSync(next).equals(disk)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(isThere ? ['disk.raw', 'next.raw'] : ['disk.raw']);
    return end;
  });
  expect(counts.killed).toBeGreaterThan(0);
  expect(counts.cancelled).toBeGreaterThan(0);
});

const REFUSAL = 'holds a swap area, signature at byte 4086';
const UNFINISHED = /; it may come from a write by vdistream that began at \d{4}-\d\d-\d\dT[\d:.]+Z and did not finish$/;

test('a device whose write got a signal can be written again, and a refusal says that a write did not finish', limit, async () => {
  const image = join(testFolder(), 'image.vhd');
  writeFileSync(image, vhd);
  const stale = Buffer.alloc(SIZE, 0x5a);
  let refused = 0;
  await withLoop({ size: SIZE }, async (device) => {
    const bytes = (): Buffer => device.read(0, SIZE);
    await rounds('a loop device', image, device.path, async (moment, duration) => {
      device.write(0, stale);
      const ended = await interrupted(image, device.path, moment, duration);
      const end = expectEnd(ended, moment);
      if (end === 'finished') expect(bytes().equals(disk)).toBe(true);
      const next = await writeDisk(image, device.path).catch((error: unknown) => error);
      if (next instanceof VdiStreamError) {
        refused++;
        const { code, message } = next;
        expect({ code, message }).toEqual({ code: 'TARGET_CONTENT', message: expect.stringContaining(REFUSAL) });
        // Without the note the write has finished, though the signal may have come before it could say so.
        if (!UNFINISHED.test(message)) expect(bytes().equals(disk), 'the refusal does not say that the write did not finish').toBe(true);
        if (end !== 'killed') expect(UNFINISHED.test(message)).toBe(end === 'cancelled');
        await writeDisk(image, device.path, { force: ['content'] });
      } else {
        expect(next).toMatchObject({ bytesZeroed: SIZE - 10 * MIB });
        expect(end).not.toBe('finished');
      }
      expect(bytes().equals(disk)).toBe(true);
      expect((await failure(writeDisk(image, device.path))).message).toMatch(new RegExp(`${REFUSAL}$`));
      return end;
    });
  });
  expect(refused).toBeGreaterThan(0);
});
