/**
 * Reap: removes VDIs left behind by killed imports, and VBDs left behind by killed exports. Owner tags find the VDIs and show whether the import
 * still runs; the records of this host prove which of them its imports created.
 */

import { checkOptions } from '../arguments.ts';
import { messageOf, rejection, throwIfCancelled } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { hostLock } from './host-lock.ts';
import { createVbdReaper, type LeftOverVbd } from './left-over-vbd.ts';
import { isAtWork, type OwnerTag, parseOwnerTag } from './owner-tag.ts';
import { doubtOf } from './proof.ts';
import { createRecords, type Records } from './record.ts';
import { removeVdi } from './remove.ts';
import type { Toolstack } from './toolstack.ts';
import { parseSrUuid } from './uuid.ts';
import type { XeOptions } from './xe.ts';
import { createXeToolstack } from './xe-toolstack.ts';

export interface ReapOptions {
  /** uuid of an SR; all SRs by default. */
  readonly sr?: string | undefined;
  /** Report what would be removed, and remove nothing. */
  readonly dryRun?: boolean | undefined;
  readonly xe?: XeOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with LOCK_WAIT while another process removes VDIs or plugs. */
  readonly onWarning?: OnWarning | undefined;
}

/** The unfinished VDI of an import, or a VDI with a tag that says so. */
export interface LeftOver {
  readonly vdi: string;
  /** uuid of the host that the import ran on; `pid` is its process there. Both as the tag has them. */
  readonly host: string;
  readonly pid: number;
  /**
   * `running`: the import is at work. `other-host`: only that host can find out. `unproven`: nothing here proves that an import of this host
   * created it. Of these, none is removed.
   */
  readonly owner: 'dead' | 'running' | 'other-host' | 'unproven';
  readonly removed: boolean;
  /** Why it could not be removed. */
  readonly left: readonly string[];
  /** With `unproven`: why. */
  readonly doubt?: string;
  /** With `unproven`: what an operator can do. */
  readonly commands?: OperatorCommands;
}

/** Command lines for a shell in Dom0. */
export interface OperatorCommands {
  /** Shows what the VDI is. */
  readonly inspect: string;
  /** Removes the tag. */
  readonly keep: string;
  /** Destroys the VDI and its data. */
  readonly destroy: string;
}

export interface ReapResult {
  readonly leftOvers: readonly LeftOver[];
  readonly leftOverVbds: readonly LeftOverVbd[];
  /** VDIs and VBDs. */
  readonly removed: number;
  readonly failed: number;
}

/**
 * Finds the unfinished VDIs of imports, and removes those that this host has a record of and whose owner is dead, or is this process and has
 * abandoned them, along with their VBDs in Dom0. Likewise the VBDs of exports in Dom0, but never their VDIs. Touches nothing else. Throws USAGE, XE_UUID for an SR that does not exist, RECORD,
 * LOCK_FILE and LOCK_TIMEOUT.
 */
export async function reap(options: ReapOptions = {}): Promise<ReapResult> {
  checkOptions('reap', options);
  const { sr: given, dryRun = false, xe, signal, onWarning } = options;
  const toolstack = createXeToolstack(xe);
  const sr = given === undefined ? undefined : parseSrUuid(given);
  try {
    if (sr !== undefined) await toolstack.srType(sr, signal);
    return await createReaper(toolstack, xe)({ sr, dryRun, signal, onWarning });
  } catch (error) {
    throw rejection(error, signal);
  }
}

interface ReapScope extends Pick<ReapOptions, 'signal' | 'onWarning'> {
  readonly sr: string | undefined;
  readonly dryRun: boolean;
}

export type Reaper = (scope: ReapScope) => Promise<ReapResult>;

