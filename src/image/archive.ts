/** The disks of a tar, as its OVF descriptor and manifest list them. */

import { type Cursor, drain, streamCursor, within } from '../cursor.ts';
import { formatError, XVA } from '../disk/other-formats.ts';
import { inMember, type OnFault, VdiStreamError } from '../errors.ts';
import type { Digester } from '../ova/manifest.ts';
import { createPackage, type OvfPackage } from '../ova/package.ts';
import { chainOf, isDisk, isVhdName, placeOf, plainName } from '../ova/select.ts';
import { type Member, readTar } from '../ova/tar.ts';
import type { OnWarning } from '../warnings.ts';
import type { ImageChoice } from './choice.ts';

/** Limits on what is kept about a hostile archive. */
const MAX_DISKS = 1024;
const MAX_IGNORED = 100;

interface ArchiveOptions {
  readonly choice: ImageChoice;
  readonly warn: OnWarning;
  /** Handles a fault of the descriptor or the manifest that reading can continue past; by default it is thrown. */
  readonly fault?: OnFault | undefined;
}

interface Archive {
  /** Whether `disks` yields each chain leaf first, regardless of the order in the archive. */
  readonly leafFirst: boolean;
  /**
   * Yields what `make` returns for each member that is a disk. The body is valid until the next one is requested; `ahead` has the same bytes
   * without their digests, to look at before the body is read. Returns the names of the
   * files that belong to no disk, at most 100. Throws TAR_…, OVF_… and MANIFEST_… errors.
   */
  disks<T>(make: (name: string, body: Cursor, ahead?: Cursor) => T): AsyncGenerator<T, readonly string[], void>;
}

/** The state of reading an archive. */
interface Reading {
  readonly cursor: Cursor;
  readonly choice: ImageChoice;
  readonly pack: OvfPackage;
  readonly disks: Set<string>;
  readonly ignored: Set<string>;
  hasVhd: boolean;
}

/** Checks the members of a seekable archive now; throws what `disks` would. */
export async function openArchive(cursor: Cursor, { choice, warn, fault }: ArchiveOptions): Promise<Archive> {
  const pack = createPackage(choice.manifest ?? 'if-present', warn, fault);
  const reading: Reading = { cursor, choice, pack, disks: new Set(), ignored: new Set(), hasVhd: false };
  const order = cursor.seekable ? await survey(reading, warn) : undefined;
  return {
    leafFirst: order !== undefined,
    async *disks(make) {
      if (order === undefined) {
        // The survey, if there was one, has already reported the warnings.
        for await (const { name, body, ahead } of inTarOrder(reading, cursor.seekable ? () => {} : warn)) yield make(name, body, ahead);
      }
      for (const { name, size, offset } of order ?? []) {
        await cursor.moveTo(offset);
        yield make(plainName(name), within(cursor, size));
      }
      return [...reading.ignored];
    },
  };
}

/**
 * Reads the headers of the archive: first for the descriptor, then for the disks. Returns the disks, leaf first in each chain; undefined if
 * there is a manifest, since digests need the bytes in order.
 */
async function survey(reading: Reading, warn: OnWarning): Promise<readonly Member[] | undefined> {
  const { cursor, choice, pack, disks } = reading;
  for await (const { type, name } of members(reading, warn)) reading.hasVhd ||= type === 'file' && isVhdName(plainName(name));
  await cursor.moveTo(0);
  const chosen: Member[] = [];
  for await (const member of members(reading, () => {})) {
    const name = plainName(member.name);
    if (isChosen(reading, member)) {
      disks.add(name);
      chosen.push(member);
    } else if (member.type === 'file') ignore(reading, name);
    if (chosen.length > MAX_DISKS)
      throw new VdiStreamError('DISK_AMBIGUOUS', `the archive holds more than ${MAX_DISKS} disks`, { member: name });
  }
  pack.finish(choice.disk === undefined ? disks : undefined);
  if (pack.manifest === undefined) return byChain(chosen);
  await cursor.moveTo(0);
  disks.clear();
  return undefined;
}

/** Part of a disk of a VM export: `Ref:N/` and a number; before XenServer 4.0, chunks (xapi, ocaml/xapi/import.ml and xva.ml). */
const isXvaDisk = (name: string): boolean => /^(?:\.?\/)*(?:Ref:\d+\/|[\w-]+\/chunk-\d+\.gz$)/.test(name);

/** The members, except those that the package reads: descriptor, manifest and certificate. */
async function* members({ cursor, pack }: Reading, warn: OnWarning): AsyncGenerator<Member, void, void> {
  let first: string | undefined;
  for await (const member of readTar(cursor, warn)) {
    first ??= plainName(member.name);
    if (first === 'ova.xml' && isXvaDisk(member.name)) throw formatError(XVA, plainName(member.name));
    try {
      if (!(await pack.read(member))) yield member;
    } catch (error) {
      throw inMember(plainName(member.name), error);
    }
  }
}

async function* inTarOrder(
  reading: Reading,
  warn: OnWarning,
): AsyncGenerator<Pick<Member, 'name' | 'body'> & { readonly ahead: Cursor }, void, void> {
  const { pack, disks, choice } = reading;
  for await (const member of members(reading, warn)) {
    const name = plainName(member.name);
    try {
      const chosen = isChosen(reading, member);
      if (!chosen && member.type !== 'file') continue;
      const digests = pack.digester(name);
      const body = digests === undefined ? member.body : hashed(member, digests);
      if (chosen) {
        reading.hasVhd ||= isVhdName(name);
        disks.add(name);
        yield { name, body, ahead: member.body };
      } else ignore(reading, name);
      if (digests !== undefined) await drain(body);
      if (digests !== undefined || chosen) pack.check(name, digests);
    } catch (error) {
      throw inMember(name, error);
    }
  }
  pack.finish(choice.disk === undefined ? disks : undefined);
}

function isChosen({ choice: { disk, raw }, pack, disks, hasVhd }: Reading, member: Member): boolean {
  if (raw && disk === undefined) return member.type === 'file' && disks.size === 0;
  return isDisk(member, { disk, named: pack.named, raw: !hasVhd });
}

function ignore({ ignored }: Reading, name: string): void {
  if (ignored.size < MAX_IGNORED) ignored.add(name);
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

/** The body of a member, hashed as it is read. */
function hashed(member: Member, digests: Digester): Cursor {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of member.body.chunks()) {
      digests.update(chunk);
      yield chunk;
    }
  }
  return streamCursor(chunks(), member.size);
}
