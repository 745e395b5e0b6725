/** Runs in the guest: the tests that the host selected. */

import { readFileSync } from 'node:fs';
import './guest/volumes.mjs';
import './guest/xvd.mjs';
import './guest/guards.mjs';
import './guest/content.mjs';
import './guest/faults.mjs';
import './guest/cancel.mjs';
import './guest/import.mjs';
import './guest/export.mjs';
import './guest/upload.mjs';
import { runTests } from './guest/runner.mjs';

/** @type {import('./payload.mjs').Selection} */
const { only, finished } = JSON.parse(readFileSync('/work/run.json', 'utf8'));
await runTests((name) => only.some((text) => name.includes(text)) && !finished.includes(name));
