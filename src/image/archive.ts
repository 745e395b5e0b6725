/** The disks of a tar, with what its papers say about them. */

import { type Cursor, drain, streamCursor, within } from '../cursor.ts';
import { inMember, type OnFault, VdiStreamError } from '../errors.ts';
import type { Digester } from '../ova/manifest.ts';
import { createPackage } from '../ova/package.ts';
import { type Choice, chainOf, isDisk, isVhdName, placeOf, plainName } from '../ova/select.ts';
import { type Member, readTar } from '../ova/tar.ts';
import type { OnWarning } from '../warnings.ts';
import type { ImageChoice } from './choice.ts';

/** Bounds on what is remembered of a hostile archive. */
const MAX_DISKS = 1024;
const MAX_IGNORED = 100;

export interface ArchiveOptions extends ImageChoice {
  readonly warn: OnWarning;
  /** What is done about a fault of the papers that reading can go on behind; it is thrown by default. */
  readonly fault?: OnFault | undefined;
}

/** A member that is a disk, as it is stored. Complete, or left, before the next is asked for. */
export interface StoredDisk {
  readonly name: string;
  readonly body: Cursor;
}

export interface Archive {
  /**
   * In the order in which they stand; where the archive can be jumped through, each chain leaf first. Throws TAR_…, OVF_… and
   * MANIFEST_… errors, those that can be known by then before the first disk.
   */
  disks(): AsyncGenerator<StoredDisk, void, void>;
  /** Names of the files that are no part of any disk, as far as they have gone by; the first hundred. */
  readonly ignored: readonly string[];
  /** Whether chains come leaf first, whatever their order in the archive; known once the first disk has come. */
  readonly leafFirst: boolean;
}

export function openArchive(cursor: Cursor, options: ArchiveOptions): Archive {
  const { warn, manifest = 'if-present', fault } = options;
  const papers = createPackage(manifest, warn, fault);
  const ignored = new Set<string>();
  const met = new Set<string>();
  let hasVhd = false;
  let leafFirst = false;

  function isChosen(member: Member): boolean {
    if (options.raw && options.disk === undefined) return member.type === 'file' && met.size === 0;
    const choice: Choice = { disk: options.disk, named: papers.named, raw: !hasVhd };
    return isDisk(member, choice);
  }

  async function* members(tell: OnWarning): AsyncGenerator<Member, void, void> {
    for await (const member of readTar(cursor, tell)) {
      try {
        if (!(await papers.read(member))) yield member;
      } catch (error) {
        throw inMember(plainName(member.name), error);
      }
    }
  }

  async function* inTarOrder(tell: OnWarning): AsyncGenerator<StoredDisk, void, void> {
    for await (const member of members(tell)) {
      const name = plainName(member.name);
      try {
        const chosen = isChosen(member);
        if (!chosen && member.type !== 'file') continue;
        const digests = papers.digester(name);
        const body = digests === undefined ? member.body : hashed(member, digests);
        if (chosen) {
          hasVhd ||= isVhdName(name);
          met.add(name);
          yield { name, body };
        } else ignore(name);
        if (digests !== undefined) await drain(body);
        if (digests !== undefined || chosen) papers.check(name, digests);
      } catch (error) {
        throw inMember(name, error);
      }
    }
    papers.finish(options.disk === undefined ? met : undefined);
  }

  function ignore(name: string): void {
    if (ignored.size < MAX_IGNORED) ignored.add(name);
  }

  /** First what the papers say, then where the disks stand, then the disks in the order that suits. */
  async function* byPlace(): AsyncGenerator<StoredDisk, void, void> {
    for await (const member of members(warn)) hasVhd ||= member.type === 'file' && isVhdName(plainName(member.name));
    await cursor.moveTo(0);
    const chosen: Member[] = [];
    for await (const member of members(() => {})) {
      const name = plainName(member.name);
      if (isChosen(member)) {
        met.add(name);
        chosen.push(member);
      } else if (member.type === 'file') ignore(name);
      if (chosen.length > MAX_DISKS)
        throw new VdiStreamError('DISK_AMBIGUOUS', `the archive holds more than ${MAX_DISKS} disks`, { member: name });
    }
    papers.finish(options.disk === undefined ? met : undefined);
    if (papers.manifest !== undefined) {
      // Digests need every byte in order.
      await cursor.moveTo(0);
      met.clear();
      return yield* inTarOrder(() => {});
    }
    leafFirst = true;
    for (const { name, size, offset } of byChain(chosen)) {
      await cursor.moveTo(offset);
      yield { name: plainName(name), body: within(cursor, size) };
    }
  }

  return {
    disks: () => (cursor.seekable ? byPlace() : inTarOrder(warn)),
    get ignored() {
      return [...ignored];
    },
    get leafFirst() {
      return leafFirst;
    },
  };
}

/** Chains in the order of their first member, each from the leaf down. */
function byChain(disks: readonly Member[]): Member[] {
  const chains = new Map<string, Member[]>();
  for (const member of disks) {
    const key = chainOf(member.name);
    chains.set(key, [...(chains.get(key) ?? []), member]);
  }
  const rank = (member: Member): number => placeOf(member.name)?.rank ?? 0;
  return [...chains.values()].flatMap((chain) => chain.sort((a, b) => rank(a) - rank(b)));
}

/** The body of a member, whose bytes go through digests on their way. */
function hashed(member: Member, digests: Digester): Cursor {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of member.body.chunks()) {
      digests.update(chunk);
      yield chunk;
    }
  }
  return streamCursor(chunks(), member.size);
}
