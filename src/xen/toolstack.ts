/**
 * The toolstack of a Xen host, in verbs: all that the life of a VDI takes. Whoever uses them does not know how they are spoken. The
 * command line in Dom0 is one way (xe-toolstack.ts).
 *
 * A verb resolves when the toolstack has it so. Silence is no answer: where the answer is lost, the verb reads the state again, and
 * rejects only if the change is not there or nothing can be read. It rejects with a VdiStreamError, and refusal.ts says what that proves.
 *
 * A verb that takes a signal asks nothing more once it has fired, and rejects with CANCELLED; what was asked before may still take effect.
 * The others take none because cancelling is made of them.
 */

import type { TargetOpener } from '../target/target.ts';
import type { OnWarning } from '../warnings.ts';

export interface Toolstack {
  /** uuid of the host that this process runs on; asked for once. Throws DOM0_UNKNOWN. */
  host(signal?: AbortSignal): Promise<string>;

  /** Throws XE_UUID for an SR that does not exist. */
  srType(sr: string, signal?: AbortSignal): Promise<string>;
  /** The sm-config of an SR. */
  srConfig(sr: string, signal?: AbortSignal): Promise<ReadonlyMap<string, string>>;

  /** Makes a VDI that has the tag from its first moment, and gives its uuid. */
  createVdi(vdi: NewVdi, tag: string, signal?: AbortSignal): Promise<string>;
  /** Bytes: what the SR has made of the size that was asked for. */
  vdiSize(vdi: string, signal?: AbortSignal): Promise<number>;
  /** Takes its detached VBDs along. */
  destroyVdi(vdi: string): Promise<void>;

  /** Makes a VDI writable from here. Where it fails halfway, `vbdsOf` finds what it has made. */
  attach(vdi: Vdi, signal?: AbortSignal): Promise<Attachment>;
  vbdsOf(vdi: string): Promise<Vbds>;
  /** Detaches one of our VBDs, whoever has attached it; fine if it is detached already. Waits a while for what still uses its device. */
  unplug(vbd: string, onWarning?: OnWarning): Promise<void>;

  /** Resolves only if the VDI is still there and has the tag no more. */
  untag(vdi: string, tag: string): Promise<void>;
  /** All tags of the VDIs on one SR, or on all. */
  listTags(sr: string | undefined, signal?: AbortSignal): Promise<string[]>;
  /** uuids of the VDIs that have a tag. */
  listTagged(tag: string, sr?: string, signal?: AbortSignal): Promise<string[]>;
}

export interface NewVdi {
  /** uuid of the SR. */
  readonly sr: string;
  /** name-label. */
  readonly name: string;
  /** Bytes; the SR rounds it up. */
  readonly size: number;
  /** A plain volume or file instead of a VHD. */
  readonly raw: boolean;
}

/** As it was made. */
export interface Vdi {
  readonly uuid: string;
  readonly sr: string;
  /** Bytes, rounded. */
  readonly size: number;
  readonly raw: boolean;
  /** What has not been written to it can be relied on to read as zero. */
  readonly readsZero: boolean;
}

/** A VDI while it is writable from here. */
export interface Attachment {
  /** Opens what the engine writes to. */
  readonly target: TargetOpener;
  /** Resolves when nothing on our side has the VDI attached any more. Call it when the target is closed. */
  detach(onWarning?: OnWarning): Promise<void>;
}

/** uuids of the VBDs of a VDI, plugged or not. */
export interface Vbds {
  /** Those that an attachment makes. */
  readonly ours: readonly string[];
  /** Those of guests and of other hosts. */
  readonly others: readonly string[];
}
