/**
 * Copies Debian's libisal.so.2 and its licence to their places in the package, prebuilds/<platform>-<arch>.libisal.*: from the package
 * libisal2 if it is installed, else from its archive. Run it once on each architecture before publishing. On a system that is not Debian,
 * the package works without it; `--require` makes that an error.
 */

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const prebuilds = fileURLToPath(new URL('../prebuilds/', import.meta.url));
const place = (/** @type {string} */ end) => join(prebuilds, `${process.platform}-${process.arch}.libisal.${end}`);

/** The files of the package. @returns {string[] | undefined} */
function installed() {
  try {
    return execFileSync('dpkg', ['-L', 'libisal2'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n');
  } catch {
    return undefined;
  }
}

/** The files of the package after it was downloaded to `folder`. @param {string} folder */
function downloaded(folder) {
  execFileSync('apt-get', ['download', '-qq', 'libisal2'], { cwd: folder, stdio: 'inherit' });
  const archive = readdirSync(folder).find((name) => name.endsWith('.deb')) ?? '';
  execFileSync('dpkg-deb', ['-x', archive, 'files'], { cwd: folder });
  return readdirSync(join(folder, 'files'), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, 'files', name));
}

/** @param {string[]} files */
function copy(files) {
  const library = files.find((path) => path.endsWith('/libisal.so.2') && existsSync(path));
  const licence = files.find((path) => path.endsWith('/libisal2/copyright'));
  if (library === undefined || licence === undefined) throw new Error('the package libisal2 has no libisal.so.2, or no copyright file');
  mkdirSync(prebuilds, { recursive: true });
  copyFileSync(library, place('so.2'));
  copyFileSync(licence, place('copyright'));
}

const folder = mkdtempSync(join(tmpdir(), 'vdistream-isal-'));
try {
  copy(installed() ?? downloaded(folder));
} catch (error) {
  if (process.argv.includes('--require')) throw error;
  console.warn(`The package will not contain ISA-L: ${error instanceof Error ? error.message : error}`);
} finally {
  rmSync(folder, { recursive: true });
}
