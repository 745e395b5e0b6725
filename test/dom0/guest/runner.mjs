/**
 * A test runner for one process and one channel: tests run one after the other, in source order. A test registers clean-ups with `after`;
 * they run when it ends, the last first, and no device may be left.
 */

import { readdirSync, writeFileSync, writeSync } from 'node:fs';

/**
 * @typedef {object} Test
 * @property {(undo: () => unknown) => void} after
 */
/** @type {{ name: string, body: (t: Test) => unknown }[]} */
const tests = [];

/** Milliseconds; longer than any step of a test needs, even with slow emulation, so the machine or vdistream hangs. */
const LIMIT = 150_000;

/** Of the running test; undefined in the process of the stand-in toolstack, which runs no tests. @type {NodeJS.Timeout | undefined} */
let watch;

/** @param {string} name @param {(t: Test) => unknown} body */
export const test = (name, body) => void tests.push({ name, body });

/** @param {import('../boot.mjs').Line} line */
const report = (line) => void writeSync(1, `${JSON.stringify(line)}\n`);

/** A test has done one thing: a program has ended. Only time without such progress counts as a hang. */
export function step() {
  if (watch === undefined) return;
  watch.refresh();
  report({ is: 'step' });
}

/** @param {(name: string) => boolean} wanted */
export async function runTests(wanted) {
  for (const { name, body } of tests.filter((candidate) => wanted(candidate.name))) {
    report({ is: 'start', name });
    const start = performance.now();
    watch = setTimeout(() => hang(name), LIMIT);
    const problems = await runOne(body);
    clearTimeout(watch);
    watch = undefined;
    const ms = Math.round(performance.now() - start);
    if (problems.length === 0) report({ is: 'passed', name, ms });
    else report({ is: 'failed', name, ms, message: problems.join('\n') });
  }
  report({ is: 'end' });
}

/** @param {(t: Test) => unknown} body */
async function runOne(body) {
  /** @type {(() => unknown)[]} */
  const cleanUps = [];
  /** @type {string[]} */
  const problems = [];
  const attempt = async (/** @type {() => unknown} */ work) => {
    try {
      await work();
    } catch (error) {
      problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  };
  await attempt(() => body({ after: (cleanUp) => void cleanUps.push(cleanUp) }));
  for (const cleanUp of cleanUps.reverse()) await attempt(cleanUp);
  const left = readdirSync('/sys/class/block').filter((name) => /^(?:dm-|xvd|loop)/.test(name));
  if (left.length > 0) problems.push(`left behind: ${left.join(', ')}`);
  return problems;
}

/** Prints blocked tasks on the console, and gives up: a process that hangs in the kernel cannot be killed. @param {string} name */
function hang(name) {
  writeFileSync('/proc/sys/kernel/printk', '7');
  writeFileSync('/proc/sysrq-trigger', 'w');
  report({ is: 'hung', name, message: `no progress for ${LIMIT / 1000} s` });
}
