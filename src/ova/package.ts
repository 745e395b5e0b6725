/**
 * The papers of an OVF package: its descriptor (.ovf), which names the disks, its manifest (.mf), which has a digest for each file,
 * and its certificate (.cert), which signs the manifest. They may stand in front of the disks or behind them.
 */

import { type OnFault, refuse, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import {
  type Algorithm,
  type Certificate,
  checkSignature,
  type Digester,
  digester,
  MAX_MANIFEST_BYTES,
  MAX_MANIFEST_LINES,
  type Manifest,
  readCertificate,
  readManifest,
} from './manifest.ts';
import { MAX_OVF_BYTES, type Ovf, readOvf } from './ovf.ts';
import { folderOf, plainName } from './select.ts';
import type { Member } from './tar.ts';

/**
 * - `if-present`: digests are compared where there is a manifest; where it comes last, only in an archive that begins with an
 *   OVF, as the standard asks, for others would pay for digests that nobody needs
 * - `require`: no manifest, or a disk that it does not list, is an error
 * - `ignore`: manifests are not read
 */
export type ManifestMode = 'require' | 'if-present' | 'ignore';

export const MANIFEST_MODES: readonly ManifestMode[] = ['require', 'if-present', 'ignore'];

export interface OvfPackage {
  readonly manifest: Manifest | undefined;
  /** The members that the OVF gives as disks; undefined without an OVF. */
  readonly named: ReadonlySet<string> | undefined;
  /** Reads a member that is one of the papers, but not again; false for any other member. Throws OVF_…, MANIFEST_…. */
  read(member: Member): Promise<boolean>;
  /** What the bytes of a member have to go through, if anything. Throws MANIFEST_MISSING. */
  digester(name: string): Digester | undefined;
  /** The member has gone by. Throws MANIFEST_DIGEST. */
  check(name: string, found: Digester | undefined): void;
  /** All members have gone by; `met` are the disks among them, or undefined where not all are wanted. Throws MANIFEST_MISSING or OVF_DISK_MISSING. */
  finish(met: ReadonlySet<string> | undefined): void;
}

const ALL: readonly Algorithm[] = ['sha1', 'sha256', 'sha512'];
type Digests = ReturnType<Digester['digests']>;

/** `fault` gets what reading can go on behind, and is thrown by default. */
export function createPackage(mode: ManifestMode, warn: OnWarning, fault: OnFault = refuse): OvfPackage {
  let ovf: Ovf | undefined;
  let named: ReadonlySet<string> | undefined;
  let manifest: Manifest | undefined;
  let manifestBytes: Uint8Array | undefined;
  let certificate: Certificate | undefined;
  const papers = new Set<string>();
  /** Digests of members that came before the manifest; undefined where none were taken. */
  const waiting = new Map<string, Digests | undefined>();

  function compare(name: string, digests: Digests): void {
    const listed = manifest?.get(name);
    if (listed === undefined) return;
    const found = digests[listed.algorithm];
    if (found === listed.digest) return;
    const message = `its ${listed.algorithm} is ${found}, but the manifest says ${listed.digest}`;
    fault(new VdiStreamError('MANIFEST_DIGEST', message, { member: name }));
  }

  function takeManifest(name: string, bytes: Uint8Array): void {
    manifest = new Map([...readManifest(bytes, name)].map(([listed, digest]) => [folderOf(name) + listed, digest]));
    manifestBytes = bytes;
    for (const [member, digests] of waiting) {
      if (mode === 'require' && !manifest.has(member)) fault(unlisted(member));
      if (digests !== undefined) compare(member, digests);
      else if (manifest.has(member)) {
        const message = `${name} came behind ${member}, whose digest was not taken; --manifest=require takes it`;
        warn({ code: 'MANIFEST_LATE', message, member });
      }
    }
    waiting.clear();
  }

  async function read(member: Member): Promise<boolean> {
    const name = plainName(member.name);
    const known = papers.has(name) || (await readNew(member, name));
    if (known) papers.add(name);
    return known;
  }

  async function readNew(member: Member, name: string): Promise<boolean> {
    const kind = member.type === 'file' ? /\.(ovf|mf|cert)$/i.exec(name)?.[1]?.toLowerCase() : undefined;
    if (kind === 'ovf' && ovf === undefined) {
      const bytes = await body(member, MAX_OVF_BYTES, 'OVF_XML');
      ovf = readOvf(bytes, name);
      named = disksOf(ovf, folderOf(name));
      const digests = digesterOf(name);
      digests?.update(bytes);
      check(name, digests);
      return true;
    }
    if (mode === 'ignore' || (kind !== 'mf' && kind !== 'cert')) return false;
    if (kind === 'mf' && manifest === undefined) takeManifest(name, await body(member, MAX_MANIFEST_BYTES, 'MANIFEST_SYNTAX'));
    else if (kind === 'cert' && certificate === undefined) {
      certificate = readCertificate(await body(member, MAX_MANIFEST_BYTES, 'MANIFEST_SYNTAX'), name);
    } else return false;
    if (certificate !== undefined && manifestBytes !== undefined) checkSignature(certificate, manifestBytes);
    return true;
  }

  function digesterOf(name: string): Digester | undefined {
    if (mode === 'ignore') return undefined;
    if (manifest === undefined) return mode === 'require' || ovf !== undefined ? digester(ALL) : undefined;
    const listed = manifest.get(name);
    if (listed !== undefined) return digester([listed.algorithm]);
    if (mode === 'require') fault(unlisted(name));
    return undefined;
  }

  function check(name: string, found: Digester | undefined): void {
    if (mode === 'ignore') return;
    // More than a manifest can list need not be remembered.
    if (manifest === undefined && waiting.size < MAX_MANIFEST_LINES) waiting.set(name, found?.digests());
    else if (manifest !== undefined && found !== undefined) compare(name, found.digests());
  }

  return {
    get manifest() {
      return manifest;
    },
    get named() {
      return named;
    },
    read,
    digester: digesterOf,
    check,
    finish(met) {
      if (mode === 'require' && manifest === undefined) fault(new VdiStreamError('MANIFEST_MISSING', 'the archive has no manifest'));
      if (met === undefined) return;
      for (const name of named ?? []) {
        if (!met.has(name)) fault(new VdiStreamError('OVF_DISK_MISSING', 'the OVF names this disk, but it is not here', { member: name }));
      }
    },
  };
}

const unlisted = (member: string): VdiStreamError =>
  new VdiStreamError('MANIFEST_MISSING', 'the manifest does not list this member', { member });

async function body(member: Member, most: number, code: 'OVF_XML' | 'MANIFEST_SYNTAX'): Promise<Uint8Array> {
  if (member.size > most) {
    throw new VdiStreamError(code, `${member.size} bytes are too many for this kind of file, ${most} are read`, {
      member: plainName(member.name),
    });
  }
  return member.body.read(member.size);
}

/** Throws OVF_CHUNKED. Undefined for an OVF that names no disk, which then decides nothing. */
function disksOf(ovf: Ovf, folder: string): ReadonlySet<string> | undefined {
  const names = new Set<string>();
  for (const { file } of ovf.disks) {
    if (file === undefined) continue;
    if (file.chunked) throw new VdiStreamError('OVF_CHUNKED', 'the OVF says that this disk is split into chunks', { member: file.href });
    names.add(folder + file.href);
  }
  return names.size === 0 ? undefined : names;
}
