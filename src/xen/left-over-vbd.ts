/**
 * Left-over VBDs: what killed exports leave behind, a read-only VBD in Dom0. The record of an export permits the removal of that VBD and of
 * nothing else: the VDI belongs to others and is never touched.
 */

import { leftOf, messageOf, throwIfCancelled } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { hostLock } from './host-lock.ts';
import { isAtWork, parseOwnerTag } from './owner-tag.ts';
import { findExportVbd } from './proof.ts';
import { createRecords, type Records } from './record.ts';
import { removeVbd } from './remove.ts';
import type { Toolstack } from './toolstack.ts';
import type { XeOptions } from './xe.ts';

/** The VBD of an export in this host's Dom0. */
export interface LeftOverVbd {
  /** Undefined if it could not be found out. */
  readonly vbd: string | undefined;
  /** uuid of the VDI that was exported. It is never touched. */
  readonly vdi: string;
  /** The process of the export. */
  readonly pid: number;
  /** `running`: the export is at work. `unproven`: what the toolstack reports does not fit the record. Neither is removed. */
  readonly owner: 'dead' | 'running' | 'unproven';
  readonly removed: boolean;
  /** Why it could not be removed. */
  readonly left: readonly string[];
  /** With `unproven`: why. */
  readonly doubt?: string;
}

interface VbdScope {
  /** Only VDIs on this SR. */
  readonly sr?: string | undefined;
  /** Only this VDI. */
  readonly vdi?: string | undefined;
  readonly dryRun: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: OnWarning | undefined;
}

type VbdReaper = (scope: VbdScope) => Promise<LeftOverVbd[]>;

/** Removes the VBDs of dead exports. Asks the toolstack nothing if there is no record. Throws RECORD, LOCK_FILE, LOCK_TIMEOUT and CANCELLED. */
export function createVbdReaper(toolstack: Toolstack, xe: XeOptions = {}): VbdReaper {
  const records = createRecords(xe.records);
  const lock = hostLock('export', xe);
  return async ({ sr, vdi: only, dryRun, signal, onWarning }) => {
    const leftOvers: LeftOverVbd[] = [];
    for (const [token, { tag: text, sr: recorded, vdi, vbd }] of await records.exports()) {
      const tag = parseOwnerTag(text);
      if (tag === undefined || (sr ?? recorded) !== recorded || (only ?? vdi) !== vdi) continue;
      throwIfCancelled(signal);
      const { pid } = tag.owner;
      if (isAtWork(tag)) {
        if (vbd !== undefined) leftOvers.push({ vbd, vdi, pid, owner: 'running', removed: false, left: [] });
        continue;
      }
      const visit = async (): Promise<void> => {
        const found = await visitRecord(toolstack, records, token, { dryRun, signal, onWarning });
        leftOvers.push(...found.map((leftOver) => ({ ...leftOver, pid })));
      };
      await (dryRun ? visit() : lock(visit, { signal, onWarning }));
    }
    return leftOvers;
  };
}

/** Removes the VBD of a dead export, if there is one. */
async function visitRecord(
  toolstack: Toolstack,
  records: Records,
  token: string,
  { dryRun, signal, onWarning }: Omit<VbdScope, 'sr' | 'vdi'>,
): Promise<Array<Omit<LeftOverVbd, 'pid'>>> {
  // Another process may have removed it by now.
  const record = (await records.exports()).get(token);
  if (record === undefined) return [];
  const { vdi } = record;
  try {
    const { vbd, doubt } = await findExportVbd(toolstack, records, record, signal);
    if (doubt !== undefined) return [{ vbd: record.vbd, vdi, owner: 'unproven', removed: false, left: [], doubt }];
    if (vbd === undefined) {
      // If the record lacks the uuid, xapi may still create the VBD.
      const isOver = record.vbd !== undefined || (await records.old()).includes(token);
      if (isOver && !dryRun) await records.remove(token);
      return [];
    }
    if (dryRun) return [{ vbd, vdi, owner: 'dead', removed: false, left: [] }];
    const left = await removeVbd(toolstack, vbd, vdi, onWarning).then(() => [], leftOf);
    const removed = left.length === 0;
    // A record that stays is removed by the next reap.
    if (removed) await records.remove(token).catch(() => {});
    return [{ vbd, vdi, owner: 'dead', removed, left }];
  } catch (error) {
    throwIfCancelled(signal);
    return [{ vbd: record.vbd, vdi, owner: 'dead', removed: false, left: [`VBD of VDI ${vdi}: ${messageOf(error)}`] }];
  }
}
