/** Report: writes the results like vitest's JSON report, for scripts/count-tests.mjs. */

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {{ name: string, passed: boolean, ms: number, message: string }} Result
 * @param {string} path @param {readonly Result[]} results
 */
export function writeReport(path, results) {
  const assertionResults = results.map(({ name, passed, ms, message }) => ({
    ancestorTitles: [],
    title: name,
    fullName: name,
    status: passed ? 'passed' : 'failed',
    duration: ms,
    failureMessages: passed ? [] : [message],
  }));
  const failed = results.filter(({ passed }) => !passed).length;
  const file = { name: fileURLToPath(new URL('guest.mjs', import.meta.url)), status: failed > 0 ? 'failed' : 'passed', assertionResults };
  const counts = { numTotalTests: results.length, numPassedTests: results.length - failed, numFailedTests: failed };
  writeFileSync(path, `${JSON.stringify({ success: failed === 0, ...counts, testResults: [file] })}\n`);
}
