/** The machine's files: built once by build.sh, and rebuilt when one of its inputs changes. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Programs needed to build the machine and its payload, with their packages. @type {Record<string, string>} */
const PROGRAMS = {
  'apt-get': 'apt',
  tar: 'tar',
  xz: 'xz-utils',
  mke2fs: 'e2fsprogs',
  'qemu-img': 'qemu-utils',
  'g++': 'g++',
};
const SCRIPTS = ['build.sh', 'init.sh', 'hotplug.sh'];
const script = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

/** The machine could not be built or started, which says nothing about vdistream. */
export class MachineError extends Error {}

/**
 * The folder with the files that build.sh lists, named after a hash of its inputs (packages, scripts, Node). `cache` keeps only the latest.
 * Throws a MachineError.
 * @param {string} cache @param {(line: string) => void} say
 */
export function prepareMachine(cache, say) {
  if (process.getuid?.() !== 0) throw new MachineError('building it needs root (chroot)');
  const folders = (process.env.PATH ?? '').split(delimiter);
  const missing = Object.keys(PROGRAMS).filter((program) => !folders.some((folder) => existsSync(join(folder, program))));
  if (missing.length > 0) {
    throw new MachineError(`missing: ${missing.map((program) => `${program} (package ${PROGRAMS[program]})`).join(', ')}`);
  }
  const hash = createHash('sha256').update(build(['versions']));
  for (const file of [...SCRIPTS.map(script), process.execPath]) hash.update(readFileSync(file));
  const name = hash.digest('hex').slice(0, 16);
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;

  say('building the machine: Xen, a Debian kernel and a root file system');
  mkdirSync(cache, { recursive: true });
  const unfinished = mkdtempSync(join(cache, 'unfinished-'));
  const discard = () => rmSync(unfinished, { recursive: true, force: true });
  process.once('exit', discard);
  build(['into', unfinished, process.execPath]);
  for (const old of readdirSync(cache, { withFileTypes: true })) {
    if (old.isDirectory() && /^[0-9a-f]{16}$/.test(old.name)) rmSync(join(cache, old.name), { recursive: true });
  }
  // Another run may have finished first.
  if (existsSync(folder)) discard();
  else renameSync(unfinished, folder);
  process.off('exit', discard);
  return folder;
}

/** @param {readonly string[]} args */
function build(args) {
  try {
    return execFileSync('nice', ['bash', script('build.sh'), ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 24,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    const output = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new MachineError(`build.sh ${args[0]} failed; it needs Debian's package lists (apt-get update)\n${output}`, { cause: error });
  }
}

/** The emulator, with the paths to its files and libraries if it is not installed on the host. @param {string} machine */
export function emulator(machine) {
  const root = join(machine, 'qemu');
  if (!existsSync(join(root, 'usr/bin/qemu-system-x86_64'))) return { command: ['qemu-system-x86_64'], env: process.env };
  const folders = readdirSync(join(root, 'usr/lib')).filter((name) => name.endsWith('-linux-gnu'));
  const libraries = folders.flatMap((name) => [join(root, 'usr/lib', name), join(root, 'lib', name)]);
  return {
    command: [join(root, 'usr/bin/qemu-system-x86_64'), '-L', join(root, 'usr/share/qemu'), '-L', join(root, 'usr/share/seabios')],
    env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') },
  };
}
