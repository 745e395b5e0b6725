/**
 * A test runner for one process and one channel: tests run one after the other, in the order in which they were written. What
 * a test makes it registers with `after`; when it is over that is undone, the last first, and no device may be left.
 */

import { readdirSync, writeFileSync, writeSync } from 'node:fs';

/**
 * @typedef {object} Test
 * @property {(undo: () => unknown) => void} after
 */
/** @type {{ name: string, body: (t: Test) => unknown }[]} */
const tests = [];

/** Longer than any test takes, also where emulation is slow: it is the machine that hangs then, or vdistream. */
const LIMIT = 90_000;

/** @param {string} name @param {(t: Test) => unknown} body */
export const test = (name, body) => void tests.push({ name, body });

/** @param {import('../boot.mjs').Line} line */
const tell = (line) => void writeSync(1, `${JSON.stringify(line)}\n`);

/** @param {(name: string) => boolean} wanted */
export async function runTests(wanted) {
  for (const { name, body } of tests.filter((one) => wanted(one.name))) {
    tell({ is: 'start', name });
    const start = performance.now();
    const watch = setTimeout(() => hang(name), LIMIT);
    const problems = await runOne(body);
    clearTimeout(watch);
    const ms = Math.round(performance.now() - start);
    if (problems.length === 0) tell({ is: 'passed', name, ms });
    else tell({ is: 'failed', name, ms, message: problems.join('\n') });
  }
  tell({ is: 'end' });
}

/** @param {(t: Test) => unknown} body */
async function runOne(body) {
  /** @type {(() => unknown)[]} */
  const undo = [];
  /** @type {string[]} */
  const problems = [];
  const attempt = async (/** @type {() => unknown} */ work) => {
    try {
      await work();
    } catch (error) {
      problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  };
  await attempt(() => body({ after: (one) => void undo.push(one) }));
  for (const one of undo.reverse()) await attempt(one);
  const left = readdirSync('/sys/class/block').filter((name) => /^(?:dm-|xvd|loop)/.test(name));
  if (left.length > 0) problems.push(`left behind: ${left.join(', ')}`);
  return problems;
}

/** Says what waits for what on the console, and that is the end: who hangs in the kernel cannot be taken away. @param {string} name */
function hang(name) {
  writeFileSync('/proc/sys/kernel/printk', '7');
  writeFileSync('/proc/sysrq-trigger', 'w');
  tell({ is: 'hung', name, message: `${LIMIT / 1000} s are over` });
}
