/** Processes whose system calls fail: faults.c, built once into a folder of its own. */

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { withoutProgress } from './progress.ts';

export interface FaultyProcess {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: Readonly<Record<string, CallCount>>;
}

interface CallCount {
  readonly made: number;
  /** How often it was made to fail, or to be short. */
  readonly failed: number;
  /** Of reads and writes, the bytes that each could move. */
  readonly lengths: readonly number[];
}

export interface Faults {
  /** Rules as faults.c reads them. */
  readonly rules?: readonly string[];
  /** Part of the paths that are concerned. */
  readonly path?: string;
  /** Milliseconds, after which it is killed. */
  readonly limit?: number;
}

export const addonPath = fileURLToPath(new URL('../../build/Release/vdistream.node', import.meta.url));

/** Call it once in a file; what it returns runs node with these arguments under faults. */
export function faultyProcesses(): (args: readonly string[], faults: Faults) => Promise<FaultyProcess> {
  let folder = '';
  let runs = 0;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'vdistream-faults-'));
    const source = fileURLToPath(new URL('faults.c', import.meta.url));
    execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', join(folder, 'faults.so'), source, '-ldl']);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  return async (args, { rules = [], path, limit = 60_000 }) => {
    const log = join(folder, `log-${runs++}`);
    const env = {
      ...process.env,
      LD_PRELOAD: join(folder, 'faults.so'),
      FAULTS: rules.join(' '),
      FAULTS_LOG: log,
      ...(path !== undefined && { FAULTS_PATH: path }),
    };
    const child = spawn(process.execPath, args, { env, timeout: limit, killSignal: 'SIGKILL' });
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        text[name] += chunk;
      });
    }
    const ended = new Promise<Pick<FaultyProcess, 'status' | 'signal'>>((resolve) => {
      child.once('close', (status, signal) => resolve({ status, signal }));
    });
    return { ...(await ended), stdout: text.stdout, stderr: withoutProgress(text.stderr), calls: countsOf(readFileSync(log, 'latin1')) };
  };
}

function countsOf(log: string): FaultyProcess['calls'] {
  const counts: Record<string, { made: number; failed: number; lengths: number[] }> = {};
  for (const line of log.split('\n')) {
    const [, name, failed, length] = /^(\w+)(!?)(?: (\d+))?$/.exec(line) ?? [];
    if (name === undefined) continue;
    counts[name] ??= { made: 0, failed: 0, lengths: [] };
    counts[name].made++;
    if (failed === '!') counts[name].failed++;
    if (length !== undefined) counts[name].lengths.push(Number(length));
  }
  return counts;
}
