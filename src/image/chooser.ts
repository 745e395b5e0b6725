/** Chooser: which members of an archive in a stream are disks, decided as they come, from what has come before. */

import { VdiStreamError } from '../errors.ts';
import { checkReadable, isDiskName, isNamedParent, isRawName, isRequested, isVhdName, type NamedDisks, placeOf } from '../ova/select.ts';
import type { Member } from '../ova/tar.ts';
import { isOverRaw, type LinkFacts, linkId } from '../vhd/links.ts';
import type { ImageChoice } from './choice.ts';
import { beginsAsVhd, memberLinks } from './peek.ts';
import { quoted } from './tree.ts';

/** Held: a small file that is the disk only if nothing better comes. */
type Decision = 'disk' | 'held' | 'other';

export interface Chooser {
  /** `name` is that of the member in its plain form. Reads nothing of the body, but may peek at it. */
  choose(member: Member, name: string): Promise<Decision>;
  /** All members have come. Whether the held one is the disk. */
  end(): boolean;
}

/** `named` are the disks of the descriptor, as soon as it has come. Throws CHAIN_ORDER, TAR_SPARSE, TAR_NOT_A_FILE. */
export function chooserOf({ disk, inflate, rawBase }: ImageChoice, named: () => NamedDisks | undefined, allDisks = false): Chooser {
  const parents = createParents();
  const byNumber = disk !== undefined && placeOf(disk) !== undefined;
  let hasVhd = false;

  const isChosen = (name: string): boolean => {
    if (disk !== undefined) return isRequested(name, disk) || isNamedParent(name, disk);
    const listed = named();
    if (listed !== undefined) return listed.has(name);
    if (allDisks) return isDiskName(name);
    return isVhdName(name) || (isRawName(name) && (!hasVhd || parents.awaitsRaw(rawBase === true)));
  };

  return {
    async choose(member, name) {
      const plain = name.replace(/\/$/, '');
      const chosen = isChosen(plain) || (allDisks && named() === undefined && (await beginsAsVhd(member)));
      if (chosen) checkReadable(member);
      else if (member.type !== 'file' || byNumber || !(isVhdName(plain) || isRawName(plain))) return 'other';
      const facts = await memberLinks(plain, member.body, inflate);
      if (!chosen && !parents.awaits(facts)) {
        parents.pass(name, facts);
        return 'other';
      }
      hasVhd ||= isVhdName(plain);
      parents.take(name, facts);
      return 'disk';
    },
    end() {
      parents.end();
      return false;
    },
  };
}

/** The parents of the chosen disks that have not come yet, and the disks that went by without being chosen. */
interface Parents {
  awaits(facts: LinkFacts | undefined): boolean;
  /** Whether a raw disk is awaited; with `any`, any parent may be raw. */
  awaitsRaw(any: boolean): boolean;
  /** Throws CHAIN_ORDER if the parent of the disk has gone by. */
  take(name: string, facts: LinkFacts | undefined): void;
  pass(name: string, facts: LinkFacts | undefined): void;
  end(): void;
}

function createParents(): Parents {
  const taken = new Set<string>();
  /** By unique ID: the chosen disk that is over it. */
  const awaited = new Map<string, { readonly child: string; readonly isRaw: boolean }>();
  const passed = new Map<string, string>();
  /** A fixed VHD has its unique ID only at its end. */
  let unidentified: string | undefined;

  function tooEarly(child: string, parent: string): VdiStreamError {
    return new VdiStreamError('CHAIN_ORDER', `the parent of this layer, ${quoted(parent)}, comes before it`, { member: child });
  }

  return {
    awaits: (facts) => awaited.has((facts && linkId(facts)) ?? ''),
    awaitsRaw: (any) => [...awaited.values()].some(({ isRaw }) => any || isRaw),
    take(name, facts) {
      const id = facts && linkId(facts);
      if (id !== undefined) {
        taken.add(id);
        awaited.delete(id);
      }
      const parent = facts?.parent?.uniqueId;
      if (facts === undefined || parent === undefined || taken.has(parent)) return;
      const early = passed.get(parent);
      if (early !== undefined) throw tooEarly(name, early);
      awaited.set(parent, { child: name, isRaw: isOverRaw(facts) });
    },
    pass(name, facts) {
      const id = facts && linkId(facts);
      if (id !== undefined) passed.set(id, name);
      else if (facts?.type === 'fixed') unidentified ??= name;
    },
    end() {
      const [missing] = awaited.values();
      if (missing !== undefined && unidentified !== undefined) {
        const message = `the parent of this layer has not come, unless it is ${quoted(unidentified)}, a fixed VHD, whose unique ID is at its end`;
        throw new VdiStreamError('CHAIN_ORDER', message, { member: missing.child });
      }
    },
  };
}
