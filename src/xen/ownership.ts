/**
 * Ownership of the VDIs of an import, from before each is created until it is finished: an owner tag that finds the VDI, and what proves
 * that the tag is no copy. In Dom0 that is a record of this host.
 */

import { abandon, newOwnerTag } from './owner-tag.ts';
import type { Records } from './record.ts';
import type { NewVdi, Toolstack } from './toolstack.ts';

export interface Ownership {
  /** The text of the owner tag, which no other VDI has. */
  readonly tag: string;
  /** How a VDI with the tag is found that appears after the import has failed. */
  readonly hint: string;
  /** The VDI has been created. */
  created(vdi: string): Promise<void>;
  /** The VDI is finished, or removed. Never rejects. */
  end(): Promise<void>;
  /** The import has given up, although there may be a VDI with the tag. */
  abandon(): void;
}

/** Resolves once the VDI can be created: from then on a kill leaves nothing that cannot be found. */
export type TakeOwnership = (wanted: NewVdi, signal: AbortSignal | undefined) => Promise<Ownership>;

/** Throws RECORD and DOM0_UNKNOWN. */
export const recordedOwnership =
  (toolstack: Toolstack, records: Records): TakeOwnership =>
  async ({ sr, name, size }, signal) => {
    const tag = newOwnerTag(await toolstack.host(signal));
    // A record that stays makes no difference: no VDI has its token, and a later reap removes it.
    const end = (): Promise<void> => records.remove(tag.token).catch(() => {});
    try {
      await records.add(tag.token, { tag: tag.text, sr, name, size });
    } catch (error) {
      await end();
      throw error;
    }
    return {
      tag: tag.text,
      hint: '`vdistream reap` removes it if it appears later',
      created: (vdi) => records.complete(tag.token, vdi),
      end,
      abandon: () => abandon(tag),
    };
  };
