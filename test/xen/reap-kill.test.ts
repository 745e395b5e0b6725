/**
 * kill -9 and signals at many moments of a reap: the next one finishes its work, and the VDIs of others are as they were. With
 * VDISTREAM_LONG=1 there are 150 rounds.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { noise } from '../support/chunks.ts';
import { callsFromNow, commandLine, settled } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { roundsOf } from '../support/rounds.ts';
import { disk, leftOver, oldTagOf, place, plug, reaping, recorded, records, tagOf } from './left-overs.ts';

const test = testWith('root', 'loop', 'g++');

const ROUNDS = roundsOf({ inSuite: 8, long: 150 });
const COMMANDS = ['vdi-list', 'vdi-param-get', 'vbd-list', 'vbd-unplug', 'vdi-destroy', 'vm-list'];
const SIGNALS: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGINT'];

/** The VDIs with these uuids, and their bytes. */
const bytesOf = (vdis: readonly string[]): unknown =>
  place.host
    .state()
    .vdi.filter(({ uuid }) => vdis.includes(uuid))
    .map((vdi) => [vdi, createHash('md5').update(readFileSync(vdi.disk.path)).digest('hex')]);

/** A plugged VDI, one with a VBD that was unplugged, and one whose import did not live to record its uuid. */
async function leftOvers(): Promise<string[]> {
  const vdis = [await leftOver(), await leftOver(), await disk(await recorded(tagOf()))];
  await plug(vdis[0] ?? '');
  return vdis;
}

/** Ends a reap at the nth call of a command, held before or after its effect, or somewhere in between. */
async function endReap(command: string, nth: number, held: 'before' | 'after' | undefined, signal: NodeJS.Signals): Promise<void> {
  const { host } = place;
  const called = await callsFromNow(host);
  if (held !== undefined) await host.fault({ command, nth, when: held, what: 'late' });
  const { child, ended } = commandLine(place, ['reap', '--json']);
  // A reap that does not get so far ends before that.
  await Promise.race([called(command, nth), ended]);
  child.kill(signal);
  await host.release();
  await ended;
  await host.noFaults();
  await settled(host);
}

test(
  'a reap that is killed or gets a signal destroys nothing of others, and the next one finishes its work',
  async () => {
    const strangers = [await disk(tagOf()), await disk(oldTagOf())];
    const before = bytesOf(strangers);
    const random = noise(2 * ROUNDS, 30);
    let left = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const vdis = await leftOvers();
      const [byte = 0, next = 0] = random.subarray(2 * round);
      const moment = {
        command: COMMANDS[round % COMMANDS.length] ?? '',
        nth: 1 + (byte % 3),
        held: ([undefined, 'before', 'after'] as const)[next % 3],
        signal: SIGNALS[(byte >> 4) % SIGNALS.length] ?? 'SIGKILL',
      };
      try {
        await endReap(moment.command, moment.nth, moment.held, moment.signal);
        left += place.host.state().vdi.filter(({ uuid }) => vdis.includes(uuid)).length;
        expect(await reaping()).toMatchObject({ failed: 0 });
        assertClean(place.host, { vdis: strangers });
        expect(bytesOf(strangers)).toEqual(before);
      } catch (error) {
        throw new Error(`round ${round}, ${JSON.stringify(moment)}`, { cause: error });
      }
    }
    console.log(`reaps: ${ROUNDS} kills and signals, ${left} VDIs left for the next reap`);
    expect(left).toBeGreaterThan(ROUNDS / 2);
    // Of a VDI that was destroyed right before the kill, the record stays for a day.
    const tokens = readdirSync(place.xe.records ?? '');
    expect(tokens.length).toBeLessThanOrEqual(ROUNDS);
    for (const token of tokens) expect((await records().find(token))?.tag).toMatch(new RegExp(`\\.${token}$`));
    for (const uuid of strangers) await place.host.run(['vdi-destroy', `uuid=${uuid}`]);
  },
  60_000 + ROUNDS * 20_000,
);
