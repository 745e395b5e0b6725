/**
 * Upload alone, next to an export of the same image to nowhere: `node bench/upload.mjs RAW [ROUNDS]`, as root. RAW is a raw disk, such as that of
 * the realistic image: it is copied into memory, and read through a read-only loop device. The service is a process of its own on
 * loopback, which shares the processors. Interleaved pairs; prints medians and the ratio within each pair.
 */

import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTrial, stopTrial } from './trial.mjs';

const VDISTREAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const SERVER = fileURLToPath(new URL('upload-server.py', import.meta.url));
const MiB = 2 ** 20;
const [raw = '', rounds = '3'] = process.argv.slice(2);

/** @typedef {import('./trial.mjs').Trial} Trial */

const FORMS = {
  vhd: ['--container=none'],
  tar: ['--container=tar', '--compress=none'],
  'tar.gz': ['--container=tar', '--compress=gzip'],
};

const ours = (/** @type {string[]} */ ...args) => [process.execPath, VDISTREAM, ...args, '-q', '--raw'];
/** @param {number[]} values */
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

async function startServer() {
  const server = spawn('python3', [SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => server.kill('SIGKILL'));
  const [line] = await once(server.stdout, 'data');
  return String(line).trim();
}

async function bench() {
  const folder = mkdtempSync('/dev/shm/vdistream-bench-upload-');
  const disk = join(folder, 'disk.raw');
  let device = '';
  process.on('exit', () => {
    stopTrial();
    if (device !== '') execFileSync('losetup', ['--detach', device]);
    rmSync(folder, { recursive: true, force: true });
  });
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));
  execFileSync('cp', ['--sparse=always', raw, disk]);
  device = execFileSync('losetup', ['--find', '--show', '--read-only', disk], { encoding: 'utf8' }).trim();
  const endpoint = await startServer();

  /** @type {Map<string, { exported: Trial, uploaded: Trial }[]>} */
  const pairs = new Map();
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, form] of Object.entries(FORMS)) {
      const exported = await runTrial(ours('export', ...form, device, '-o', 'null:'));
      const uploaded = await runTrial(ours('upload', ...form, device, `glance:${randomUUID()}`, `--glance=${endpoint}`));
      pairs.set(name, [...(pairs.get(name) ?? []), { exported, uploaded }]);
      process.stderr.write(`round ${round + 1} of ${rounds}: ${name}: ${exported.seconds.toFixed(2)} s, ${uploaded.seconds.toFixed(2)} s\n`);
    }
  }
  report(pairs);
  process.exit();
}

/** @param {Map<string, { exported: Trial, uploaded: Trial }[]>} pairs */
function report(pairs) {
  const row = (/** @type {Trial[]} */ trials) =>
    `${median(trials.map(({ seconds }) => seconds)).toFixed(2)} s  CPU ${median(trials.map(({ cpu }) => cpu)).toFixed(2)} s`;
  for (const [name, each] of pairs) {
    const ratio = median(each.map(({ exported, uploaded }) => exported.seconds / uploaded.seconds));
    const rss = Math.max(...each.map(({ uploaded }) => uploaded.rss));
    console.log(`${name.padEnd(6)}  export ${row(each.map(({ exported }) => exported))}   upload ${row(each.map(({ uploaded }) => uploaded))}   at 0.9: ${ratio.toFixed(2)}   memory below 200 MiB: ${Math.ceil(rss / MiB)} MiB`);
  }
  console.log(`load ${loadavg()[0]?.toFixed(1)}`);
}

if (raw === '') throw new Error('usage: node bench/upload.mjs RAW [ROUNDS]');
await bench();