export function createReaper(toolstack: Toolstack, xe: XeOptions = {}): Reaper {
  const records = createRecords(xe.records);
  const lock = hostLock('reap', xe);
  const reapVbds = createVbdReaper(toolstack, xe);
  return async ({ sr, dryRun, signal, onWarning }) => {
    const host = await toolstack.host(signal);
    const leftOvers: LeftOver[] = [];
    for (const text of new Set(await toolstack.listTags(sr, signal))) {
      const tag = parseOwnerTag(text);
      if (tag === undefined) continue;
      const visit = async (progress?: () => void): Promise<void> => {
        const tagged = await toolstack.listTagged(text, undefined, signal);
        const chosen = sr === undefined ? tagged : await toolstack.listTagged(text, sr, signal);
        const verdicts: Verdict[] = [];
        // Judge all of them first, as long as there is a record.
        for (const vdi of chosen) verdicts.push(await judge(toolstack, records, { tag, host, vdi, tagged, signal }));
        for (const { vdi, owner, left: unknown = [], ...doubt } of verdicts) {
          progress?.();
          throwIfCancelled(signal);
          const removes = owner === 'dead' && !dryRun && unknown.length === 0;
          const left = removes ? await removeVdi(toolstack, vdi, onWarning) : unknown;
          const removed = removes && left.length === 0;
          // One that stays is removed when it is old.
          if (removed && tag.token !== undefined) await records.remove(tag.token).catch(() => {});
          leftOvers.push({ vdi, host: tag.host, pid: tag.owner.pid, owner, removed, left, ...doubt });
        }
      };
      await (removesNothing(tag, host, dryRun) ? visit() : lock(visit, { signal, onWarning }));
    }
    if (!dryRun) await removeOldRecords(toolstack, records, signal);
    const leftOverVbds = await reapVbds({ sr, dryRun, signal, onWarning });
    const all = [...leftOvers, ...leftOverVbds];
    return {
      leftOvers,
      leftOverVbds,
      removed: all.filter(({ removed }) => removed).length,
      failed: all.filter(({ left }) => left.length > 0).length,
    };
  };
}

const removesNothing = (tag: OwnerTag, host: string, dryRun: boolean): boolean =>
  dryRun || tag.token === undefined || tag.host !== host || isAtWork(tag);

interface Suspect {
  readonly tag: OwnerTag;
  /** uuid of this host. */
  readonly host: string;
  readonly vdi: string;
  /** All VDIs with the same tag. */
  readonly tagged: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/** With `left` if it could not be found out. */
type Verdict = Pick<LeftOver, 'vdi' | 'owner' | 'doubt' | 'commands'> & { readonly left?: readonly string[] };

async function judge(toolstack: Toolstack, records: Records, { tag, host, vdi, tagged, signal }: Suspect): Promise<Verdict> {
  const unproven = (doubt: string): Verdict => ({ vdi, owner: 'unproven', doubt, commands: commandsFor(vdi, tag) });
  if (tag.host !== host) return { vdi, owner: 'other-host' };
  if (tag.token === undefined) return unproven('its tag is of an older version, which anybody can make up');
  if (isAtWork(tag)) return { vdi, owner: 'running' };
  const record = await records.find(tag.token);
  if (record?.tag !== tag.text) return unproven('this host has no record of such an import');
  try {
    const doubt = await doubtOf(toolstack, record, vdi, tagged, signal);
    return doubt === undefined ? { vdi, owner: 'dead' } : unproven(doubt);
  } catch (error) {
    throwIfCancelled(signal);
    return { vdi, owner: 'dead', left: [`VDI ${vdi}: ${messageOf(error)}`] };
  }
}

/** Both values need no quotes: a uuid, and a tag of letters, digits, dots and hyphens. */
const commandsFor = (vdi: string, { text }: OwnerTag): OperatorCommands => ({
  inspect: `xe vdi-param-list uuid=${vdi}`,
  keep: `xe vdi-param-remove uuid=${vdi} param-name=tags param-key=${text}`,
  destroy: `xe vdi-destroy uuid=${vdi}`,
});

/** Those of imports that no VDI belongs to. Only after a day, because xapi may still create the VDI of an import that was killed. */
async function removeOldRecords(toolstack: Toolstack, records: Records, signal: AbortSignal | undefined): Promise<void> {
  const exports = await records.exports();
  for (const token of await records.old()) {
    if (exports.has(token)) continue;
    const record = await records.find(token);
    const tag = parseOwnerTag(record?.tag ?? '');
    if (tag !== undefined && (isAtWork(tag) || (await toolstack.listTagged(tag.text, undefined, signal)).length > 0)) continue;
    await records.remove(token);
  }
}
