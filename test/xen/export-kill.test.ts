/**
 * kill -9 at random moments of an export of a VDI: `vdistream reap` removes what it has left, the VDI and the VBDs of others stay as they were, and
 * OUT is whole or not there. With VDISTREAM_LONG=1 there are 100 rounds.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { exportDisk, type LeftOverVbd, verifyDisk } from '../../src/index.ts';
import { answer } from '../stand-in/answer.ts';
import { noise } from '../support/chunks.ts';
import { EXPORT_STEPS, type ExportStep, filesOf, guestVdi, outputOf, removeOutput } from '../support/export-host.ts';
import { callsFromNow, commandLine, newPlace, type Place, settled } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { roundsOf } from '../support/rounds.ts';

const test = testWith('root', 'loop', 'g++');

const ROUNDS = roundsOf({ inSuite: 30, long: 100 });
/** Seeds the moments: VDISTREAM_SEED repeats a run. */
const SEED = Number(process.env.VDISTREAM_SEED ?? 1);

type Moment =
  /** So much of the time from the first command of an export to its end. */
  | { readonly after: number }
  /** When a command arrives, is about to run, or has run. */
  | { readonly step: ExportStep; readonly in: 'it' | 'before' | 'after' };

/** Two of three at any time, the others at a command. */
function moments(): Moment[] {
  const random = noise(2 * ROUNDS, SEED);
  return Array.from({ length: ROUNDS }, (_, round): Moment => {
    const [share = 0, choice = 0] = random.subarray(2 * round);
    if (round % 3 > 0) return { after: (1.1 * share) / 256 };
    return { step: EXPORT_STEPS[share % EXPORT_STEPS.length] ?? 'vm-list', in: (['it', 'before', 'after'] as const)[choice % 3] ?? 'it' };
  });
}

let place: Place;
let vdi: string;
/** Milliseconds from the first command of an export to its end. */
let duration = 0;
/** All that is there when no export is. */
let before: unknown;
let tiny: string;
const found = { nothing: 0, unplugged: 0, plugged: 0, finished: 0 };

const stateOf = ({ host }: Place): unknown => {
  const state = host.state();
  return { ...state, bytes: state.vdi.map(({ disk }) => createHash('md5').update(readFileSync(disk.path)).digest('hex')) };
};

beforeAll(async () => {
  place = await newPlace();
  vdi = await guestVdi(place);
  mkdirSync(dirname(outputOf(place)));
  tiny = join(place.host.folder, 'tiny.raw');
  writeFileSync(tiny, Buffer.alloc(4096, 1));
  // Of others: the same VDI plugged into Dom0 read-only, and a VBD that nobody has plugged yet.
  const create = ['vbd-create', `vm-uuid=${place.host.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect', 'mode=RO'];
  const plugged = await answer(place.host, create);
  await answer(place.host, ['vbd-plug', `uuid=${plugged}`]);
  await answer(place.host, create);
  before = stateOf(place);
  const called = await callsFromNow(place.host);
  const { ended } = exporting();
  await called('vm-list');
  const began = performance.now();
  await ended;
  duration = performance.now() - began;
  removeOutput(place);
});
afterAll(() => place?.host.stop());

const exporting = () => commandLine(place, ['export', `vdi:${vdi}`, '-o', outputOf(place), '--quiet']);

async function kill(moment: Moment): Promise<void> {
  const { host } = place;
  const called = await callsFromNow(host);
  if ('step' in moment) {
    const [command = '', nth = '1'] = moment.step.split(' ');
    if (moment.in !== 'it') await host.fault({ command, nth: Number(nth), when: moment.in, what: 'late' });
    const { child, ended } = exporting();
    await called(command, Number(nth));
    child.kill('SIGKILL');
    await ended;
  } else {
    const { child, ended } = exporting();
    await called('vm-list');
    const timer = setTimeout(() => child.kill('SIGKILL'), moment.after * duration);
    await ended;
    clearTimeout(timer);
  }
  // The toolstack continues for clients that are gone.
  await host.release();
  await settled(host);
}

async function round(moment: Moment): Promise<void> {
  const { host } = place;
  await kill(moment);
  const [, , left, ...more] = host.state().vbd;
  expect(more).toEqual([]);
  const isFinished = filesOf(place).includes('image.vhd');
  if (isFinished) await verifyDisk(outputOf(place), host.state().vdi[0]?.disk.path ?? '');
  found[left?.currentlyAttached ? 'plugged' : left !== undefined ? 'unplugged' : isFinished ? 'finished' : 'nothing']++;

  const { status, stdout, stderr } = await commandLine(place, ['reap', '--json']).ended;
  expect([status, stderr]).toEqual([0, '']);
  const { leftOvers, leftOverVbds, removed }: { leftOvers: unknown; leftOverVbds: LeftOverVbd[]; removed: number } = JSON.parse(stdout);
  expect([leftOvers, removed]).toEqual([[], left === undefined ? 0 : 1]);
  expect(leftOverVbds).toEqual(left === undefined ? [] : [expect.objectContaining({ vbd: left.uuid, vdi, owner: 'dead', removed: true })]);
  expect(stateOf(place)).toEqual(before);

  // The next writer removes what the killed one has left in the folder.
  removeOutput(place);
  await exportDisk(tiny, outputOf(place));
  expect(filesOf(place)).toEqual(['image.vhd']);
  removeOutput(place);
}

test(
  'a killed export of a VDI leaves nothing that reap does not remove, and no part of an image',
  async () => {
    for (const [index, moment] of moments().entries()) {
      try {
        await round(moment);
      } catch (error) {
        throw new Error(`seed ${SEED}, round ${index}, ${JSON.stringify(moment)}`, { cause: error });
      }
    }
    console.log(`${ROUNDS} kills, seed ${SEED}: ${JSON.stringify(found)}`);
    expect(Math.min(found.nothing, found.unplugged, found.plugged)).toBeGreaterThan(0);
  },
  60_000 + ROUNDS * 6000,
);
