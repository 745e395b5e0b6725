/** A folder on a file system of its own that is soon full, gone after the test. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface TinyFolder {
  readonly path: string;
  /** Bytes, including those of files without a name. */
  room(): number;
  makeReadOnly(): void;
}

export function tinyFolder(size: number): TinyFolder {
  const path = mkdtempSync(join(tmpdir(), 'vdistream-tiny-'));
  onTestFinished(() => rmdirSync(path));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'vdistream-test', path]);
  onTestFinished(() => void execFileSync('umount', ['--lazy', path])); // called before the other one
  return {
    path,
    room() {
      const { bavail, bsize } = statfsSync(path);
      return bavail * bsize;
    },
    makeReadOnly: () => void execFileSync('mount', ['-o', 'remount,ro', path]),
  };
}

/** A folder with `promised` bytes, of which the underlying storage keeps only `size`: a write succeeds, and is lost on its way to the disk. */
export function thinFolder(size: number, promised: number): string {
  const storage = join(tinyFolder(size).path, 'storage');
  execFileSync('truncate', ['--size', String(promised), storage]);
  execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', '-E', 'lazy_itable_init=1,nodiscard', storage]);
  const path = mkdtempSync(join(tmpdir(), 'vdistream-thin-'));
  onTestFinished(() => rmdirSync(path));
  execFileSync('mount', ['-o', 'loop', storage, path]);
  onTestFinished(() => void execFileSync('umount', ['--lazy', path])); // which detaches its loop device too
  return path;
}
