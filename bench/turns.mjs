/**
 * Turns: `node --import turns.mjs PROGRAM` measures the CPU time of the main thread between two turns of its event loop, and appends the
 * longest, in milliseconds, to the file VDISTREAM_BENCH_TURNS at the end. Time in which other programs have the core does not count, nor do
 * turns before the program opens its first file: until then it is being loaded.
 */

import fs, { appendFileSync, openSync, readSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const into = process.env.VDISTREAM_BENCH_TURNS;
// Nanoseconds on a core (Documentation/scheduler/sched-stats.rst), as of the last tick of the kernel, at most 10 ms ago.
const file = openSync('/proc/self/schedstat', 'r');
const text = Buffer.alloc(64);

function cpuMilliseconds() {
  readSync(file, text, 0, text.length, 0);
  return Number.parseInt(text.toString('latin1'), 10) / 1e6;
}

let last = Number.POSITIVE_INFINITY;
let longest = 0;

function turn() {
  const now = cpuMilliseconds();
  longest = Math.max(longest, now - last);
  last = now;
  // Keeps neither the process alive nor the loop from waiting.
  setImmediate(turn).unref();
}

const { open } = fs.promises;
fs.promises.open = (...args) => {
  fs.promises.open = open;
  syncBuiltinESMExports();
  setImmediate(turn).unref();
  return open(...args);
};
syncBuiltinESMExports();
if (into !== undefined) process.on('exit', () => appendFileSync(into, `${longest.toFixed(1)}\n`));
