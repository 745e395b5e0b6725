/**
 * The fault matrix: each system call on the target, with each way to fail, at its first, middle and last time and always, on each kind of
 * target. Every cell ends in time, either with the bytes of the image on the target or with a typed error and no left-over file.
 *
 * What is a cell follows from a run without faults. A call that a write does not make in a place has none; which calls those are is stated
 * in fault-places.ts. A call that is made once has no middle and last time, and a call that never moves more than N bytes cannot be short
 * at N. A call that Node itself repeats for as long as it is interrupted is not always interrupted: no kernel does that. Every other cell
 * must be reached.
 *
 * The suite runs a sample, whose seed is printed; FAULT_SEED repeats one. VDISTREAM_LONG=1 runs all of it.
 */

import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { ERRORS } from '../../src/errors.ts';
import { noise } from '../support/chunks.ts';
import { MIB, PLACES, type Place, SIZE } from '../support/fault-places.ts';
import { type FaultyProcess, faultyProcesses } from '../support/faults.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { isLong, seedOf } from '../support/rounds.ts';

const test = testWith('gcc', 'root', 'loop');
/** Cells of each place in the suite. */
const SAMPLE = 6;
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const faulty = faultyProcesses();
const seed = seedOf('fault matrix', 'FAULT_SEED');

const ERRNOS = { EINTR: 4, EIO: 5, EAGAIN: 11, ENOMEM: 12, EINVAL: 22, ENOSPC: 28, EOPNOTSUPP: 95, EDQUOT: 122 };
const SHORT = [100, 512, 5000, 65536];
const MOMENTS = ['first', 'middle', 'last', 'always'] as const;

const blocks = new Map([0, 1, 5, 6, 11].map((block) => [block, Buffer.from(noise(2 * MIB, block))]));
const vhd = dynamicVhd({ size: SIZE, blocks });
const disk = Buffer.alloc(SIZE);
for (const [block, data] of blocks) data.copy(disk, block * 2 * MIB);

interface Cell {
  readonly call: string;
  readonly action: string;
  readonly moment: (typeof MOMENTS)[number];
  /** How often the call is made without faults. */
  readonly made: number;
}

/** Every cell of a place; `calls` are those of a run without faults. */
function cellsOf(place: Place, calls: FaultyProcess['calls']): readonly Cell[] {
  const failing = place.calls.flatMap((call) =>
    Object.values(ERRNOS).map((errno) => ({ call, action: String(errno), made: calls[call]?.made ?? 0 })),
  );
  const short = ['read', 'write'].flatMap((call) =>
    SHORT.map((bytes) => ({ call, action: `short${bytes}`, made: calls[call]?.lengths.filter((length) => length > bytes).length ?? 0 })),
  );
  const cells = [...failing, ...short.filter(({ made }) => made > 0)].flatMap((fault) =>
    MOMENTS.filter((moment) => fault.made > 1 || moment === 'first' || moment === 'always').map((moment) => ({ ...fault, moment })),
  );
  const EINTR = String(ERRNOS.EINTR);
  return cells.filter(({ call, action, moment }) => !(action === EINTR && moment === 'always' && place.repeated.includes(call)));
}

function sampleOf(cells: readonly Cell[], name: string): readonly Cell[] {
  if (isLong) return cells;
  const keys = Buffer.from(noise(4 * cells.length, seed + Object.keys(PLACES).indexOf(name)));
  return cells
    .map((cell, index) => ({ cell, key: keys.readUInt32LE(4 * index) }))
    .sort((a, b) => a.key - b.key)
    .slice(0, SAMPLE)
    .map(({ cell }) => cell);
}

function ruleOf({ call, action, moment, made }: Cell): string {
  if (moment === 'always') return `${call}:${action}:1:0`;
  const number = { first: 1, middle: Math.ceil(made / 2), last: made }[moment];
  return `${call}:${action}:${number}:1`;
}

