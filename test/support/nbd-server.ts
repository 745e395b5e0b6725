/** Real NBD servers, qemu-nbd and nbdkit, on a Unix socket; and a proxy in front of one, which cuts connections. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { testFolder } from './folder.ts';

export interface RunningServer {
  readonly socket: string;
  /** `nbd+unix:///EXPORT?socket=PATH` */
  uri(exportName?: string): string;
}

/** Resolves once the server listens: both programs write their pid file only then. Killed after the test. */
async function running(program: string, args: (socket: string, pid: string) => readonly string[]): Promise<RunningServer> {
  const folder = testFolder();
  const [socket, pid] = [join(folder, 'socket'), join(folder, 'pid')];
  const child = spawn(program, args(socket, pid), { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  while (!existsSync(pid)) {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${stderr}`);
    await sleep(10);
  }
  return { socket, uri: (exportName = '') => `nbd+unix:///${exportName}?socket=${socket}` };
}

export const qemuNbd = (path: string, ...options: readonly string[]): Promise<RunningServer> =>
  running('qemu-nbd', (socket, pid) => ['-r', '-t', '-e', '16', '-k', socket, '--pid-file', pid, ...options, path]);

export const nbdkit = (...options: readonly string[]): Promise<RunningServer> =>
  running('nbdkit', (socket, pid) => ['-f', '-r', '-U', socket, '-P', pid, ...options]);

export interface Proxy {
  /** Of its port on 127.0.0.1. */
  readonly uri: string;
  readonly connections: number;
  /** Resolves once no connection is open. */
  idle(): Promise<void>;
  /** Accepts no more connections, and ends those that are open. */
  stop(): Promise<void>;
}

/** Passes TCP connections on to the socket of a server. Ends the first `cuts.length` of them after as many bytes of the server. */
export async function nbdProxy(server: RunningServer, cuts: readonly number[] = []): Promise<Proxy> {
  let connections = 0;
  const open = new Set<Socket>();
  const listener = createServer((client) => {
    let left = cuts[connections++] ?? Number.POSITIVE_INFINITY;
    const upstream = connect(server.socket);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    open.add(client);
    client.on('close', () => {
      open.delete(client);
      end();
    });
    upstream.on('close', end);
    for (const socket of [client, upstream]) socket.on('error', end);
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      const part = chunk.subarray(0, left);
      left -= part.length;
      if (part.length > 0) client.write(part);
      if (left <= 0) client.end(() => end());
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const stop = async (): Promise<void> => {
    if (!listener.listening) return;
    for (const socket of open) socket.destroy();
    listener.close();
    await once(listener, 'close');
  };
  onTestFinished(stop);
  const { port } = listener.address() as AddressInfo;
  return {
    uri: `nbd://127.0.0.1:${port}`,
    get connections() {
      return connections;
    },
    async idle() {
      while (open.size > 0) await sleep(5);
    },
    stop,
  };
}
