/** The package as a user gets it: packed, and installed with install scripts blocked. */

import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

export interface InstalledPackage {
  /** Of the user; the caller removes it. */
  readonly folder: string;
  /** Of the package in it. */
  readonly installed: string;
  /** A copy of the checkout, which was packed. */
  readonly checkout: string;
  readonly tarball: string;
  /** The files in the tarball, sorted. */
  readonly packed: readonly string[];
}

export async function installPackage(): Promise<InstalledPackage> {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-package-'));
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  // `npm pack` changes files of the checkout, which other tests are using.
  const checkout = join(folder, 'checkout');
  const left = new Set(['node_modules', '.git', 'test', 'prebuilds', 'samples'].map((name) => join(root, name)));
  cpSync(root, checkout, { recursive: true, preserveTimestamps: true, filter: (path) => !left.has(path) });
  symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
  const pack = ['pack', '--json', '--foreground-scripts=false', '--pack-destination', folder];
  const { stdout } = await run('npm', pack, { cwd: checkout });
  const [{ filename, files }] = JSON.parse(stdout);
  const tarball = join(folder, filename);
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline'];
  await run('npm', ['install', '--ignore-scripts', ...quiet, tarball], { cwd: folder });
  const packed = files.map((file: { path: string }) => file.path).sort();
  return { folder, installed: join(folder, 'node_modules/vdistream'), checkout, tarball, packed };
}
