/** Member digests: those of an archive's members, compared with its manifest wherever that stands, before the members or after them. */

import { type OnFault, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { type Algorithm, type Digester, digester, MAX_MANIFEST_LINES, type Manifest } from './manifest.ts';

/**
 * - `if-present`: digests are compared where there is a manifest; where it comes last, only in an archive that begins with an
 *   OVF, as the standard asks, for others would pay for digests that nobody needs
 * - `require`: no manifest, or a disk that it does not list, is an error
 * - `ignore`: manifests are not read
 */
export type ManifestMode = 'require' | 'if-present' | 'ignore';

export const MANIFEST_MODES: readonly ManifestMode[] = ['require', 'if-present', 'ignore'];

interface MemberDigests {
  readonly manifest: Manifest | undefined;
  /** The archive has an OVF, so that a manifest may still come. */
  expectManifest(): void;
  /** Compares what has come before the manifest, a member called `name`. Throws MANIFEST_DIGEST or MANIFEST_MISSING. */
  setManifest(manifest: Manifest, name: string): void;
  /** What the bytes of a member have to go through, if anything. Throws MANIFEST_MISSING. */
  digester(name: string): Digester | undefined;
  /** The member has been read. Throws MANIFEST_DIGEST. */
  check(name: string, found: Digester | undefined): void;
  /** All members have been read. Throws MANIFEST_MISSING. */
  finish(): void;
}

const ALL: readonly Algorithm[] = ['sha1', 'sha256', 'sha512'];
type Digests = ReturnType<Digester['digests']>;

/** `fault` is called with what would be thrown. */
export function createMemberDigests(mode: ManifestMode, warn: OnWarning, fault: OnFault): MemberDigests {
  let manifest: Manifest | undefined;
  let expected = mode === 'require';
  /** Digests of members that came before the manifest; undefined where none were taken. */
  const unchecked = new Map<string, Digests | undefined>();

  function compare(name: string, digests: Digests): void {
    const listed = manifest?.get(name);
    if (listed === undefined) return;
    const found = digests[listed.algorithm];
    if (found === listed.digest) return;
    const message = `its ${listed.algorithm} is ${found}, but the manifest says ${listed.digest}`;
    fault(new VdiStreamError('MANIFEST_DIGEST', message, { member: name }));
  }

  return {
    get manifest() {
      return manifest;
    },
    expectManifest() {
      expected = true;
    },
    setManifest(read, name) {
      manifest = read;
      for (const [member, digests] of unchecked) {
        if (mode === 'require' && !manifest.has(member)) fault(unlisted(member));
        if (digests !== undefined) compare(member, digests);
        else if (manifest.has(member)) {
          const message = `${name} came behind ${member}, whose digest was not taken; --manifest=require takes it`;
          warn({ code: 'MANIFEST_LATE', message, member });
        }
      }
      unchecked.clear();
    },
    digester(name) {
      if (mode === 'ignore') return undefined;
      if (manifest === undefined) return expected ? digester(ALL) : undefined;
      const listed = manifest.get(name);
      if (listed !== undefined) return digester([listed.algorithm]);
      if (mode === 'require') fault(unlisted(name));
      return undefined;
    },
    check(name, found) {
      if (mode === 'ignore') return;
      // More than a manifest can list need not be remembered.
      if (manifest === undefined && unchecked.size < MAX_MANIFEST_LINES) unchecked.set(name, found?.digests());
      else if (manifest !== undefined && found !== undefined) compare(name, found.digests());
    },
    finish() {
      if (mode === 'require' && manifest === undefined) fault(new VdiStreamError('MANIFEST_MISSING', 'the archive has no manifest'));
    },
  };
}

const unlisted = (member: string): VdiStreamError =>
  new VdiStreamError('MANIFEST_MISSING', 'the manifest does not list this member', { member });
