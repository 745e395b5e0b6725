/**
 * Upload alone, next to an export of the same image to nowhere, and to SHA-512 of as many bytes, which no upload that compares its checksum can
 * be faster than: `node bench/upload.mjs RAW [ROUNDS]`, as root. RAW is a raw disk, such as that of the realistic image: it is copied
 * into memory, and read through a read-only loop device. The service is a process of its own on loopback, which shares the processors.
 * Interleaved; prints medians, and those of the ratios within each round.
 */

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { diskInMemory } from './device.mjs';
import { median, runTrial } from './trial.mjs';

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
const HASH = `
const hash = require('node:crypto').createHash('sha512');
const bytes = Buffer.alloc(2 ** 20, 5);
for (let left = Number(process.argv[1]); left > 0; left -= bytes.length) hash.update(bytes);`;

/** @typedef {{ exported: Trial, uploaded: Trial, hashed: Trial }} Round */

async function startServer() {
  const server = spawn('python3', [SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => server.kill('SIGKILL'));
  const [line] = await once(server.stdout, 'data');
  return String(line).trim();
}

async function bench() {
  const { device } = diskInMemory(raw);
  const endpoint = await startServer();

  /** @type {Map<string, Round[]>} */
  const trials = new Map();
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, form] of Object.entries(FORMS)) {
      const exported = await runTrial(ours('export', ...form, device, '-o', 'null:'));
      const image = randomUUID();
      const uploaded = await runTrial(ours('upload', ...form, device, `glance:${image}`, `--glance=${endpoint}`));
      const { size } = Object(await (await fetch(`${endpoint}/v2/images/${image}`)).json());
      const hashed = await runTrial([process.execPath, '-e', HASH, String(size)]);
      trials.set(name, [...(trials.get(name) ?? []), { exported, uploaded, hashed }]);
      const seconds = [exported, uploaded, hashed].map((trial) => `${trial.seconds.toFixed(2)} s`);
      process.stderr.write(`round ${round + 1} of ${rounds}: ${name}: ${seconds.join(', ')}\n`);
    }
  }
  report(trials);
  process.exit();
}

/** @param {Map<string, Round[]>} trials */
function report(trials) {
  for (const [form, each] of trials) {
    const row = (/** @type {string} */ name, /** @type {Trial[]} */ own) => {
      const [seconds, cpu] = [median(own.map((trial) => trial.seconds)), median(own.map((trial) => trial.cpu))];
      console.log(`${form.padEnd(6)} ${name.padEnd(26)} ${seconds.toFixed(2)} s  CPU ${cpu.toFixed(2)} s`);
    };
    const ratio = (/** @type {(round: Round) => number} */ limit) =>
      median(each.map((round) => limit(round) / round.uploaded.seconds)).toFixed(2);
    row(
      'export to null:',
      each.map(({ exported }) => exported),
    );
    row(
      'limit: SHA-512 on one core',
      each.map(({ hashed }) => hashed),
    );
    row(
      'upload',
      each.map(({ uploaded }) => uploaded),
    );
    console.log(`at 0.9 of the export: ${ratio(({ exported }) => exported.seconds)}
at 0.9 of the slower of both: ${ratio(({ exported, hashed }) => Math.max(exported.seconds, hashed.seconds))}`);
  }
  const rss = Math.max(...[...trials.values()].flat().map(({ uploaded }) => uploaded.rss));
  console.log(`memory below 200 MiB: ${Math.ceil(rss / MiB)} MiB\nload ${loadavg()[0]?.toFixed(1)}`);
}

if (raw === '') throw new Error('usage: node bench/upload.mjs RAW [ROUNDS]');
await bench();
