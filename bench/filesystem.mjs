/** Filesystem: an ext4 full of this machine's own files, as the raw disk of a realistic image. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const FOLDERS = ['/usr/bin', '/usr/lib', '/usr/share', '/usr/include', '/usr/local'];

/**
 * Creates `path`, a sparse file of `size` bytes with at least `content` bytes of files, and returns their number.
 * @param {string} path @param {{ size: number, content: number }} options
 */
export function makeFilesystem(path, { size, content }) {
  const { files, rounds } = choose(content);
  const folder = mkdtempSync(join(dirname(path), 'files-'));
  try {
    for (let round = 0; round < rounds; round++) {
      const into = join(folder, `copy-${round}`);
      mkdirSync(into);
      const copy = 'tar -cf - --no-recursion --null -T - | tar -xf - -C "$1"';
      execFileSync('bash', ['-o', 'pipefail', '-c', copy, 'copy', into], {
        cwd: '/',
        input: files.map((file) => `${file.slice(1)}\0`).join(''),
        stdio: ['pipe', 'ignore', 'inherit'],
      });
    }
    rmSync(path, { force: true });
    execFileSync('truncate', ['-s', String(size), path]);
    execFileSync('mkfs.ext4', ['-q', '-F', '-d', folder, path], { stdio: ['ignore', 'ignore', 'inherit'] });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return files.length * rounds;
}

/**
 * Files of `content` bytes in total, and how often to copy them if the machine has fewer. Sorted by a hash of their names, to mix
 * programs, libraries, text and pictures as on the machine.
 * @param {number} content
 */
function choose(content) {
  const found = FOLDERS.flatMap(filesUnder)
    .map((path) => ({ path, key: createHash('sha1').update(path).digest('hex') }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  const files = [];
  let bytes = 0;
  for (const { path } of found) {
    if (bytes >= content) break;
    const size = sizeOf(path);
    if (size === 0) continue;
    bytes += size;
    files.push(path);
  }
  if (bytes === 0) throw new Error(`no files to make an image from in ${FOLDERS.join(', ')}`);
  return { files, rounds: Math.ceil(content / bytes) };
}

/** @param {string} folder @returns {string[]} */
function filesUnder(folder) {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [];
  }
}

/** @param {string} path */
function sizeOf(path) {
  try {
    return statSync(path).size;
  } catch {
    return 0; // gone, or not readable
  }
}
