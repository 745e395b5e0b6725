/** Telling a good image from a bad one: every finding, instead of the first error. */

import { type Compression, compressionOf, MAGIC_BYTES } from '../codec/compression.ts';
import type { DiskType } from '../disk/extent.ts';
import { type ErrorCode, inMember, isOfImage, type OnFault, VdiStreamError } from '../errors.ts';
import { type Arrival, openFeed } from '../image/feed.ts';
import { ofBare } from '../image/image.ts';
import { createLayers } from '../image/layers.ts';
import { type Checked, checkVhd } from '../vhd/check.ts';
import { EPOCH } from '../vhd/footer.ts';
import type { OnWarning, WarningCode } from '../warnings.ts';
import { withSources } from './open.ts';
import type { DiskInput, ReadOptions } from './options.ts';
import { reading } from './progress.ts';

export interface CheckOptions extends ReadOptions {}

/** An `error` makes the image unfit to be written, or what is written wrong; a `warning` does not. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  readonly code: ErrorCode | WarningCode;
  readonly message: string;
  /** What to do; errors only. */
  readonly advice?: string | undefined;
  readonly member?: string | undefined;
  /** Bytes, as in VdiStreamError. */
  readonly offset?: number | undefined;
}

export interface CheckedDisk {
  readonly member: string | undefined;
  readonly type: DiskType;
  /** Bytes. */
  readonly virtualSize: number;
}

export interface CheckResult {
  /** No errors; there may be warnings. */
  readonly ok: boolean;
  readonly compression: Compression | undefined;
  readonly findings: readonly Finding[];
  /** Every disk and layer whose size could be told, in the order in which they were met. */
  readonly disks: readonly CheckedDisk[];
}

/**
 * Reads an image once from end to end. A damaged VHD ends the check of that member at worst; a damaged archive or
 * compressed stream ends all, for nothing can be found behind it. Throws only what opening the source does, USAGE, CANCELLED, or a defect.
 */
export async function check(input: DiskInput, options: CheckOptions = {}): Promise<CheckResult> {
  const findings = createFindings();
  const { fault, warn } = findings;
  return withSources(input, { ...options, onRead: reading(options.onProgress) }, async (sources) => {
    const disks: CheckedDisk[] = [];
    const chains = new Map<string, Chain>();
    let compression: Compression | undefined;
    await findings.attempt(async () => {
      const [source] = sources;
      compression = source && compressionOf(await source.cursor.peek(MAGIC_BYTES));
      const feed = await openFeed(sources, { ...options, warn, fault });
      for await (const arrival of feed.arrivals) {
        const { chain: key, member } = arrival;
        const found = await findings.attempt(() => checkDisk(arrival, findings), arrival);
        if (found === undefined) continue;
        disks.push({ member, type: found.type, virtualSize: found.virtualSize });
        const chain = chains.get(key) ?? newChain(options, warn);
        chains.set(key, chain);
        await findings.attempt(async () => chain.add(arrival, found));
      }
      if (disks.length === 0 && findings.list.every(({ severity }) => severity === 'warning'))
        fault(new VdiStreamError('DISK_NONE', 'there is no disk in it'));
      for (const chain of chains.values()) await findings.attempt(async () => chain.finish());
    });
    return { ok: findings.list.every(({ severity }) => severity !== 'error'), compression, findings: findings.list, disks };
  });
}

async function checkDisk(arrival: Arrival, { fault, warn }: Findings): Promise<Checked | undefined> {
  const { member, isRaw } = arrival;
  if (isRaw) {
    const disk = await arrival.open();
    await disk.skip();
    return { ...disk, hidden: false };
  }
  try {
    return await checkVhd(await arrival.content(), {
      fault: (error) => {
        inMember(member, error);
        fault(error);
      },
      warn: (warning) => warn({ member, ...warning }),
      now: Date.now() / 1000 - EPOCH,
    });
  } catch (error) {
    throw member === undefined ? ofBare(error) : error;
  }
}

interface Chain {
  add(arrival: Arrival, found: Checked): void;
  finish(): void;
}

function newChain({ disk }: CheckOptions, warn: OnWarning): Chain {
  const layers = createLayers({ disk, anyParent: false, warn });
  let leaf: { readonly member: string | undefined; readonly hidden: boolean } | undefined;
  return {
    add({ name, place, member }, found) {
      const rank = layers.add(name, place, found);
      if (layers.leaf()?.rank === rank) leaf = { member, hidden: found.hidden };
    },
    finish() {
      if (leaf?.hidden) {
        const message = 'the leaf is marked as hidden, yet it has no child';
        warn({ code: 'VHD_HIDDEN', message, member: leaf.member, offset: 85 });
      }
      layers.complete();
    },
  };
}

interface Findings {
  readonly list: readonly Finding[];
  readonly fault: OnFault;
  readonly warn: OnWarning;
  /** What it throws about the image is a finding, and undefined is given; but what a disk throws about the source is thrown on. */
  attempt<T>(step: () => Promise<T>, of?: Arrival): Promise<T | undefined>;
}

function createFindings(): Findings {
  const list = new Map<string, Finding>();
  // The same thing is met twice where an archive is first looked through and then read.
  const put = (finding: Finding): void => {
    const key = `${finding.code} ${finding.member} ${finding.offset} ${finding.offset === undefined ? finding.message : ''}`;
    if (!list.has(key)) list.set(key, finding);
  };
  const fault: OnFault = ({ code, message, advice, member, offset }) => put({ severity: 'error', code, message, advice, member, offset });
  return {
    get list() {
      return [...list.values()];
    },
    fault,
    warn: (warning) => put({ severity: 'warning', ...warning }),
    async attempt(step, of) {
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof VdiStreamError) || error.code === 'CANCELLED' || error.code === 'USAGE') throw error;
        inMember(of?.member, error);
        fault(error);
        // No other disk can be read behind it.
        if (of !== undefined && !isOfImage(error)) throw error;
        return undefined;
      }
    },
  };
}
