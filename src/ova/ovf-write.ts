/** An OVA of VHDs: the descriptor, the disks, and the manifest, which is last because the digests are known then. */

import type { PackedArchive, PackMember, PackOptions } from './pack.ts';

/** A disk of an OVA: a VHD as a member. */
export interface PackDisk extends PackMember {
  /** Bytes of the disk. */
  readonly virtualSize: number;
}

export interface OvaOptions extends PackOptions {
  /** The name of the appliance, and of its descriptor and manifest. */
  readonly name: string;
}

export declare function packOva(disks: readonly PackDisk[], options: OvaOptions): PackedArchive;
