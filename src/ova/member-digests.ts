/** Member digests: compares the members of an archive with its manifest, which may come before or after them. */

import { type OnFault, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import { type Algorithm, type Digester, digester, MAX_MANIFEST_LINES, type Manifest, type ManifestDigests } from './manifest.ts';

/**
 * - `if-present`: check the digests of a manifest. One that comes last is used only if the archive begins with a descriptor, as the
 *   standard requires; other archives would pay for digests that are not needed
 * - `require`: throw if there is no manifest, or it does not list a disk
 * - `ignore`: do not read manifests
 */
export type ManifestMode = 'require' | 'if-present' | 'ignore';

export const MANIFEST_MODES: readonly ManifestMode[] = ['require', 'if-present', 'ignore'];

interface MemberDigests {
  readonly manifest: Manifest | undefined;
  /** The archive has a descriptor, so a manifest may follow. */
  expectManifest(): void;
  /** Checks the members that precede the manifest; `name` is that of the manifest. Throws MANIFEST_DIGEST or MANIFEST_MISSING. */
  setManifest(manifest: Manifest, name: string): void;
  /** Hashes the bytes of a member; undefined if that is not needed. Throws MANIFEST_MISSING. */
  digester(name: string): Digester | undefined;
  /** The member has been read. Throws MANIFEST_DIGEST. */
  check(name: string, found: Digester | undefined): void;
  /** All members have been read. Throws MANIFEST_MISSING. */
  finish(): void;
}

const ALL: readonly Algorithm[] = ['sha1', 'sha256', 'sha512'];
type Digests = ReturnType<Digester['digests']>;

/** Passes its errors to `fault`. */
export function createMemberDigests(mode: ManifestMode, warn: OnWarning, fault: OnFault): MemberDigests {
  let manifest: Manifest | undefined;
  let expected = mode === 'require';
  /** What the manifest lists, by names in lower case. */
  const anyCase = new Map<string, ManifestDigests>();
  /** Digests of members that precede the manifest; undefined if none were computed. */
  const unchecked = new Map<string, Digests | undefined>();

  function compare(name: string, digests: Digests): void {
    for (const [algorithm, digest] of listedFor(name) ?? []) {
      const found = digests[algorithm];
      if (found === digest) continue;
      const message = `the ${algorithm} of this member is ${found}, but the manifest lists ${digest}`;
      fault(new VdiStreamError('MANIFEST_DIGEST', message, { member: name }));
    }
  }

  /** What the manifest lists for a member; if it has no such name, for one that differs in case only. */
  const listedFor = (name: string): ManifestDigests | undefined => manifest?.get(name) ?? anyCase.get(name.toLowerCase());

  return {
    get manifest() {
      return manifest;
    },
    expectManifest() {
      expected = true;
    },
    setManifest(read, name) {
      manifest = read;
      for (const [listed, each] of read) anyCase.set(listed.toLowerCase(), each);
      for (const [member, digests] of unchecked) {
        const listed = listedFor(member);
        if (mode === 'require' && listed === undefined) fault(unlisted(member));
        if (digests !== undefined) compare(member, digests);
        else if (listed !== undefined) {
          const message = `${name} came after ${member}, which was not hashed and so not checked; requiring a manifest checks it`;
          warn({ code: 'MANIFEST_LATE', message, member });
        }
      }
      unchecked.clear();
    },
    digester(name) {
      if (mode === 'ignore') return undefined;
      if (manifest === undefined) return expected ? digester(ALL) : undefined;
      const listed = listedFor(name);
      if (listed !== undefined) return digester([...listed.keys()]);
      if (mode === 'require') fault(unlisted(name));
      return undefined;
    },
    check(name, found) {
      if (mode === 'ignore') return;
      // A manifest cannot list more members than this.
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
