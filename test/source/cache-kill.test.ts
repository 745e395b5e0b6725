/**
 * kill -9 at many moments of a fetch into a cache, while another process waits for the same image: that one gets it, and nothing stays
 * but the entry. With VDISTREAM_LONG=1 there are 150 rounds.
 */

import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { entry, expectImage, image, MiB } from '../support/cached-image.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { digestOf, imageOpener } from '../support/image-opener.ts';
import { roundsOf } from '../support/rounds.ts';
import { imageServer, stagingProcesses } from '../support/staging-process.ts';

const startProcess = stagingProcesses();
const ROUNDS = roundsOf({ inSuite: 8, long: 150 });
const SIGNALS: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGINT'];

test(
  'a fetch that is killed leaves the lock to who waits for it, and nothing in the folder that stays',
  async () => {
    // In parts, so that a kill comes in between.
    const { url } = await imageServer(image, async (response) => {
      for (let at = 0; at < image.length; at += 50_000) {
        response.write(image.subarray(at, at + 50_000));
        await sleep(20);
      }
      response.end();
    });
    const random = noise(2 * ROUNDS, 40);
    for (let round = 0; round < ROUNDS; round++) {
      const folder = testFolder();
      const [byte = 0, next = 0] = random.subarray(2 * round);
      const signal = SIGNALS[next % SIGNALS.length] ?? 'SIGKILL';
      const task = { does: 'cached', url, folder, size: MiB, digest: digestOf(image) };
      const killed = startProcess(task);
      await killed.said('owner');
      const other = startProcess(task);
      await sleep(byte);
      killed.child.kill(signal);
      expect({ round, outcome: await other.outcome() }).toEqual({ round, outcome: { result: digestOf(image).hex } });
      await killed.kill();
      const opener = imageOpener(image);
      await expectImage(opener, folder);
      expect({ round, opened: opener.opened(), names: readdirSync(folder) }).toEqual({ round, opened: 0, names: [entry] });
    }
    console.log(`fetches into a cache: ${ROUNDS} kills and signals`);
  },
  60_000 + ROUNDS * 20_000,
);
