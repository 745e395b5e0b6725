/**
 * SIGTERM and SIGKILL at random moments of an upload by the plugin: after SIGTERM nothing is left, after SIGKILL nothing that `reap` does not
 * remove, and the service never has a part of an image that looks whole. With VDISTREAM_LONG=1 there are 50 rounds.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { noise } from '../support/chunks.ts';
import { callsFromNow, commandLine, settled } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { expectDetached, novaUpload, uploadHost } from '../support/plugin-upload.ts';
import { roundsOf } from '../support/rounds.ts';
import { glanceForUploads } from '../support/upload-glance.ts';

const test = testWith('root', 'loop', 'g++');
const host = uploadHost('src/plugin/main.ts');

const ROUNDS = roundsOf({ inSuite: 10, long: 50 });
/** Seeds the moments: VDISTREAM_SEED repeats a run. */
const SEED = Number(process.env.VDISTREAM_SEED ?? 1);
const STEPS = ['vbd-create', 'vbd-plug', 'vbd-unplug', 'vbd-destroy'];

interface Moment {
  readonly signal: 'SIGTERM' | 'SIGKILL';
  /** While this command is held; else after a share of the time that a call takes. */
  readonly step: string | undefined;
  readonly after: number;
}

/** Leaves a VBD, whatever the speed of the host. */
const LEAVES_A_VBD: Moment = { signal: 'SIGKILL', step: 'vbd-plug', after: 0 };

/** Every third at a command. */
function moments(): Moment[] {
  const random = noise(2 * ROUNDS, SEED);
  const chosen = Array.from({ length: ROUNDS - 1 }, (_, round): Moment => {
    const [share = 0, choice = 0] = random.subarray(2 * round);
    return {
      signal: round % 2 === 0 ? 'SIGTERM' : 'SIGKILL',
      step: round % 3 === 2 ? STEPS[choice % STEPS.length] : undefined,
      after: 0.2 + (0.75 * share) / 256,
    };
  });
  return [LEAVES_A_VBD, ...chosen];
}

type Outcome = 'success' | 'RetryableError' | 'no answer';

async function round({ signal, step, after }: Moment, duration: number): Promise<{ outcome: Outcome; removed: number }> {
  const { plugin, place } = host();
  const server = await glanceForUploads();
  const called = await callsFromNow(place.host);
  if (step !== undefined) await place.host.fault({ command: step, what: 'late' });
  const asked = plugin.ask({ ...novaUpload(host(), server.url('')), signals: [signal], when: 'requested' });
  await (step === undefined ? sleep(after * duration) : called(step));
  plugin.send();
  // SIGTERM is obeyed when the call has ended.
  if (signal === 'SIGTERM') await place.host.release();
  const { status, reply, unreadable } = await asked;
  await place.host.release();
  await place.host.noFaults();
  // The toolstack continues for clients that are gone.
  await settled(place.host);

  const [, fn, kind] = reply?.ErrorDescription ?? [];
  const outcome = unreadable !== undefined ? 'no answer' : reply?.Status === 'Success' ? 'success' : 'RetryableError';
  if (outcome === 'RetryableError') expect([fn, kind]).toEqual(['upload_vhd2', 'RetryableError']);
  // A document, or the signal ended the process: then xapi says so, and Nova tries again. It may also end it after its document.
  const killed = { SIGTERM: -15, SIGKILL: -9 }[signal];
  expect(outcome === 'no answer' ? [killed] : [0, killed]).toContain(status);
  for (const [number, upload] of server.uploads.filter(({ method }) => method === 'PUT').entries()) {
    if (upload.complete) expect(gunzipSync(server.sent(number)).length % 512).toBe(0);
    else expect(outcome).not.toBe('success');
  }
  if (outcome !== 'no answer') expectDetached(host());

  const reaped = await commandLine(place, ['reap', '--json']).ended;
  expect([reaped.status, reaped.stderr]).toEqual([0, '']);
  const { leftOvers, removed } = JSON.parse(reaped.stdout);
  expect(leftOvers).toEqual([]);
  expectDetached(host());
  return { outcome, removed };
}

test('a signal at any moment leaves nothing attached, and no part of an image', { timeout: 120_000 + ROUNDS * 10_000 }, async () => {
  const { plugin } = host();
  const began = performance.now();
  await plugin.success(novaUpload(host(), (await glanceForUploads()).url('')));
  const duration = performance.now() - began;
  const found: Record<string, number> = {};
  let left = 0;
  for (const [index, moment] of moments().entries()) {
    try {
      const { outcome, removed } = await round(moment, duration);
      const name = `${moment.signal}: ${outcome}`;
      found[name] = (found[name] ?? 0) + 1;
      left += removed;
    } catch (error) {
      throw new Error(`seed ${SEED}, round ${index}, ${JSON.stringify(moment)}`, { cause: error });
    }
  }
  console.log(`${ROUNDS} signals, seed ${SEED}: ${JSON.stringify(found)}, ${left} removed by reap`);
  expect(left).toBeGreaterThan(0); // by LEAVES_A_VBD
});
