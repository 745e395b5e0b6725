/** The disks of a tar, as its OVF descriptor and manifest list them. */

import { type Cursor, drain, streamCursor, within } from '../cursor.ts';
import { formatError, XVA } from '../disk/other-formats.ts';
import { inMember, type OnFault } from '../errors.ts';
import { TAR_BLOCK } from '../ova/header.ts';
import type { Digester } from '../ova/manifest.ts';
import { createPackage, type OvfPackage } from '../ova/package.ts';
import { type NamedDisks, type Place, placeOf, plainName } from '../ova/select.ts';
import { type Member, readTar } from '../ova/tar.ts';
import type { OnWarning } from '../warnings.ts';
import type { ImageChoice } from './choice.ts';
import { type Chooser, chooserOf } from './chooser.ts';
import { type Contents, createContents, otherDiskError } from './contents.ts';
import { rawChooser } from './raw-chooser.ts';
import { type SurveyedDisk, surveyDisks } from './survey.ts';
import { quoted } from './tree.ts';

interface ArchiveOptions {
  readonly choice: ImageChoice;
  /** Refuse an archive of several disks. */
  readonly single: boolean;
  /** Choose every disk; throw FORMAT_OTHER for a disk in another format. */
  readonly allDisks: boolean;
  readonly warn: OnWarning;
  /** Handles a fault of the descriptor or the manifest that reading can continue past; by default it is thrown. */
  readonly fault?: OnFault | undefined;
}

interface Archive {
  /** Whether `disks` yields each chain leaf first, regardless of the order in the archive. */
  readonly leafFirst: boolean;
  /**
   * Yields what `make` returns for each member that is a disk, or a layer of one. The body is valid until the next one is requested; `ahead`
   * has the same bytes without their digests, to look at before the body is read. The place is undefined for a disk that is in no chain, as
   * far as is known when it comes. Returns what else is in the archive. Throws TAR_…, OVF_…, MANIFEST_…, DISK_… and CHAIN_… errors.
   */
  disks<T>(make: (name: string, body: Cursor, place: Place | undefined, ahead?: Cursor) => T): AsyncGenerator<T, Contents, void>;
}

/** The state of reading an archive. */
interface Reading {
  readonly cursor: Cursor;
  readonly choice: ImageChoice;
  readonly single: boolean;
  readonly allDisks: boolean;
  readonly pack: OvfPackage;
  readonly disks: Set<string>;
  readonly contents: Contents;
}

/** Checks the members of a seekable archive now; throws what `disks` would. */
export async function openArchive(cursor: Cursor, { choice, single, allDisks, warn, fault }: ArchiveOptions): Promise<Archive> {
  const pack = createPackage(choice.manifest ?? 'if-present', warn, fault);
  const contents = createContents(allDisks ? leftOut(pack, warn) : undefined);
  const reading: Reading = { cursor, choice, single, allDisks, pack, disks: new Set(), contents };
  const surveyed = cursor.seekable ? await survey(reading, warn) : undefined;
  // Digests need the bytes in the order of the archive.
  const leafFirst = surveyed !== undefined && pack.manifest === undefined;
  return {
    leafFirst,
    async *disks(make) {
      if (surveyed === undefined) {
        yield* inTarOrder(reading, chooserFor(reading), warn, (name, body, ahead) => make(name, body, placeOf(name), ahead));
      } else if (!leafFirst) {
        // The survey has reported the warnings.
        const chooser = surveyedChooser(surveyed);
        const places = new Map(surveyed.map(({ name, place }) => [name, place]));
        yield* inTarOrder(
          reading,
          chooser,
          () => {},
          (name, body, ahead) => make(name, body, places.get(name), ahead),
        );
      } else {
        for (const { name, size, offset, place } of surveyed) {
          await cursor.moveTo(offset);
          yield make(name, within(cursor, size), place);
        }
      }
      return reading.contents;
    },
  };
}

/** Reads the headers of the archive: first for the descriptor, then for the disks. */
async function survey(reading: Reading, warn: OnWarning): Promise<readonly SurveyedDisk[]> {
  const { cursor, choice, single, allDisks, pack, contents } = reading;
  for await (const _ of members(reading, warn));
  await cursor.moveTo(0);
  const { named } = pack;
  const { disks, refuseSeveral } = await surveyDisks(
    members(reading, () => {}),
    { choice, allDisks, named, contents },
  );
  if (allDisks) warnOfEmptyDisks(pack, warn);
  pack.finish(choice.disk === undefined ? new Set(disks.map(({ name }) => name)) : undefined);
  if (single) refuseSeveral();
  await cursor.moveTo(0);
  return disks;
}

