/** Commands: command lines for the rows. */

import { fileURLToPath } from 'node:url';

const VDISTREAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** The rows write to one device again and again, so its content is no reason to refuse. @param {...string} args */
export const ours = (...args) => [process.execPath, VDISTREAM, 'write', '-q', '--json', '--force=content', ...args];

/** @param {string} command  with $1, $2, $3 for the arguments @param {...string} args */
export const shell = (command, ...args) => ['bash', '-o', 'pipefail', '-c', command, 'bash', ...args];
