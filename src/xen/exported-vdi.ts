/** The VDIs of a chain that is to be exported, as the toolstack has them before anything is attached. */

import type { StoredVdi } from './toolstack.ts';
import type { VdiDiskOptions } from './vdi-disk.ts';
import { createXeToolstack } from './xe-toolstack.ts';

interface Checking extends VdiDiskOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Resolves with the leaf. Throws XE_UUID if it or one of the others does not exist. */
export async function exportedVdi(leaf: string, others: readonly string[], { xe, signal }: Checking): Promise<StoredVdi> {
  const toolstack = createXeToolstack(xe);
  const vdi = await toolstack.storedVdi(leaf, signal);
  for (const other of others) await toolstack.vdiSize(other, signal);
  return vdi;
}
