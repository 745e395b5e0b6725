/** Machine: facts about the machine that a run was measured on, and the programs it has. */

import { execFileSync } from 'node:child_process';
import os from 'node:os';

/** Programs that the bench itself needs, whatever it compares. */
const PROGRAMS = ['bash', 'blockdev', 'cmp', 'dd', 'fallocate', 'gzip', 'losetup', 'mkfs.ext4', 'python3', 'tar'];

/** @param {string} program */
export function hasProgram(program) {
  try {
    execFileSync('bash', ['-c', 'command -v "$1"', 'bash', program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name */
export async function hasModule(name) {
  return await import(name).then(
    () => true,
    () => false,
  );
}

/** Why the bench cannot run here, as a sentence, or undefined. */
export function obstacle() {
  if (process.platform !== 'linux') return 'the bench needs Linux: it writes to a loop device';
  if (process.getuid?.() !== 0) return 'the bench needs root: it creates a loop device and writes to it';
  const missing = PROGRAMS.filter((program) => !hasProgram(program));
  return missing.length > 0 ? `the bench needs ${missing.join(', ')}, not found on this machine` : undefined;
}

export function machineFacts() {
  return {
    date: new Date().toISOString(),
    cores: os.availableParallelism(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    memory: os.totalmem(),
    /** Above zero, something else was running: check the spread before trusting a median. */
    loadBefore: Number(os.loadavg()[0]?.toFixed(2)),
    kernel: os.release(),
    node: process.version,
    programs: ['tar', 'gzip', 'dd', 'qemu-img', 'igzip'].flatMap((program) => (hasProgram(program) ? [versionOf(program)] : [])),
  };
}

/** @param {string} program */
function versionOf(program) {
  return execFileSync(program, ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? program;
}
