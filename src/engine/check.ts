/** Checking an image: reports every finding instead of only the first error. */

import { checkOptions } from '../arguments.ts';
import { type Compression, inflaterOf } from '../codec/compression.ts';
import type { InflateName } from '../codec/inflate.ts';
import type { DiskType } from '../disk/disk.ts';
import { type ErrorCode, hasRemedy, inMember, isOfImage, type OnFault, rejection, VdiStreamError } from '../errors.ts';
import { outerCompression } from '../image/content.ts';
import { ofBare } from '../image/decode.ts';
import { openFeed } from '../image/feed.ts';
import { createLayers } from '../image/layers.ts';
import type { StoredDisk } from '../image/stored.ts';
import { branchesOf, branchPlaces, type TreeNode } from '../image/tree.ts';
import { printable } from '../quote.ts';
import { type Checked, checkVhd } from '../vhd/check.ts';
import { EPOCH } from '../vhd/footer.ts';
import type { OnWarning, WarningCode } from '../warnings.ts';
import { adviceFor } from './advice.ts';
import { inputOf } from './input.ts';
import { withSources } from './open.ts';
import type { DiskInput, ReadOptions } from './options.ts';
import { reading } from './progress.ts';

/** With an `error`, the image cannot be written, or writes a wrong disk. With a `warning` it can be written. */
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
  /** What inflated the image, if it is gzipped. */
  readonly inflate: InflateName | undefined;
  readonly findings: readonly Finding[];
  /** Every disk and layer that could be read, in the order of the image. */
  readonly disks: readonly CheckedDisk[];
}

/**
 * Reads an image once from end to end. A damaged VHD ends at worst the check of that member; a damaged archive or compressed stream ends the
 * whole check, since nothing can be read after it. Throws only errors of opening the source, USAGE, CANCELLED, or a bug.
 */
export async function check(given: DiskInput, options: ReadOptions = {}): Promise<CheckResult> {
  const input = inputOf('check', given);
  checkOptions('check', options);
  const { disk: wanted, raw, rawBase, manifest, inflate, sha256, signal, onProgress } = options;
  const findings = createFindings();
  const { fault, warn } = findings;
  return withSources(input, { sha256, signal, onRead: reading(onProgress) }, async (sources) => {
    const disks: CheckedDisk[] = [];
    const found: CheckedNode[] = [];
    let compression: Compression | undefined;
    let inflater: InflateName | undefined;
    await findings.attempt(async () => {
      const [source] = sources;
      compression = source && (await outerCompression(source.cursor));
      inflater = compression && inflaterOf(compression, inflate);
      const feed = await openFeed(sources, { choice: { disk: wanted, raw, rawBase, manifest, inflate }, measure: true, warn, fault });
      let next = await feed.disks.next();
      for (; !next.done; next = await feed.disks.next()) {
        const stored = next.value;
        const { name, member, place } = stored;
        const facts = await findings.attempt(() => checkDisk(stored, findings), stored);
        if (facts === undefined) continue;
        disks.push({ member, type: facts.type, virtualSize: facts.virtualSize });
        found.push({ name, member, place, facts });
      }
      if (disks.length === 0 && findings.list.every(({ severity }) => severity === 'warning'))
        throw next.value.noDisk(source?.name ?? '', wanted);
      await checkChains(found, { wanted, rawBase, findings });
    });
    return {
      ok: findings.list.every(({ severity }) => severity !== 'error'),
      compression,
      inflate: inflater,
      findings: findings.list.map((finding) => ({
        ...finding,
        message: printable(finding.message),
        advice: finding.advice && printable(adviceFor({ ...finding, advice: finding.advice }, sources)),
      })),
      disks,
    };
  });
}

async function checkDisk(stored: StoredDisk, { fault, warn }: Findings): Promise<Checked | undefined> {
  const { member, isRaw } = stored;
  if (isRaw) {
    const { type, parent, skip } = await stored.open();
    return { type, parent, ...(await skip()), hidden: false };
  }
  try {
    return await checkVhd(await stored.content(), {
      fault: (error) => {
        inMember(member, error);
        fault(error);
      },
      warn: (warning) => warn({ member, ...warning }),
      // The time of day: a footer's timestamp in the future is reported.
      now: Date.now() / 1000 - EPOCH,
    });
  } catch (error) {
    throw member === undefined ? ofBare(error) : error;
  }
}

interface CheckedNode extends TreeNode {
  readonly facts: Checked;
  readonly member: string | undefined;
}

interface ChainRules {
  readonly wanted: string | undefined;
  readonly rawBase: boolean | undefined;
  readonly findings: Findings;
}

/** Checks the layers of each disk against each other. */
async function checkChains(found: readonly CheckedNode[], { wanted, rawBase, findings }: ChainRules): Promise<void> {
  const { attempt, warn } = findings;
  const rawDisk = rawBase ? found.find(({ facts }) => facts.type === 'raw') : undefined;
  for (const branch of branchesOf(found, found, rawDisk)) {
    const layers = createLayers({ disk: wanted, anyParent: false, warn });
    const places = branchPlaces(branch);
    for (const [index, { name, facts }] of branch.entries()) await attempt(async () => layers.add(name, places[index], facts));
    const [{ member, facts }] = branch;
    if (facts.hidden) warn({ code: 'VHD_HIDDEN', message: 'the leaf is flagged as hidden, but it has no child', member, offset: 85 });
    await attempt(async () => layers.complete());
  }
}

interface Findings {
  readonly list: readonly Finding[];
  readonly fault: OnFault;
  readonly warn: OnWarning;
  /** Adds an error to the findings and returns undefined. If the error of a disk is about the source, it is thrown too. */
  attempt<T>(step: () => Promise<T>, of?: StoredDisk): Promise<T | undefined>;
}

function createFindings(): Findings {
  const list = new Map<string, Finding>();
  // A seekable archive is read twice, so the same finding can occur twice.
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
      } catch (cause) {
        const error = rejection(cause);
        // What the host lacks for now, such as memory, is no fault of the image.
        if (!(error instanceof VdiStreamError) || error.code === 'CANCELLED' || error.code === 'USAGE' || hasRemedy(error, 'host', 'again'))
          throw error;
        inMember(of?.member, error);
        fault(error);
        // No other disk can be read after it.
        if (of !== undefined && !isOfImage(error)) throw error;
        return undefined;
      }
    },
  };
}
