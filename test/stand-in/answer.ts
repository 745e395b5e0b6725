/** Calls of the client that have to succeed. */

import { expect } from 'vitest';
import type { Host } from './host.ts';

/** What it prints, without the newline at the end. */
export async function answer(host: Host, args: readonly string[]): Promise<string> {
  const { stdout, stderr, status } = await host.run(args);
  expect({ stderr, status, args }).toEqual({ stderr: '', status: 0, args });
  return stdout.replace(/\n$/, '');
}
