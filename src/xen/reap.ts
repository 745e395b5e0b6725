/** Reap: removes VDIs left behind by killed imports. Owner tags identify them, and show whether the import still runs. */

import { checkOptions } from '../arguments.ts';
import { cancelledOr, throwIfCancelled } from '../errors.ts';
import { withLock } from '../host/lock.ts';
import { isAtWork, type OwnerTag, parseOwnerTag } from './owner-tag.ts';
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
}

/** The unfinished VDI of an import. */
export interface LeftOver {
  readonly vdi: string;
  /** uuid of the host that the import ran on; `pid` is its process there. */
  readonly host: string;
  readonly pid: number;
  /** `running`: the import is at work. `other-host`: only that host can find out. Neither is removed. */
  readonly owner: 'dead' | 'running' | 'other-host';
  readonly removed: boolean;
  /** Why it could not be removed. */
  readonly left: readonly string[];
}

export interface ReapResult {
  readonly leftOvers: readonly LeftOver[];
  readonly removed: number;
  readonly failed: number;
}

/**
 * Finds the unfinished VDIs of imports, and removes those whose owner is dead, or is this process and has abandoned them, along with their
 * VBDs in Dom0. Touches nothing else. Throws USAGE, and XE_UUID for an SR that does not exist.
 */
export async function reap(options: ReapOptions = {}): Promise<ReapResult> {
  checkOptions('reap', options);
  const { sr: given, dryRun = false, xe, signal } = options;
  const toolstack = createXeToolstack(xe);
  const sr = given === undefined ? undefined : parseSrUuid(given);
  try {
    if (sr !== undefined) await toolstack.srType(sr, signal);
    return await reapWith(toolstack, { sr, dryRun, signal });
  } catch (error) {
    throw cancelledOr(error, signal);
  }
}

/** Keeps two processes from removing the same VDI. */
const REAP_LOCK = 'reap';

interface ReapScope {
  readonly sr: string | undefined;
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

export async function reapWith(toolstack: Toolstack, { sr, dryRun, signal }: ReapScope): Promise<ReapResult> {
  const host = await toolstack.host(signal);
  const leftOvers: LeftOver[] = [];
  for (const tag of new Set(await toolstack.listTags(sr, signal))) {
    const parsed = parseOwnerTag(tag);
    if (parsed === undefined) continue;
    const owner = ownerOf(parsed, host);
    const removes = owner === 'dead' && !dryRun;
    const visit = async (): Promise<void> => {
      for (const vdi of await toolstack.listTagged(tag, sr, signal)) {
        throwIfCancelled(signal);
        const left = removes ? await removeVdi(toolstack, vdi) : [];
        leftOvers.push({ vdi, host: parsed.host, pid: parsed.owner.pid, owner, removed: removes && left.length === 0, left });
      }
    };
    await (removes ? withLock(REAP_LOCK, visit, signal) : visit());
  }
  return {
    leftOvers,
    removed: leftOvers.filter(({ removed }) => removed).length,
    failed: leftOvers.filter(({ left }) => left.length > 0).length,
  };
}

function ownerOf(tag: OwnerTag, host: string): LeftOver['owner'] {
  if (tag.host !== host) return 'other-host';
  return isAtWork(tag) ? 'running' : 'dead';
}
