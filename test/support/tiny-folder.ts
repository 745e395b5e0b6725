/** A folder on a file system of its own that is soon full, gone after the test. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export interface TinyFolder {
  readonly path: string;
  /** Bytes; what a file without a name takes counts. */
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
