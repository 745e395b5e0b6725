/** Removes the VDI of an import, or the VBD of an export, in whatever state they were left. */

import { messageOf, VdiStreamError, withLeft } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import type { ImportToolstack, Toolstack } from './toolstack.ts';

/**
 * Removes a VDI and its VBDs in Dom0, as far as possible. Resolves with a sentence for each thing it could not remove; never rejects. Leaves
 * a VDI alone that another VM has attached.
 */
export async function removeVdi(toolstack: ImportToolstack, vdi: string, onWarning?: OnWarning): Promise<string[]> {
  try {
    const { ours, others } = await toolstack.vbdsOf(vdi);
    if (others.length > 0) return [`VDI ${vdi}: attached to another VM by VBD ${others.join(', ')}`];
    for (const vbd of ours) {
      await toolstack.unplug(vbd, onWarning).catch((error: unknown) => {
        throw new VdiStreamError('VBD_DETACH', `VBD ${vbd} is still plugged: ${messageOf(error)}`, { cause: error });
      });
    }
    await toolstack.destroyVdi(vdi);
    return [];
  } catch (error) {
    return [`VDI ${vdi}: ${messageOf(error)}`];
  }
}

/**
 * Unplugs and destroys the VBD of an export, and tries again once if that fails: a command whose response was lost may have been carried out
 * by then. The `left` of its error says that the VBD is still there.
 */
export async function removeVbd(toolstack: Toolstack, vbd: string, vdi: string, onWarning?: OnWarning): Promise<void> {
  const remove = async (): Promise<void> => {
    await toolstack.unplug(vbd, onWarning);
    await toolstack.destroyVbd(vbd);
  };
  await remove().catch((first: unknown) =>
    remove().catch((error: unknown) => {
      throw withLeft(first, [`VBD ${vbd} of VDI ${vdi}: ${messageOf(error)}`]);
    }),
  );
}
