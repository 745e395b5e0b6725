/** Commands: command lines for the rows. */

import { fileURLToPath } from 'node:url';

const VDISTREAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** @param {...string} args */
export const ours = (...args) => [process.execPath, VDISTREAM, 'write', '-q', ...args];

/** @param {string} command  with $1, $2, $3 for the arguments @param {...string} args */
export const shell = (command, ...args) => ['bash', '-o', 'pipefail', '-c', command, 'bash', ...args];
