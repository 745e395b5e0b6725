/** Limits: what no program can beat on this machine, measured in the same run as everything else; rows.mjs defines a row. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shell } from './commands.mjs';

const SOURCE = fileURLToPath(new URL('copy-limit.c', import.meta.url));

export const COPY_LIMIT = 'limit: copy of the allocated bytes, tar';
export const COPY_EIGHT = 'limit: copy of the allocated bytes, eight times';
export const IGZIP = 'limit: igzip -dc to nowhere';
export const LIBDEFLATE = 'limit: libdeflate-gunzip to nowhere';

/** @type {string | undefined} */
let program;

/** Removed with this process. */
function ownFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Compiled once, into `folder` or one of its own. @param {string | undefined} folder */
function copyLimit(folder) {
  if (program !== undefined) return program;
  program = join(folder ?? ownFolder(), 'copy-limit');
  execFileSync('gcc', ['-O2', '-pthread', '-o', program, SOURCE]);
  return program;
}

/** As the program has them by default: bytes of a piece, and pieces at a time. */
const PIECE = 2 << 20;
const DEPTH = 8;

/**
 * 2 MiB pieces, eight at a time.
 * @param {string} tar @param {number} offset  of the VHD in it @param {string} target @param {string} [folder]  for the compiled program
 */
export const copyCommand = (tar, offset, target, folder) => [copyLimit(folder), tar, String(offset), target];

/** The same to `copies` parts of the target, each of `stride` bytes. @param {import('./images.mjs').Image} image @param {string} target */
const copiesCommand = ({ tar, memberOffset, copies, size }, target) => [
  ...copyCommand(tar, memberOffset, target),
  ...[PIECE, DEPTH, copies, size / copies].map(String),
];

/** @type {readonly import('./rows.mjs').Row[]} */
export const LIMIT_ROWS = [
  {
    name: COPY_LIMIT,
    kind: 'limit',
    reads: 'tar',
    images: ['realistic', 'sparse'],
    needs: ['gcc'],
    argv: (image, device) => copyCommand(image.tar, image.memberOffset, device),
  },
  {
    name: COPY_EIGHT,
    kind: 'limit',
    reads: 'tar',
    images: ['eight'],
    needs: ['gcc'],
    argv: copiesCommand,
  },
  {
    name: IGZIP,
    kind: 'limit',
    reads: 'gzip',
    images: ['realistic', 'sparse'],
    needs: ['igzip'],
    argv: (image) => shell('igzip -dc "$1" > /dev/null', image.gzip),
  },
  {
    name: LIBDEFLATE,
    kind: 'limit',
    reads: 'gzip',
    images: ['realistic'],
    needs: ['libdeflate-gunzip'],
    argv: (image) => shell('libdeflate-gunzip -c "$1" > /dev/null', image.gzip),
  },
];
