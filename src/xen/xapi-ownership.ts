/** Ownership of a VDI by an import that runs on no Xen host: a tag that finds the VDI. Nothing in Dom0 removes a VDI because of it. */

import { newRemoteTag } from './owner-tag.ts';
import type { TakeOwnership } from './ownership.ts';

export const remoteOwnership: TakeOwnership = async () => {
  const tag = newRemoteTag();
  return { tag, hint: `look for a VDI with the tag ${tag}`, async created() {}, async end() {}, abandon() {} };
};
