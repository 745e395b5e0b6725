/** Commands: command lines for the rows. */

import { fileURLToPath } from 'node:url';

const VDISTREAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

/** The rows write to one device again and again, so its content is no reason to refuse. @param {...string} args */
export const ours = (...args) => [process.execPath, VDISTREAM, 'write', '-q', '--json', '--force=content', ...args];

const SIDE_BY_SIDE = fileURLToPath(new URL('side-by-side.mjs', import.meta.url));

/** All copies of the image at the same time, in one process. @param {import('./images.mjs').Image} image @param {string} device */
export const sideBySide = ({ tar, copies, size }, device) => [
  process.execPath,
  SIDE_BY_SIDE,
  tar,
  device,
  String(copies),
  String(size / copies),
];

/** @param {string} command  with $1, $2, $3 for the arguments @param {...string} args */
export const shell = (command, ...args) => ['bash', '-o', 'pipefail', '-c', command, 'bash', ...args];
