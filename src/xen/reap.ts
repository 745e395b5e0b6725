/** Reap: removes what imports have left that were killed. Their marks tell which VDIs are theirs, and whether they can still run. */

import { cancelledOr, throwIfCancelled } from '../errors.ts';
import { withLock } from '../host/lock.ts';
import { type Host, thisHost } from './host.ts';
import { isAtWork, type Mark, parseMark } from './mark.ts';
import { isUuid, srFrom } from './uuid.ts';
import { removeVdi } from './vbd.ts';
import { createXe, type Xe, type XeOptions } from './xe.ts';

export interface ReapOptions {
  /** uuid of the one SR to look at; all by default. */
  readonly sr?: string | undefined;
  /** Only tell. */
  readonly dryRun?: boolean | undefined;
  readonly xe?: XeOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An unfinished VDI of an import. */
export interface LeftOver {
  readonly vdi: string;
  /** uuid of the host that the import ran on, and its process there. */
  readonly host: string;
  readonly pid: number;
  /** `running`: the import is at work. `other-host`: only that host can tell. Both are left alone. */
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
 * Finds the unfinished VDIs of imports, and removes those whose owner is dead, or is this process and has given them up, with their VBDs in
 * Dom0. Touches nothing else. Throws USAGE, and XE_UUID for an SR that is not there: nothing would be found on it.
 */
export async function reap(options: ReapOptions = {}): Promise<ReapResult> {
  const xe = createXe(options.xe);
  const { signal } = options;
  const sr = options.sr === undefined ? undefined : srFrom(options.sr);
  try {
    if (sr !== undefined) await xe.run('sr-param-get', { uuid: sr, 'param-name': 'uuid' }, signal);
    return await reapOn(xe, await thisHost(xe, signal), { ...options, sr });
  } catch (error) {
    throw cancelledOr(error, signal);
  }
}

export async function reapOn(xe: Xe, host: Host, { sr, dryRun, signal }: ReapOptions): Promise<ReapResult> {
  const where = sr === undefined ? {} : { 'sr-uuid': sr };
  const tags = await xe.list('vdi-list', { ...where, params: 'tags' }, signal);
  const marks = new Map(tags.flatMap((set) => set.split(', ')).map((tag) => [tag, parseMark(tag)]));
  const leftOvers: LeftOver[] = [];
  for (const [tag, mark] of marks) {
    if (mark === undefined) continue;
    const owner = ownerOf(mark, host);
    const removes = owner === 'dead' && dryRun !== true;
    // Several that start at once find the same.
    const visit = async (): Promise<void> => {
      for (const vdi of await xe.list('vdi-list', { ...where, 'tags:contains': tag }, signal)) {
        throwIfCancelled(signal);
        if (!isUuid(vdi)) continue;
        const left = removes ? await removeVdi(xe, host, vdi) : [];
        leftOvers.push({ vdi, host: mark.host, pid: mark.owner.pid, owner, removed: removes && left.length === 0, left });
      }
    };
    await (removes ? withLock('reap', visit, signal) : visit());
  }
  return {
    leftOvers,
    removed: leftOvers.filter(({ removed }) => removed).length,
    failed: leftOvers.filter(({ left }) => left.length > 0).length,
  };
}

function ownerOf(mark: Mark, host: Host): LeftOver['owner'] {
  if (mark.host !== host.uuid) return 'other-host';
  return isAtWork(mark) ? 'running' : 'dead';
}
