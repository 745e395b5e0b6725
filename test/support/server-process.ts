/** A process that has a file or a device open, under the name of a program that serves disks to guests. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, copyFileSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { testFolder } from './folder.ts';

/** Runs a program of this name that has `path` open. */
export async function withServer(
  name: string,
  path: string,
  use: (pid: number) => Promise<void>,
  flags: string | number = 'r+',
): Promise<void> {
  const program = join(testFolder(), name);
  copyFileSync('/bin/sleep', program);
  const fd = openSync(path, flags);
  const server = spawn(program, ['1000'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
  closeSync(fd);
  const ended = once(server, 'exit');
  try {
    await once(server, 'spawn');
    await use(server.pid ?? 0);
  } finally {
    server.kill('SIGKILL');
    await ended;
  }
}