function chooserFor({ choice, allDisks, pack, contents }: Reading): Chooser {
  const named = (): NamedDisks | undefined => pack.named;
  return choice.raw && choice.disk === undefined ? rawChooser(contents, named, allDisks) : chooserOf(choice, named, allDisks);
}

/** What to do about a disk that no VDI would hold, where all disks are wanted. Throws FORMAT_OTHER unless a descriptor lists the disks. */
function leftOut(pack: OvfPackage, warn: OnWarning): (name: string, format: string | undefined) => void {
  return (name, format) => {
    if (pack.named === undefined && format === undefined) return;
    if (pack.named === undefined) throw otherDiskError(name, format ?? '');
    warn({ code: 'DISK_LEFT_OUT', message: 'the OVF does not list this disk, so it is left out', member: name });
  };
}

function warnOfEmptyDisks({ named }: OvfPackage, warn: OnWarning): void {
  for (const id of named?.empty ?? []) {
    warn({ code: 'DISK_LEFT_OUT', message: `the disk ${quoted(id)} of the OVF has no file: it starts empty, and is left out` });
  }
}

function surveyedChooser(disks: readonly SurveyedDisk[]): Chooser {
  const offsets = new Set(disks.map(({ offset }) => offset));
  return { choose: async ({ offset }) => (offsets.has(offset) ? 'disk' : 'other'), end: () => false };
}

/** Part of a disk of a VM export: `Ref:N/` and a number; before XenServer 4.0, chunks (xapi, ocaml/xapi/import.ml and xva.ml). */
const isXvaDisk = (name: string): boolean => /^(?:\.?\/)*(?:Ref:\d+\/|[\w-]+\/chunk-\d+\.gz$)/.test(name);

/** The members, except those that the package reads: descriptor, manifest and certificate. */
async function* members({ cursor, pack }: Pick<Reading, 'cursor' | 'pack'>, warn: OnWarning): AsyncGenerator<Member, void, void> {
  let first: string | undefined;
  for await (const member of readTar(cursor, warn)) {
    first ??= plainName(member.name);
    if (first === 'ova.xml' && isXvaDisk(member.name)) throw formatError(XVA);
    try {
      if (!(await pack.read(member))) yield member;
    } catch (error) {
      throw inMember(plainName(member.name), error);
    }
  }
}

type MakeDisk<T> = (name: string, body: Cursor, ahead?: Cursor) => T;

async function* inTarOrder<T>(reading: Reading, chooser: Chooser, warn: OnWarning, make: MakeDisk<T>): AsyncGenerator<T, void, void> {
  const { pack, disks, choice, allDisks, contents } = reading;
  let held: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  for await (const member of members(reading, warn)) {
    const name = plainName(member.name);
    try {
      const decision = await chooser.choose(member, name);
      if (decision === 'other' && member.type !== 'file') continue;
      const digests = pack.digester(name);
      const body = digests === undefined ? member.body : hashed(member, digests);
      if (decision === 'disk') {
        disks.add(name);
        refuseOthers(reading);
        yield make(name, body, member.body);
      } else if (decision === 'held') held = { name, bytes: await body.read(member.size) };
      else if (!reading.cursor.seekable) {
        contents.ignore(name, member.offset, allDisks ? await body.peek(TAR_BLOCK) : undefined);
        refuseOthers(reading);
      }
      if (digests !== undefined) await drain(body);
      if (digests !== undefined || decision === 'disk') pack.check(name, digests);
    } catch (error) {
      throw inMember(name, error);
    }
  }
  if (chooser.end() && held !== undefined) {
    disks.add(held.name);
    yield make(held.name, bytesCursor(held.bytes));
  }
  pack.finish(choice.disk === undefined ? disks : undefined);
  if (allDisks && !reading.cursor.seekable) warnOfEmptyDisks(pack, warn);
}

/** In a stream; a survey does so before anything is read. */
function refuseOthers({ cursor, single, choice, pack, disks, contents }: Reading): void {
  const [disk] = disks;
  if (cursor.seekable || !single || choice.raw || choice.disk !== undefined || pack.named !== undefined || disk === undefined) return;
  contents.refuseOthers(disk);
}

function bytesCursor(bytes: Uint8Array): Cursor {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    if (bytes.length > 0) yield bytes;
  }
  return streamCursor(chunks(), bytes.length);
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
