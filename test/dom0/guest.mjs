/** Runs in the guest: all tests, or those that the host selected. */

import { readFileSync } from 'node:fs';
import './guest/volumes.mjs';
import './guest/xvd.mjs';
import './guest/guards.mjs';
import './guest/faults.mjs';
import './guest/cancel.mjs';
import './guest/import.mjs';
import { runTests } from './guest/runner.mjs';

/** @type {{ only: string }} */
const { only } = JSON.parse(readFileSync('/work/run.json', 'utf8'));
await runTests((name) => name.includes(only));
