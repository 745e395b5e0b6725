/** A run of many imports that is killed in the middle and started again: every good image becomes exactly one VDI. */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { callsFromNow, commandLine, newPlace, type Place, settled } from '../support/import-host.ts';
import { bytesOf, expectDisk } from '../support/imported.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');
const MiB = 2 ** 20;

let place: Place;
beforeAll(async () => {
  place = await newPlace();
});
afterAll(() => place?.host.stop());

const GOOD = 18;
/** Their lines. */
const DAMAGED = 5;
const MISSING = 14;

interface Listed {
  readonly path: string;
  readonly content: Buffer;
}

/** 20 images, of which every other one is compressed. One is damaged, which shows at its end, and one is missing. */
function listOfTwenty(folder: string): { readonly file: string; readonly good: readonly Listed[] } {
  const good: Listed[] = [];
  const lines = Array.from({ length: GOOD + 2 }, (_, index) => {
    const line = index + 1;
    const content = Buffer.concat([noise(2 * MiB, line), Buffer.alloc(2 * MiB + 512 * line)]);
    const vhd = dynamicVhd({ size: content.length, blocks: new Map([[0, content.subarray(0, 2 * MiB)]]) });
    const stored = line % 2 === 1 ? gzipSync(vhd, { level: 1 }) : vhd;
    if (line === DAMAGED) stored.writeInt32LE(~stored.readInt32LE(stored.length - 8), stored.length - 8);
    const path = join(folder, `image ${line}.vhd`);
    if (line !== MISSING) writeFileSync(path, stored);
    if (line !== MISSING && line !== DAMAGED) good.push({ path, content });
    return line % 3 === 0 ? JSON.stringify({ image: path, name: `disk ${line}` }) : `"${path}"`;
  });
  const file = join(folder, 'images.txt');
  writeFileSync(file, `# twenty images\n${lines.join('\n')}\n`);
  return { file, good };
}

/** uuid by the path of the image. */
const reported = (stdout: string): Map<string, string> =>
  new Map(
    stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line): [string, string] => {
        const [, uuid = '', path = ''] = /^(\S+) {2}(.*?)(?: {2}\(skipped.*\))?$/.exec(line) ?? [];
        return [path, uuid];
      }),
  );

test('twenty images with two bad ones, killed and started again, become eighteen VDIs', async () => {
  const { host, sr } = place;
  const { file, good } = listOfTwenty(testFolder());
  const args = ['import', '--list', file, '--sr', sr, '--jobs', '3'];

  const called = await callsFromNow(host);
  await host.fault({ command: 'vbd-plug', nth: 9, what: 'late' });
  const { child, ended } = commandLine(place, args);
  await called('vbd-plug', 9);
  child.kill('SIGKILL');
  const killed = await ended;
  await host.release();
  await settled(host);

  const before = reported(killed.stdout);
  const leftOvers = host.state().vdi.filter(({ tags }) => tags.length > 0);
  expect(leftOvers.length).toBeGreaterThan(0);
  expect(before.size).toBeGreaterThanOrEqual(4);
  expect(before.size).toBeLessThan(9);

  const resumed = await commandLine(place, args).ended;
  const after = reported(resumed.stdout);
  expect({ status: resumed.status, images: [...after.keys()].sort() }).toEqual({
    status: 202,
    images: good.map(({ path }) => path).sort(),
  });
  for (const [path, uuid] of before) expect(after.get(path)).toBe(uuid);
  expect(new Set(after.values()).size).toBe(GOOD);
  for (const { path, content } of good) {
    const uuid = after.get(path) ?? '';
    expectDisk(bytesOf(host, uuid).subarray(0, content.length), content);
    expect(host.state().vdi.find((vdi) => vdi.uuid === uuid)?.tags).toEqual([]);
  }
  // Those that had finished may not all have been reported.
  const [, imported = '', skipped = ''] = /^(\d+) imported, (\d+) skipped, 2 failed$/m.exec(resumed.stderr) ?? [];
  expect(Number(imported) + Number(skipped)).toBe(GOOD);
  expect(Number(skipped)).toBeGreaterThanOrEqual(before.size);
  expect(resumed.stderr).toMatch(
    new RegExp(`^vdistream: line ${DAMAGED + 1}, .*image ${DAMAGED}\\.vhd: .*\n.*\\(COMPRESSION_CHECKSUM\\)$`, 'm'),
  );
  expect(resumed.stderr).toMatch(new RegExp(`^vdistream: line ${MISSING + 1}, .*image ${MISSING}\\.vhd: .*\n.*\\(SOURCE_OPEN\\)$`, 'm'));

  const third = await commandLine(place, args).ended;
  expect(third.status).toBe(202);
  expect(reported(third.stdout)).toEqual(after);
  expect(third.stderr).toContain('\n0 imported, 18 skipped, 2 failed\n');
  assertClean(host, { vdis: [...after.values()] });
  // A record that its owner could not remove stays for a day.
  expect(readdirSync(place.xe.records ?? '').length).toBeLessThanOrEqual(3);
});
