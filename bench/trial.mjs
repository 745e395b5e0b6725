/** Trial: one command in its own processes, measured from its start until the last of them ends. */

import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const RUSAGE = fileURLToPath(new URL('rusage.py', import.meta.url));
const COMPLAINT = 2000;

/**
 * @typedef {object} Trial
 * @property {number} seconds  wall clock
 * @property {number} cpu  seconds, user and system, of all processes of the command
 * @property {number} rss  bytes, peak of the largest process
 * @property {Own} [own]  what vdistream reports itself
 *
 * @typedef {object} Own
 * @property {number} seconds  from the first call to the result: the rest is the start and the end of the process
 * @property {import('../src/index.ts').StageTimes} stages
 */

/** @type {import('node:child_process').ChildProcess | undefined} */
let running;

/** @param {readonly string[]} argv @returns {Promise<Trial>} */
export async function runTrial(argv) {
  // Its own process group, so that stopping the bench ends every process of a pipeline.
  const child = spawn('python3', [RUSAGE, ...argv], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  running = child;
  let out = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaint = (complaint + text).slice(-COMPLAINT);
  });
  await new Promise((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  running = undefined;
  const { status, result, ...trial } = JSON.parse(out || '{}');
  if (status !== 0) throw new Error(`${argv.join(' ')}\nexited with status ${status}:\n${complaint}`);
  return result?.stages === undefined ? trial : { ...trial, own: { seconds: result.seconds, stages: result.stages } };
}

export function stopTrial() {
  if (running?.pid === undefined) return;
  try {
    process.kill(-running.pid, 'SIGKILL');
  } catch {
    // It has just exited.
  }
}

/** The middle one, or the upper of two. @param {readonly number[]} values */
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** Reads a file once, so that a trial finds it in the page cache. @param {string} path */
export function warm(path) {
  const file = openSync(path, 'r');
  const buffer = Buffer.alloc(4 << 20);
  while (readSync(file, buffer) > 0);
  closeSync(file);
}

/** Evicts a file from the page cache. @param {string} path */
export function forget(path) {
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
}
