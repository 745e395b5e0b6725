/**
 * kill -9 and signals at many moments of an import: `vdistream reap` removes all of what it has left, and touches nothing that is not an
 * import's, however much it looks like it. With VDISTREAM_LONG=1 there are 400 rounds.
 */

import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { ownerText } from '../../src/host/owner.ts';
import type { LeftOver } from '../../src/index.ts';
import { answer } from '../stand-in/answer.ts';
import { assertClean, type Kept } from '../stand-in/clean.ts';
import { noise } from '../support/chunks.ts';
import { callsFromNow, commandLine, content, image, newPlace, type Place, STEPS, type Step, settled } from '../support/import-host.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';
import { roundsOf } from '../support/rounds.ts';

const test = testWith('root', 'loop', 'g++');

const MiB = 2 ** 20;
const KILLS = roundsOf({ inSuite: 80, long: 340 });
const SIGNALS = roundsOf({ inSuite: 12, long: 60 });
const ROUNDS = KILLS + SIGNALS;
/** They alternate: while one waits for its storage, the other uses the processor. */
const HOSTS = 4;

type When =
  /** So much of the time that an import takes. */
  | { readonly after: number }
  /** So many bytes of the image. */
  | { readonly bytes: number }
  /** When a command arrives, is about to run, or has run. */
  | { readonly step: Step; readonly in: 'it' | 'before' | 'after' };

interface Moment {
  readonly when: When;
  readonly signal: NodeJS.Signals;
}

/** The same each time: half at any time, every command before and after its effect, the rest at any byte. */
function moments(): Moment[] {
  const random = noise(ROUNDS, 20);
  const whens = Array.from({ length: ROUNDS }, (_, round): When => {
    const share = (random[round] ?? 0) / 256;
    if (round % 2 === 0) return { after: 1.5 * share };
    const step = STEPS[((round - 1) / 2) % STEPS.length] ?? 'vm-list';
    if (round < 2 * STEPS.length) return { step, in: 'before' };
    if (round < 4 * STEPS.length) return { step, in: 'after' };
    if (round < 6 * STEPS.length) return { step, in: 'it' };
    return { bytes: Math.floor(share * image.length) };
  });
  // The rounds after the kills get a signal, each command first.
  const steps = STEPS.map((step): When => ({ step, in: 'it' }));
  return whens.map((when, round) => {
    const nth = round - KILLS;
    if (nth < 0) return { when, signal: 'SIGKILL' };
    return { when: steps[nth] ?? when, signal: nth % 2 === 0 ? 'SIGTERM' : 'SIGINT' };
  });
}

interface Foreign extends Kept {
  readonly place: Place;
  /** All that is there when no import is. */
  readonly state: unknown;
}

const foreign: Foreign[] = [];
/** Milliseconds that an import takes. */
let duration = 0;
const found = { nothing: 0, leftOver: 0, plugged: 0, finished: 0 };

beforeAll(async () => {
  for (let host = 0; host < HOSTS; host++) foreign.push(await withStrangers(await newPlace()));
  const [first] = foreign;
  if (first === undefined) return;
  const began = performance.now();
  const { stdout } = await commandLine(first.place, importArgs(first.place, first.place.image)).ended;
  duration = performance.now() - began;
  await first.place.host.run(['vdi-destroy', `uuid=${stdout.trim()}`]);
});
afterAll(async () => {
  for (const { place } of foreign) await place.host.stop();
});

const importArgs = ({ sr }: Place, source: string): string[] => ['import', source, '--sr', sr, '--quiet'];

/** A disk of a guest, a disk plugged into Dom0 by hand, and disks with tags that resemble those of a dead import. */
async function withStrangers(place: Place): Promise<Foreign> {
  const { host, sr } = place;
  const xe = (...args: string[]): Promise<string> => answer(host, args);
  const disk = (...more: string[]): Promise<string> =>
    xe('vdi-create', `sr-uuid=${sr}`, 'name-label=image', `virtual-size=${2 * MiB}`, ...more);
  const vdis: string[] = [];
  const vbds: string[] = [];
  for (const vm of [host.guest, host.dom0]) {
    const vdi = await disk();
    const vbd = await xe('vbd-create', `vm-uuid=${vm}`, `vdi-uuid=${vdi}`, 'device=autodetect', 'mode=RW');
    await xe('vbd-plug', `uuid=${vbd}`);
    vdis.push(vdi);
    vbds.push(vbd);
  }
  const dead = `vdistream.${host.uuid}.${ownerText({ boot: randomUUID(), namespace: '4026531836', pid: 7, start: '7' })}`;
  const older = `vdistream.${host.uuid}.${randomUUID()}.7.7.1`;
  const unknown = `${dead}.${'0123456789abcdef'.repeat(2)}`;
  const tags = [
    dead,
    older,
    unknown,
    `${dead}.`,
    `${dead}.0`,
    `${dead}.1x`,
    `${dead}.1.1`,
    ` ${dead}.1`,
    `x${dead}.1`,
    `x, ${dead}.1`,
    `${dead}.1`.toUpperCase(),
    `${dead}.1`.replace(host.uuid, 'here'),
    `${dead}.1`.replace('vdistream.', 'vdistream-'),
    'vdistream',
  ];
  for (const tag of tags) vdis.push(await disk(`tags:${tag}=`));
  for (const { disk } of host.state().vdi) writeFileSync(disk.path, 'a stranger', { flag: 'r+' });
  return { place, vdis, vbds, state: stateOf(place) };
}

