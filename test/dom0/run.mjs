#!/usr/bin/env node
/**
 * `npm run test:dom0`: boots a real Xen with a Debian Dom0 in an emulator, where vdistream writes to logical volumes, and to /dev/xvda, which
 * is blkfront on blkback.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { boot } from './boot.mjs';
import { MachineError, prepareMachine } from './machine.mjs';
import { makePayload, missing } from './payload.mjs';
import { writeReport } from './report.mjs';

const HELP = `Usage: npm run test:dom0 -- [OPTIONS]

  -t, --timeout SECONDS  without any sign of progress; 300 by default
  --only TEXT            only tests with TEXT in their names; may be repeated
  --report FILE          write the results to FILE in vitest's JSON format
  --console              show the console of the machine, too

The machine is kept in $VDISTREAM_DOM0_DIR, or else in node_modules/.cache/vdistream-dom0. Needs root.
Exit status: 0 all passed, 1 a test failed, 125 no machine: it could not be built or started, hung or crashed, twice.
The second time, tests that have a result are not run again.
`;

/** Exit status of a run without a result. */
const NO_MACHINE = 125;
const TAIL = 60;

/** @typedef {import('./report.mjs').Result} Result */

const print = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
const say = (/** @type {string} */ line) => print(`dom0: ${line}`);
const show = (/** @type {string} */ line) => print(`      | ${line}`);
const { values: options } = parseArgs({
  options: {
    timeout: { type: 'string', short: 't', default: '300' },
    only: { type: 'string', multiple: true, default: [''] },
    report: { type: 'string' },
    console: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const patience = Number(options.timeout) * 1000;

if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
if (!(patience > 0)) fail('--timeout must be a number of seconds');
const unbuilt = missing();
if (unbuilt !== undefined) fail(unbuilt);

const started = Date.now();
const folder = mkdtempSync(join(tmpdir(), 'vdistream-dom0-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));
// Results of an earlier run must not pass for those of this one.
if (options.report !== undefined) rmSync(options.report, { force: true });

const cache = resolve(
  process.env.VDISTREAM_DOM0_DIR ?? fileURLToPath(new URL('../../node_modules/.cache/vdistream-dom0', import.meta.url)),
);
/** Of all boots. @type {Result[]} */
const results = [];

const first = await attempt();
let last = first;
if (first.broken !== undefined) {
  complain(first, `trying once more; tests with a result, which are not run again: ${results.length}`);
  last = await attempt();
}
const { broken, running } = last;
if (broken !== undefined) {
  // If it breaks twice in the same test, that is no coincidence: the test is to blame.
  const isToBlame = running !== undefined && running === first.running;
  complain(last, isToBlame ? 'in the same test as before, so that test has failed' : 'giving up: the remaining tests have no result');
  if (isToBlame) results.push({ name: running, passed: false, ms: 0, message: `the machine broke twice: ${broken}` });
  else if (results.every(({ passed }) => passed)) process.exit(NO_MACHINE);
}
if (results.length === 0) fail(`no test has "${options.only.join('" or "')}" in its name`);

if (options.report !== undefined) writeReport(options.report, results);
const failed = results.filter(({ passed }) => !passed);
for (const { name, message } of failed) say(`failed: ${name}\n${message.replace(/^/gm, '  ')}`);
say(`finished in ${seconds(Date.now() - started)}`);
say(`${results.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;

/** Runs the tests that have no result yet. @returns {Promise<import('./boot.mjs').Life>} */
async function attempt() {
  try {
    const machine = prepareMachine(cache, say);
    const payload = makePayload(folder, { only: options.only, finished: results.map(({ name }) => name) });
    const born = Date.now();
    let booted = false;
    say('booting');
    const life = await boot(machine, {
      folder,
      payload,
      patience,
      ...(options.console ? { onConsole: show } : {}),
      onLine({ is, name = '', ms = 0, message = '' }) {
        if (is === 'start' && !booted) say(`booted in ${seconds(Date.now() - born)}`);
        booted = true;
        if (is !== 'passed' && is !== 'failed') return;
        results.push({ name, passed: is === 'passed', ms, message });
        print(`${is === 'passed' ? 'ok    ' : 'not ok'} ${name} (${seconds(ms)})`);
        if (is === 'failed') print(message.replace(/^/gm, '  '));
      },
    });
    writeFileSync(join(cache, 'console.log'), `${life.console.join('\n')}\n`);
    return life;
  } catch (error) {
    if (error instanceof MachineError) return { broken: error.message, console: [] };
    throw error;
  }
}

/** @param {import('./boot.mjs').Life} life @param {string} consequence */
function complain({ broken, running, console }, consequence) {
  const where = running === undefined ? '' : `, during: ${running}`;
  say(`${console.length > 0 ? 'THE MACHINE BROKE' : 'NO MACHINE'} (this is not a test result)${where}`);
  say(`${broken}`);
  console.slice(-TAIL).forEach(show);
  say(consequence);
}

/** @param {string} reason @returns {never} */
function fail(reason) {
  process.stderr.write(`dom0: ${reason}\n`);
  process.exit(1);
}

function seconds(/** @type {number} */ ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}
