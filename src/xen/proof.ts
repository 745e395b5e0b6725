/** Proof: whether a VDI with an owner tag is the one that an import of this host created. Without it, nothing is destroyed. */

import type { ImportRecord } from './record.ts';
import type { Toolstack } from './toolstack.ts';

/**
 * Why the VDI may not be the one of the record; undefined if it is. `tagged`: the uuids of all VDIs with the same tag.
 */
export async function doubtOf(
  toolstack: Toolstack,
  { vdi: recorded, sr, name, size }: ImportRecord,
  vdi: string,
  tagged: readonly string[],
  signal?: AbortSignal,
): Promise<string | undefined> {
  if (recorded !== undefined && recorded !== vdi) return `its tag was copied from VDI ${recorded}`;
  if (recorded === undefined && tagged.length > 1)
    return `${tagged.length} VDIs have the same tag, and the record does not say which is the import's`;
  const facts = await toolstack.vdiFacts(vdi, signal);
  if (facts.sr !== sr) return `it is on SR ${facts.sr}, but the import was to SR ${sr}`;
  if (facts.type !== 'user') return `its type is ${JSON.stringify(facts.type)}, but the import created a VDI of type user`;
  if (facts.name !== name) return `its name is ${JSON.stringify(facts.name)}, but the import named it ${JSON.stringify(name)}`;
  if (!(facts.size >= size)) return `its size is ${facts.size}, but the import created a VDI of at least ${size} bytes`;
  return facts.relations[0];
}
