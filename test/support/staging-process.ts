/** Processes that share folders and locks with the test and with each other; they are gone after the test. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, onTestFinished } from 'vitest';

export interface Outcome {
  readonly result?: unknown;
  readonly error?: unknown;
}

export interface StagingProcess {
  readonly child: ChildProcess;
  /** Resolves with the rest of the first line that begins so; rejects if the process ends without one. */
  said(word: string): Promise<string>;
  /** Resolves when it has exited on its own. */
  outcome(): Promise<Outcome>;
  /** As `kill -9`; resolves when it has gone. */
  kill(): Promise<void>;
}

/** Call it once in a file; what it returns starts a process. The command in front of Node's can be given. */
export function stagingProcesses(): (task: Record<string, unknown>, command?: readonly string[]) => StagingProcess {
  let folder = '';
  let file = '';
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vdistream-bundle-'));
    chmodSync(folder, 0o755); // other users run it too
    // Two folders deep, as a file of src/ is, so that it finds the addon.
    file = join(folder, 'src', 'test', 'process.mjs');
    const addon = fileURLToPath(new URL('../../build/Release/vdistream.node', import.meta.url));
    mkdirSync(join(folder, 'build', 'Release'), { recursive: true });
    copyFileSync(addon, join(folder, 'build', 'Release', 'vdistream.node'));
    const input = fileURLToPath(new URL('staging-process.mjs', import.meta.url));
    const bundle = await rolldown({ input, platform: 'node', external: ['undici', 'zlib-sync'] });
    await bundle.write({ file, codeSplitting: false });
    await bundle.close();
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  return (task, command = []) => start([...command, process.execPath, file, JSON.stringify(task)]);
}

function start([program = '', ...args]: readonly string[]): StagingProcess {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  const closed = once(reader, 'close');

  async function said(word: string): Promise<string> {
    for (let over = false; ; ) {
      const line = lines.find((text) => text === word || text.startsWith(`${word} `));
      if (line !== undefined) return line.slice(word.length + 1);
      if (over) throw new Error(`it ended without saying ${word}: ${lines.join('; ')}`);
      over = await Promise.race([once(reader, 'line').then(() => false), closed.then(() => true)]);
    }
  }
  return {
    child,
    said,
    async outcome() {
      const outcome: Outcome = JSON.parse(await said('done'));
      await ended;
      return outcome;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

export interface ImageServer {
  readonly url: string;
  /** How many times it was asked. */
  asked(): number;
}

/** Serves `bytes` on loopback until the test ends; `answer` does it in another way. */
export async function imageServer(
  bytes: Uint8Array,
  answer: (response: ServerResponse, asked: number) => void = (response) => void response.end(bytes),
): Promise<ImageServer> {
  let asked = 0;
  const server = createServer((_, response) => answer(response, ++asked));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/image`, asked: () => asked };
}
