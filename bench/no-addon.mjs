/**
 * What it costs to have no addon: `node bench/no-addon.mjs FILE [ROUNDS]`. FILE is a tar with a disk, best on a file system in memory. Its
 * compressed form and the disk are made next to it, and removed. Both ways in turn, each in a process of its own; prints medians, ratios and
 * the load.
 */

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { median, runTrial, stopTrial, warm } from './trial.mjs';

const VDISTREAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const [file = '', rounds = '3'] = process.argv.slice(2);
const [packed, disk] = [`${file}.no-addon.gz`, `${file}.no-addon.raw`];

/** @type {Readonly<Record<string, { source: string, argv: readonly string[] }>>} */
const ROWS = {
  'write, tar': { source: file, argv: ['write', file, disk] },
  'write --verify, tar': { source: file, argv: ['write', file, disk, '--verify'] },
  'write, tar.gz': { source: packed, argv: ['write', packed, disk] },
  'check, tar': { source: file, argv: ['check', file] },
  'check, tar.gz': { source: packed, argv: ['check', packed] },
};

/** @param {{ source: string, argv: readonly string[] }} row @param {'0' | '1'} native */
async function trial({ source, argv }, native) {
  rmSync(disk, { force: true });
  warm(source);
  return runTrial(['env', `VDISTREAM_NATIVE=${native}`, process.execPath, VDISTREAM, ...argv, '--quiet']);
}

async function bench() {
  execFileSync('bash', ['-c', 'gzip -6 -c "$1" > "$2"', 'bash', file, packed]);
  /** @type {Record<string, { with: import('./trial.mjs').Trial[], without: import('./trial.mjs').Trial[] }>} */
  const trials = Object.fromEntries(Object.keys(ROWS).map((name) => [name, { with: [], without: [] }]));
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, row] of Object.entries(ROWS)) {
      trials[name]?.with.push(await trial(row, '1'));
      trials[name]?.without.push(await trial(row, '0'));
    }
  }
  console.log(`to a file; medians of ${rounds} rounds; load ${loadavg()[0]?.toFixed(1)}`);
  console.log('                       addon    none    ratio   CPU: addon   none    ratio');
  for (const [name, { with: fast, without: slow }] of Object.entries(trials)) {
    const both = (/** @type {'seconds' | 'cpu'} */ what) => [fast, slow].map((side) => median(side.map((each) => each[what])));
    const columns = (/** @type {number[]} */ [a = 0, b = 0]) => `${a.toFixed(2)} s  ${b.toFixed(2)} s  ${(b / a).toFixed(2)} x`;
    console.log(`  ${name.padEnd(20)} ${columns(both('seconds'))}   ${' '.repeat(5)}${columns(both('cpu'))}`);
  }
}

for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));
process.on('exit', () => {
  stopTrial();
  for (const made of [packed, disk]) rmSync(made, { force: true });
});
if (file === '') throw new Error('usage: node bench/no-addon.mjs FILE.tar [ROUNDS]');
await bench();
