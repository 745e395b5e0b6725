/**
 * Turns: `node --import ./bench/turns.mjs PROGRAM` measures the CPU time of the main thread between two turns of its event loop, and appends the
 * longest, in milliseconds, to the file VDISTREAM_BENCH_TURNS at the end. Time in which other programs have the core does not count.
 */

import { appendFileSync, openSync, readSync } from 'node:fs';

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

// Loading the program is not a turn.
setImmediate(turn).unref();
if (into !== undefined) process.on('exit', () => appendFileSync(into, `${longest.toFixed(1)}\n`));
