/** A program in Python that answers each line of JSON with one. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Peer {
  /** One at a time. */
  ask(request: object): Promise<unknown>;
  /** Something that there is no answer to. */
  send(what: object): void;
  /** Resolves when it is gone. */
  end(): Promise<void>;
}

/** `script` is in this folder. */
export function pythonPeer(script: string): Peer {
  const python = spawn('python3', [fileURLToPath(new URL(script, import.meta.url))], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
  const gone = once(python, 'close');
  const send = (what: object): void => void python.stdin.write(`${JSON.stringify(what)}\n`);
  return {
    send,
    async ask(request) {
      send(request);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${script} has ended`);
      return JSON.parse(value);
    },
    async end() {
      python.stdin.end();
      await gone;
    },
  };
}