const stateOf = ({ host }: Place): unknown => {
  const state = host.state();
  return { ...state, bytes: state.vdi.map(({ disk }) => createHash('md5').update(readFileSync(disk.path)).digest('hex')) };
};

/** Starts an import and kills it. */
async function kill({ place }: Foreign, { when, signal }: Moment): Promise<void> {
  const { host } = place;
  const called = await callsFromNow(host);
  if ('step' in when) {
    const [command = '', nth = '1'] = when.step.split(' ');
    if (when.in !== 'it') await host.fault({ command, nth: Number(nth), when: when.in, what: 'late' });
    const { child, ended } = commandLine(place, importArgs(place, place.image));
    await called(command, Number(nth));
    child.kill(signal);
    await ended;
  } else if ('bytes' in when) {
    const { child, ended } = commandLine(place, importArgs(place, '-'));
    child.stdin.write(image.subarray(0, when.bytes), () => child.kill(signal));
    await ended;
  } else {
    const { child, ended } = commandLine(place, importArgs(place, place.image));
    const timer = setTimeout(() => child.kill(signal), when.after * duration);
    await ended;
    clearTimeout(timer);
  }
  // The toolstack continues for clients that are gone.
  await host.release();
  await settled(host);
}

async function round(one: Foreign, moment: Moment): Promise<void> {
  const { place, state, vdis = [], vbds = [] } = one;
  const { host } = place;
  await kill(one, moment);

  const { vdi, vbd } = host.state();
  const ours = vdi.filter(({ uuid }) => !vdis.includes(uuid));
  expect(ours.length).toBeLessThanOrEqual(1);
  const finished = ours.filter(({ tags }) => tags.length === 0).map(({ uuid }) => uuid);
  const leftOver = ours.filter(({ tags }) => tags.length > 0).map(({ uuid }) => uuid);
  const plugged = vbd.filter((each) => leftOver.includes(each.vdi) && each.currentlyAttached);
  found[finished.length > 0 ? 'finished' : plugged.length > 0 ? 'plugged' : leftOver.length > 0 ? 'leftOver' : 'nothing']++;

  const { status, stdout, stderr } = await commandLine(place, ['reap', '--json']).ended;
  expect([status, stderr]).toEqual([0, '']);
  const { leftOvers: listed, removed, failed } = JSON.parse(stdout);
  // Those of strangers that anybody could have tagged.
  const leftOvers = listed.filter(({ owner }: LeftOver) => owner !== 'unproven');
  expect(listed.length - leftOvers.length).toBe(2);
  expect({ removed, failed }).toEqual({ removed: leftOver.length, failed: 0 });
  expect(leftOvers).toEqual(leftOver.map((uuid) => expect.objectContaining({ vdi: uuid, owner: 'dead', removed: true })));

  assertClean(host, { vdis: [...vdis, ...finished], vbds });
  for (const uuid of finished) {
    expectDisk(bytesOf(host, uuid), content, 6 * MiB);
    await host.run(['vdi-destroy', `uuid=${uuid}`]);
  }
  expect(stateOf(place)).toEqual(state);
}

describe.concurrent('a killed import', { timeout: 120_000 + ROUNDS * 2000 }, () => {
  test.each(Array.from({ length: HOSTS }, (_, host) => host))('leaves nothing behind that reap does not remove (%i)', async (host) => {
    const one = foreign[host];
    if (one === undefined) throw new Error('no such host');
    for (const [index, moment] of moments().entries()) {
      if (index % HOSTS !== host) continue;
      try {
        await round(one, moment);
      } catch (error) {
        throw new Error(`round ${index}, ${JSON.stringify(moment)}`, { cause: error });
      }
    }
  });
});

test('imports were killed in every phase', () => {
  console.log(`imports: ${ROUNDS} kills and signals, ${JSON.stringify(found)}`);
  expect(Object.values(found).reduce((sum, count) => sum + count)).toBe(ROUNDS);
  // Of twelve commands held with and without their effect, so many leave a disk, and so many a plugged one; two of them finish.
  expect(found.leftOver).toBeGreaterThanOrEqual(8);
  expect(found.plugged).toBeGreaterThanOrEqual(4);
  expect(found.finished).toBeGreaterThanOrEqual(2);
  expect(found.nothing).toBeGreaterThanOrEqual(7);
});
