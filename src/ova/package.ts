/**
 * Package: the files of an OVF package that describe the others (DMTF DSP0243). The descriptor (.ovf) names the disks, the manifest (.mf)
 * has a digest of each file, and the certificate file (.cert) signs the manifest. They may come before the disks or after them.
 */

import { type OnFault, refuse, VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';
import type { OnWarning } from '../warnings.ts';
import {
  type Certificate,
  checkSignature,
  type Digester,
  MAX_MANIFEST_BYTES,
  type Manifest,
  readCertificate,
  readManifest,
} from './manifest.ts';
import { createMemberDigests, type ManifestMode } from './member-digests.ts';
import { MAX_OVF_BYTES, type Ovf, readOvf } from './ovf.ts';
import { folderOf, type NamedDisks, plainName } from './select.ts';
import type { Member } from './tar.ts';

export interface OvfPackage {
  readonly manifest: Manifest | undefined;
  /** The members that the descriptor lists as disks; undefined without a descriptor, or if it does not name them all. */
  readonly named: NamedDisks | undefined;
  /**
   * Reads a member that is a descriptor, a manifest or a certificate file, each only once; false for any other member. Throws OVF_…,
   * MANIFEST_….
   */
  read(member: Member): Promise<boolean>;
  /** Hashes the bytes of a member; undefined if that is not needed. Throws MANIFEST_MISSING. */
  digester(name: string): Digester | undefined;
  /** The member has been read. Throws MANIFEST_DIGEST. */
  check(name: string, found: Digester | undefined): void;
  /**
   * All members have been read; `present` are the disks among them, or undefined if not all are wanted. Throws MANIFEST_MISSING or
   * OVF_DISK_MISSING.
   */
  finish(present: ReadonlySet<string> | undefined): void;
}

/** Passes errors that reading can continue past to `fault`, which throws them by default. */
export function createPackage(mode: ManifestMode, warn: OnWarning, fault: OnFault = refuse): OvfPackage {
  const digests = createMemberDigests(mode, warn, fault);
  let ovf: Ovf | undefined;
  let named: DescribedDisks | undefined;
  let manifestBytes: Uint8Array | undefined;
  let certificate: Certificate | undefined;
  /** Names of the members that the package has read. */
  const ownMembers = new Set<string>();

  async function takeDescriptor(member: Member, name: string): Promise<void> {
    const bytes = await body(member, MAX_OVF_BYTES, 'OVF_XML');
    ovf = readOvf(bytes, name, warn);
    named = disksOf(ovf, folderOf(name), warn);
    digests.expectManifest();
    const hash = digests.digester(name);
    hash?.update(bytes);
    digests.check(name, hash);
  }

  async function takeManifest(member: Member, name: string): Promise<void> {
    const bytes = await body(member, MAX_MANIFEST_BYTES, 'MANIFEST_SYNTAX');
    // The names in a manifest are relative to its own folder.
    const manifest = new Map([...readManifest(bytes, name)].map(([listed, digest]) => [folderOf(name) + listed, digest]));
    manifestBytes = bytes;
    digests.setManifest(manifest, name);
  }

  async function takeCertificate(member: Member, name: string): Promise<void> {
    certificate = readCertificate(await body(member, MAX_MANIFEST_BYTES, 'MANIFEST_SYNTAX'), name);
  }

  /** Only the first member of each kind is used. */
  async function readNew(member: Member, name: string): Promise<boolean> {
    const kind = member.type === 'file' ? /\.(ovf|mf|cert)$/i.exec(name)?.[1]?.toLowerCase() : undefined;
    if (kind === 'ovf' && ovf === undefined) {
      await takeDescriptor(member, name);
      return true;
    }
    if (mode === 'ignore') return false;
    if (kind === 'mf' && manifestBytes === undefined) await takeManifest(member, name);
    else if (kind === 'cert' && certificate === undefined) await takeCertificate(member, name);
    else return false;
    if (certificate !== undefined && manifestBytes !== undefined) checkSignature(certificate, manifestBytes);
    return true;
  }

  return {
    get manifest() {
      return digests.manifest;
    },
    get named() {
      return named;
    },
    async read(member) {
      const name = plainName(member.name);
      const isOwn = ownMembers.has(name) || (await readNew(member, name));
      if (isOwn) ownMembers.add(name);
      return isOwn;
    },
    digester: digests.digester,
    check: digests.check,
    finish(present) {
      digests.finish();
      if (present === undefined) return;
      for (const name of named?.missing(present) ?? []) fault(missing(name));
    },
  };
}

const missing = (member: string): VdiStreamError =>
  new VdiStreamError('OVF_DISK_MISSING', 'the OVF lists this disk, but it is not in the archive', { member });

async function body(member: Member, limit: number, code: 'OVF_XML' | 'MANIFEST_SYNTAX'): Promise<Uint8Array> {
  if (member.size > limit) {
    throw new VdiStreamError(code, `the file has ${member.size} bytes, more than the limit of ${limit}`, {
      member: plainName(member.name),
    });
  }
  return member.body.read(member.size);
}

interface DescribedDisks extends NamedDisks {
  /** The disks that are not among `present`. */
  missing(present: ReadonlySet<string>): readonly string[];
}

/**
 * Undefined for a descriptor without disks, or with a disk whose file it does not list: then the members decide by their names. Throws
 * OVF_CHUNKED.
 */
function disksOf({ disks }: Ovf, folder: string, warn: OnWarning): DescribedDisks | undefined {
  const names = new Set<string>();
  const empty: string[] = [];
  for (const { diskId = '', file } of disks) {
    if (file === undefined) {
      empty.push(diskId);
      continue;
    }
    if (file.chunked) throw new VdiStreamError('OVF_CHUNKED', 'the disk is split into chunks, according to the OVF', { member: file.href });
    names.add(folder + file.href);
  }
  if (names.size === 0 || disks.some(({ dangling }) => dangling)) return undefined;
  const anyCase = new Map([...names].map((name) => [name.toLowerCase(), name]));
  /** Members that were found in another case. */
  const found = new Map<string, string>();
  return {
    empty,
    has(name) {
      if (names.has(name)) return true;
      // Windows, where many descriptors are written, does not distinguish case.
      const listed = anyCase.get(name.toLowerCase());
      if (listed === undefined) return false;
      if (!found.has(listed)) warn({ code: 'OVF_ODD', message: `the OVF calls this member ${quote(listed)}`, member: name });
      found.set(listed, name);
      return true;
    },
    missing: (present) => [...names].filter((name) => !present.has(name) && !present.has(found.get(name) ?? name)),
  };
}
