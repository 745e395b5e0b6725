/** Which library inflates: ISA-L or zlib in the addon, `node:zlib`, or zlib-sync. */

import { VdiStreamError } from '../errors.ts';
import { addonIfAny, CODECS, loadAddon, loadIsal } from '../host/native.ts';
import type { Stages } from '../host/stages.ts';
import type { InflateCodec } from './inflate-codec.ts';
import { nativeInflate } from './native-inflate.ts';
import { nodeInflate } from './node-inflate.ts';
import { openZlibSync } from './zlib-sync.ts';

export const INFLATES = ['auto', 'isal', 'zlib', 'node', 'zlib-sync'] as const;
/** `auto` is the first of `isal`, `zlib` and `node` that there is. */
export type InflateChoice = (typeof INFLATES)[number];
export type InflateName = Exclude<InflateChoice, 'auto'>;

/** What `choice` is on this host. Throws COMPRESSION_TOOL, NATIVE_MISSING. */
export function inflateName(choice: InflateChoice = 'auto'): InflateName {
  if (choice !== 'auto') {
    if (choice === 'zlib' || choice === 'isal') loadAddon();
    if (choice === 'isal') requireIsal();
    return choice;
  }
  if (addonIfAny() === undefined) return 'node';
  return loadIsal().from === undefined ? 'zlib' : 'isal';
}

function requireIsal(): void {
  const { reason } = loadIsal();
  if (reason !== undefined) throw new VdiStreamError('COMPRESSION_TOOL', `ISA-L cannot be used: ${reason}`);
}

/** Throws COMPRESSION_TOOL, NATIVE_MISSING, MEMORY. */
export async function openInflate(choice: InflateChoice, stages: Stages): Promise<InflateCodec> {
  const name = inflateName(choice);
  if (name === 'node') return nodeInflate;
  return name === 'zlib-sync' ? openZlibSync() : nativeInflate(CODECS[name], stages);
}
