/** Removing a VDI of ours, in whatever state its import has left it. */

import { messageOf, VdiStreamError } from '../errors.ts';
import type { OnWarning } from '../warnings.ts';
import type { Toolstack } from './toolstack.ts';

/**
 * Removes a VDI and the VBDs that attach it on our side, as far as that can be done. Resolves with what could not, in sentences; never
 * rejects. A VDI that another machine has got hold of is left alone.
 */
export async function removeVdi(toolstack: Toolstack, vdi: string, onWarning?: OnWarning): Promise<string[]> {
  try {
    const { ours, others } = await toolstack.vbdsOf(vdi);
    if (others.length > 0) return [`VDI ${vdi}: another machine has it attached, by VBD ${others.join(', ')}`];
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
