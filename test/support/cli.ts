/** The command as a person or a program runs it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { withoutProgress } from './progress.ts';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  /** Without progress. */
  readonly stderr: string;
}

export interface CliOptions {
  readonly input?: Uint8Array;
  readonly env?: NodeJS.ProcessEnv;
  /** Called once it runs; standard input then stays open until the process ends. */
  readonly during?: (child: ChildProcess) => void;
}

export function cli(args: readonly string[], { input, env = process.env, during }: CliOptions = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [main, ...args], { env });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.stderr += text;
  });
  child.stdin.on('error', () => {}); // it may end before it has read everything
  if (during === undefined) child.stdin.end(input ?? '');
  else {
    child.stdin.write(input ?? '');
    child.once('spawn', () => during(child));
  }
  return new Promise((resolve) => {
    child.once('close', (status) => resolve({ status, stdout: said.stdout, stderr: withoutProgress(said.stderr) }));
  });
}
