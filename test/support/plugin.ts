/** The plugin as a program, called by one in Python as Nova and xapi call it (see plugin-caller.py). */

import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { expect } from 'vitest';
import { pythonPeer } from './python.ts';

export interface Request {
  readonly argv?: readonly string[];
  readonly fn?: string;
  readonly args?: readonly unknown[];
  readonly kwargs?: object;
  readonly pickled?: string;
  readonly reply?: 'text';
  readonly members?: Readonly<Record<string, string>>;
  readonly signals?: readonly string[];
  readonly when?: 'requested';
  readonly stdout?: 'pipe' | 'gone';
  /** Besides what xapi sets. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly stderr: string;
  readonly reply?: { readonly Status: string; readonly Value?: string; readonly ErrorDescription?: readonly string[] };
  readonly value?: unknown;
  readonly unreadable?: object;
}

export interface Plugin {
  /** One call at a time. */
  ask(request: Request): Promise<Answer>;
  /** The same, and checks what holds for every call: one document, and exit status 0. */
  call(request: Request): Promise<Answer>;
  success(request: Request): Promise<Answer>;
  /** Code, function, class and message. */
  failure(request: Request): Promise<readonly string[]>;
  /** Sends the next signal to a call that waits for it. */
  send(): void;
  end(): Promise<void>;
}

/**
 * Bundles `source` as the package does it, into a folder in which it finds what it finds in the package. `end` removes that. `flags` are
 * options of node.
 */
export async function startPlugin(
  source: 'src/plugin/main.ts' | 'test/support/plugin-fakes.ts' | 'test/support/plugin-quick.ts',
  flags: readonly string[] = [],
): Promise<Plugin> {
  const folder = mkdtempSync(join(tmpdir(), 'vdistream-plugin-'));
  const program = join(folder, 'dist/plugin/main.js');
  try {
    await build(source, folder, program);
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  const caller = pythonPeer('plugin-caller.py');

  const ask = async (request: Request): Promise<Answer> =>
    (await caller.ask({ command: [process.execPath, ...flags, program], ...request })) as Answer;
  const call = async (request: Request): Promise<Answer> => {
    const answer = await ask(request);
    expect(answer).toMatchObject({ status: 0 });
    expect(answer).not.toHaveProperty('unreadable');
    return answer;
  };
  return {
    ask,
    call,
    async success(request) {
      const answer = await call(request);
      expect(answer.reply).toMatchObject({ Status: 'Success' });
      return answer;
    },
    async failure(request) {
      const { reply } = await call(request);
      expect(reply).toMatchObject({ Status: 'Failure', ErrorDescription: expect.any(Array) });
      return reply?.ErrorDescription ?? [];
    },
    send: () => caller.send({}),
    async end() {
      await caller.end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function build(source: string, folder: string, file: string): Promise<void> {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  for (const name of ['package.json', 'node_modules', 'build']) symlinkSync(join(root, name), join(folder, name));
  const bundle = await rolldown({ input: join(root, source), platform: 'node', external: ['cli-progress', 'undici', 'zlib-sync'] });
  await bundle.write({ file, codeSplitting: false });
  await bundle.close();
}