/** Throws if the cell was not reached, or if its run did not end as it should. */
function outcomeOf(run: FaultyProcess, place: Place, { call, action }: Cell): 'written' | 'refused' {
  expect(run.signal, `hangs or crashes: ${run.stderr}`).toBeNull();
  expect(run.calls[call]?.failed ?? 0, 'was not reached').toBeGreaterThan(0);
  // The hidden file that a process could not remove is left to the next writer.
  if (call !== 'unlink') expect(place.others(), 'leaves a file').toEqual([]);
  if (run.status === 0) {
    expect(place.content().equals(disk), 'succeeds with wrong bytes').toBe(true);
    return 'written';
  }
  const { code, message, errno } = JSON.parse(run.stderr.trim().split('\n').at(-1) ?? '').error;
  expect(Object.keys(ERRORS), `fails without a type: ${message}`).toContain(code);
  // A transfer that makes no progress is EIO, and a lock that another process may hold has no errno.
  if (errno !== undefined && !action.startsWith('short')) expect(String(errno), 'reports another error').toBe(action);
  return 'refused';
}

test.each(Object.keys(PLACES))('%s ends with the right bytes or a typed error, whichever call fails', { timeout: 3_600_000 }, matrix);

async function matrix(name: string): Promise<void> {
  const image = join(testFolder(), 'image.vhd');
  writeFileSync(image, vhd);
  const place = PLACES[name]?.();
  if (place === undefined) throw new Error('no such place');
  const { path, lacks } = place;
  const write = (target: string, rules: readonly string[]): Promise<FaultyProcess> =>
    faulty([main, 'write', '--json', '--verify', image, target], { path, rules: [...lacks, ...rules], limit: 300_000 });
  const counts = { written: 0, refused: 0 };
  const failures: string[] = [];
  try {
    place.prepare();
    const healthy = await write(place.target, []);
    expect({ status: healthy.status, stderr: healthy.status === 0 ? '' : healthy.stderr }).toEqual({ status: 0, stderr: '' });
    expect(place.content().equals(disk)).toBe(true);
    expectCalls(healthy, place);
    const cells = cellsOf(place, healthy.calls);
    const sample = sampleOf(cells, name);
    for (const cell of sample) {
      place.prepare();
      const existed = place.exists();
      try {
        const run = await write(place.target, [ruleOf(cell)]);
        const outcome = outcomeOf(run, place, cell);
        if (outcome === 'refused') expect(place.exists(), 'leaves the target').toBe(existed);
        if (cell.call === 'unlink') await expectSwept(place, write);
        counts[outcome]++;
      } catch (error) {
        failures.push(`${JSON.stringify(cell)} ${error instanceof Error ? error.message : String(error)}`);
        console.log(`${name}: failed: ${failures.at(-1)}`);
      }
    }
    const reached = counts.written + counts.refused;
    console.log(`${name}: ${reached} of ${cells.length} cells reached, ${counts.written} written, ${counts.refused} refused`);
    expect(failures).toEqual([]);
    expect(reached).toBe(sample.length);
  } finally {
    place.end();
  }
}

/** The calls that are made are those that the place names, and what it lacks was refused. */
function expectCalls({ calls }: FaultyProcess, { calls: named, lacks }: Place): void {
  const lacking = lacks.map((rule) => rule.split(':')[0] ?? '');
  const made = Object.keys(calls).filter((call) => call !== 'direct' && call !== 'unnamed' && !lacking.includes(call));
  expect(made.sort()).toEqual([...named].sort());
  for (const call of lacking) expect(calls[call], call).toMatchObject({ failed: calls[call]?.made });
}

/** The next writer to the folder removes the hidden file. */
async function expectSwept(place: Place, write: (target: string, rules: readonly string[]) => Promise<FaultyProcess>): Promise<void> {
  expect(await write(join(dirname(place.target), 'another.raw'), [])).toMatchObject({ status: 0 });
  expect(place.others(), 'is not removed by the next writer').toEqual(['another.raw']);
}
