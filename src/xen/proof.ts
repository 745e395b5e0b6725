/**
 * Proof: whether a VDI with an owner tag is the one that an import of this host created, and which VBD is that of an export. Without it, nothing
 * is destroyed.
 */

import type { ExportRecord, ImportRecord, Records } from './record.ts';
import type { ImportToolstack, Toolstack } from './toolstack.ts';

/**
 * Why the VDI may not be the one of the record; undefined if it is. `tagged`: the uuids of all VDIs with the same tag.
 */
export async function doubtOf(
  toolstack: ImportToolstack,
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

interface ExportVbd {
  /** Undefined if there is none. */
  readonly vbd?: string;
  /** Why it may not be the export's. */
  readonly doubt?: string;
}

/**
 * The VBD of an export. If the record lacks its uuid, the export had not plugged it: then it is one that is not plugged, that nobody has
 * configured, that came after the record, and that no other record has. Call it while no export of this host creates a VBD.
 */
export async function findExportVbd(
  toolstack: Toolstack,
  records: Records,
  { vdi, vbd, before }: ExportRecord,
  signal?: AbortSignal,
): Promise<ExportVbd> {
  if (vbd !== undefined) {
    if (before.includes(vbd)) return { doubt: 'the VDI had it before the export' };
    if ((await toolstack.readOnlyVbds(vdi, { unused: false }, signal)).includes(vbd)) return { vbd };
    if (!(await toolstack.vbdExists(vbd, signal))) return {};
    return { doubt: `it is not a read-only VBD of VDI ${vdi} in this Dom0, as its record says` };
  }
  const ofVdi = [...(await records.exports()).values()].filter((record) => record.vdi === vdi);
  const taken = [...before, ...ofVdi.map((record) => record.vbd)];
  const found = (await toolstack.readOnlyVbds(vdi, { unused: true }, signal)).filter((each) => !taken.includes(each));
  const [first] = found;
  if (first === undefined) return {};
  // Each record without a uuid may have one.
  if (found.length <= ofVdi.filter((record) => record.vbd === undefined).length) return { vbd: first };
  return { doubt: `the record does not say which it is, and it could be any of ${found.join(', ')}` };
}
