/**
 * Prints the last line of CI, "N passed, N failed", from vitest's JSON reports and the names of failed steps:
 * `node count-tests.mjs REPORT.json … [STEP …]`. A file that cannot be loaded, a skipped test and a failed step count as failures too. Exits
 * with 1 if there are any.
 */

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** @typedef {{ fullName: string, status: string }} Assertion */
/** @typedef {{ name: string, status: string, assertionResults: Assertion[] }} TestFile */

const isReport = (/** @type {string} */ argument) => argument.endsWith('.json');
const reports = process.argv.slice(2).filter(isReport);
const steps = process.argv.slice(2).filter((argument) => !isReport(argument));
/** @type {TestFile[]} */
const files = reports.filter((report) => existsSync(report)).flatMap((report) => JSON.parse(readFileSync(report, 'utf8')).testResults);
const tests = files.flatMap((file) => file.assertionResults.map((test) => ({ file: file.name, ...test })));

const passed = tests.filter((test) => test.status === 'passed');
const failed = tests.filter((test) => test.status === 'failed');
const skipped = tests.filter((test) => test.status !== 'passed' && test.status !== 'failed');
const broken = files.filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'));
// A test step fails when its tests do, so it counts only if nothing else failed.
const others = steps.filter((step) => !['tests', 'dom0'].includes(step) || failed.length + broken.length === 0);

const root = fileURLToPath(new URL('..', import.meta.url));
const say = (/** @type {string} */ what, /** @type {string} */ name) => console.log(`${what}: ${name.replace(root, '')}`);
for (const test of failed) say('failed', `${test.file} > ${test.fullName}`);
for (const test of skipped) say('skipped', `${test.file} > ${test.fullName}`);
for (const file of broken) say('not loaded', file.name);
for (const step of others) say('failed step', step);
if (tests.length === 0) say('failed', 'no test was run');

const failures = failed.length + skipped.length + broken.length + others.length + (tests.length === 0 ? 1 : 0);
console.log(`${passed.length} passed, ${failures} failed`);
process.exitCode = failures > 0 ? 1 : 0;
