/**
 * A host without Xen: a toolstack that is as strict as the real one, with its `xe`, its inventory and storage on loop devices. What a
 * test starts it stops, and then nothing of it is left.
 */

import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask as askServer } from './ask.mjs';
import type { ControlRequest, SrOptions } from './control.mjs';
import type { Rule } from './faults.mjs';
import { loopStorage } from './loop.mjs';
import type { Class, Objects } from './world.mjs';

export type { Fault, Rule } from './faults.mjs';
export type { Objects } from './world.mjs';

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  /** Null if a signal has ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Host {
  readonly folder: string;
  /** Path of the client. It finds its server by where it is. */
  readonly xe: string;
  /** Path of the file with the uuids, lines of KEY='value'. */
  readonly inventory: string;
  readonly uuid: string;
  /** uuids of VMs: the control domain of this host, that of the other one in the pool, and a guest that runs here. */
  readonly dom0: string;
  readonly otherDom0: string;
  readonly guest: string;
  /** Adds an SR; its uuid. It is large, attached, and new enough for VHDs on LVM unless `options` says otherwise. */
  sr(type: string, options?: SrOptions): Promise<string>;
  /** Runs the client without any environment but `env`. */
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ran>;
  /** All objects as they are now. */
  state(): Objects;
  /** The arguments of every call that came to this server. */
  calls(): Promise<string[][]>;
  /** Resolves when that many calls of a command have come. */
  called(command: string, count?: number): Promise<void>;
  fault(rule: Rule): Promise<void>;
  /** Forgets all rules. */
  noFaults(): Promise<void>;
  /** Releases the calls that are `late`. */
  release(): Promise<void>;
  /** Resolves when every call has had its effect, including those whose client is gone. */
  idle(): Promise<void>;
  /** Changes an object without a command, as if another client had done it. */
  change<C extends Class>(kind: C, uuid: string, fields: Partial<Objects[C][number]>): Promise<void>;
  /** As a crash of the toolstack: disks and devices stay. */
  kill(): Promise<void>;
  /** The toolstack comes back as it was, without faults. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

let client: Buffer | undefined;

/** The client as bytes, so that there is no file to remove in the end. Compiled once per process. */
function compiledClient(): Buffer {
  if (client !== undefined) return client;
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-xe-'));
  try {
    const source = fileURLToPath(new URL('xe.cc', import.meta.url));
    execFileSync('g++', ['-std=c++17', '-O1', '-Wall', '-Wextra', '-Werror', '-o', join(folder, 'xe'), source]);
    client = readFileSync(join(folder, 'xe'));
    return client;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** `faults` are there from the first call on. */
export async function startHost({ faults = [] }: { readonly faults?: readonly Rule[] } = {}): Promise<Host> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'vdistream-xen-')));
  const xe = join(folder, 'bin', 'xe');
  const inventory = join(folder, 'xensource-inventory');
  mkdirSync(join(folder, 'bin'));
  writeFileSync(xe, compiledClient(), { mode: 0o755 });
  let server = await startServer(folder, faults).catch((error: unknown) => {
    rmSync(folder, { recursive: true });
    throw error;
  });

  const ask = (request: ControlRequest): Promise<unknown> => askServer(join(folder, 'socket'), request);
  const state = (): Objects => JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8'));
  const kill = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  };

  const { host, vm } = state();
  const uuid = host[0]?.uuid ?? '';
  const [, otherDom0 = '', dom0 = '', guest = ''] = vm.map((one) => one.uuid);

  return {
    folder,
    xe,
    inventory,
    uuid,
    dom0,
    otherDom0,
    guest,
    state,
    kill,
    sr: async (type, options = {}) => String(await ask({ do: 'sr', type, options })),
    run: (args, env = {}) => run(xe, args, env),
    async calls() {
      const calls = await ask({ do: 'calls' });
      return Array.isArray(calls) ? calls.map((args) => (Array.isArray(args) ? args.map(String) : [])) : [];
    },
    async called(command, count = 1) {
      await ask({ do: 'called', command, count });
    },
    async fault(rule) {
      await ask({ do: 'fault', rule });
    },
    async noFaults() {
      await ask({ do: 'no-faults' });
    },
    async release() {
      await ask({ do: 'release' });
    },
    async idle() {
      await ask({ do: 'idle' });
    },
    async change(kind, one, fields) {
      await ask({ do: 'change', kind, uuid: one, fields });
    },
    async restart() {
      await kill();
      server = await startServer(folder, []);
    },
    async stop() {
      await kill();
      loopStorage(folder).sweep(state().sr);
      rmSync(folder, { recursive: true });
    },
  };
}

/** It ends with this process, should that one not come to an end in good order. */
async function startServer(folder: string, faults: readonly Rule[]): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('xapi.mjs', import.meta.url));
  const server = fork(program, [folder, JSON.stringify({ faults })], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
  const [said] = await Promise.race([once(server, 'message'), once(server, 'exit')]);
  if (said !== 'ready') throw new Error('the stand-in toolstack does not start');
  return server;
}

async function run(program: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ran> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  await once(child, 'close');
  return { ...said, status: child.exitCode, signal: child.signalCode };
}
