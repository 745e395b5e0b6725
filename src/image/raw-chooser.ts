/** RawChooser: which member of an archive is the raw disk that the caller speaks of: the one named so, else the only file. */

import { checkReadable, isDiskName, isPackageFile, isRawName, type NamedDisks } from '../ova/select.ts';
import type { Chooser } from './chooser.ts';
import type { Contents } from './contents.ts';

/** A smaller file waits until it is known whether it is the only one. */
const MAX_HELD = 64 * 1024;

/** `named` are the disks of the descriptor, as soon as it has come. Throws DISK_AMBIGUOUS, TAR_SPARSE, TAR_NOT_A_FILE. */
export function rawChooser(contents: Contents, named: () => NamedDisks | undefined, allDisks = false): Chooser {
  const isDisk = allDisks ? isDiskName : isRawName;
  let found = false;
  /** Files that are not named as raw disks: only the first can be the only one. */
  let files = 0;
  let first: { readonly name: string; readonly at: number; readonly isHeld: boolean } | undefined;

  const refuseOthers = (): void => {
    if (first === undefined || first.isHeld) return;
    contents.ignore(first.name, first.at);
    throw contents.undecided();
  };

  return {
    async choose(member, name) {
      const listed = named();
      if (listed?.has(name) || (listed === undefined && isDisk(name))) {
        checkReadable(member);
        refuseOthers();
        found = true;
        return 'disk';
      }
      if (member.type !== 'file' || isPackageFile(name)) return 'other';
      if (first !== undefined && !found && !first.isHeld) contents.ignore(name, member.offset);
      refuseOthers();
      files++;
      if (found || listed !== undefined || files > 1) return 'other';
      first = { name, at: member.offset, isHeld: member.size <= MAX_HELD };
      return first.isHeld ? 'held' : 'disk';
    },
    end() {
      if (first === undefined || !first.isHeld) return false;
      if (files === 1 && !found) return true;
      contents.ignore(first.name, first.at);
      if (!found) throw contents.undecided();
      return false;
    },
  };
}
