/**
 * The toolstack of a Xen host: the operations that an import and an export need, whatever the transport. An import needs those of
 * `ImportToolstack`, which XAPI has over the network too (xapi-toolstack.ts); the others need a Dom0, where xe has all of them
 * (xe-toolstack.ts).
 *
 * A change resolves once the toolstack has made it. If the response is lost, the state is read back; the call rejects only if the change
 * is missing or the state cannot be read. All reject with a VdiStreamError; refusal.ts decides what it proves.
 *
 * With a signal, a call sends nothing more once it has fired, and rejects with CANCELLED; what was sent before may still take effect. Calls
 * without one are the ones that undo an import or an export.
 */

import type { TargetOpener } from '../target/target.ts';
import type { OnWarning } from '../warnings.ts';

/** Milliseconds that one command may take, by default. */
export const COMMAND_TIMEOUT = 300_000;

/** What an import needs, from the storage repository to the clean-up. */
export interface ImportToolstack {
  /** Makes sure that there is a host which can write the VDIs of an SR. Throws DOM0_UNKNOWN and, at a distance, SR_UNAVAILABLE. */
  checkHost(sr: string, signal?: AbortSignal): Promise<void>;

  /** Throws XE_UUID for an SR that does not exist. */
  srType(sr: string, signal?: AbortSignal): Promise<string>;
  /** The sm-config of an SR. */
  srConfig(sr: string, signal?: AbortSignal): Promise<ReadonlyMap<string, string>>;

  /** Creates a VDI that has the tag from the start, and resolves with its uuid. */
  createVdi(vdi: NewVdi, tag: string, signal?: AbortSignal): Promise<string>;
  /** Bytes, after the SR has rounded the requested size. */
  vdiSize(vdi: string, signal?: AbortSignal): Promise<number>;
  /** What a VDI is, and what has become of it since it was created. */
  vdiFacts(vdi: string, signal?: AbortSignal): Promise<VdiFacts>;
  /** Also destroys its unplugged VBDs. */
  destroyVdi(vdi: string): Promise<void>;

  /** Makes a VDI writable. If it fails halfway, `vbdsOf` finds the VBD it created. */
  attach(vdi: Vdi, signal?: AbortSignal, onWarning?: OnWarning): Promise<Attachment>;
  vbdsOf(vdi: string): Promise<Vbds>;
  /** Unplugs a VBD that an import has; succeeds if it is already unplugged. Retries for a while if its device is in use. */
  unplug(vbd: string, onWarning?: OnWarning): Promise<void>;

  /** Notes what a VDI was filled from, in its other-config. Resolves only if it is noted. */
  setSource(vdi: string, source: string, signal?: AbortSignal): Promise<void>;
  /** Resolves only if the VDI still exists and no longer has the tag. */
  untag(vdi: string, tag: string): Promise<void>;
  /** uuids of the VDIs that have a tag. */
  listTagged(tag: string, sr?: string, signal?: AbortSignal): Promise<string[]>;
}

/** In Dom0. */
export interface Toolstack extends ImportToolstack {
  /** uuid of the host that this process runs on; looked up once. Throws DOM0_UNKNOWN. */
  host(signal?: AbortSignal): Promise<string>;
  /** Bytes that are free on an SR; undefined if it does not report them. Throws SR_UNAVAILABLE unless the SR is attached to this host. */
  freeSpace(sr: string, signal?: AbortSignal): Promise<number | undefined>;

  /** A VDI that belongs to others. Throws XE_UUID if it does not exist. */
  storedVdi(vdi: string, signal?: AbortSignal): Promise<StoredVdi>;
  /** uuids of the VBDs that are plugged for writing, in any VM. */
  writersOf(vdi: string, signal?: AbortSignal): Promise<string[]>;
  /** Creates a read-only VBD in Dom0, and resolves with its uuid. `before`: the VBDs that the VDI has in Dom0. */
  createReadOnlyVbd(vdi: string, before: readonly string[], signal?: AbortSignal): Promise<string>;
  /** Shows operators whose VBD it is: `vdistream` in its other-config. */
  labelVbd(vbd: string, label: string, signal?: AbortSignal): Promise<void>;
  /**
   * uuids of the read-only VBDs of a VDI in Dom0. `unused`: only those that look as `createReadOnlyVbd` creates them: not plugged, without a
   * label, and not configured by others.
   */
  readOnlyVbds(vdi: string, options: { readonly unused: boolean }, signal?: AbortSignal): Promise<string[]>;
  vbdExists(vbd: string, signal?: AbortSignal): Promise<boolean>;
  /** Plugs a VBD of Dom0, and resolves with the path of its device. A VBD that has certainly not been plugged is destroyed if it fails. */
  plug(vbd: string, vdi: StoredVdi, signal?: AbortSignal, onWarning?: OnWarning): Promise<string>;
  /** Succeeds if it is already gone. */
  destroyVbd(vbd: string): Promise<void>;
  /**
   * Whether a block device, by its number (st_rdev), is that of a VBD which is plugged into this host's Dom0 for writing, or the volume of
   * that VBD's raw VDI.
   */
  isAttached(device: number, signal?: AbortSignal): Promise<boolean>;

  /** uuids of the VDIs on an SR that note this source. A copy or snapshot of one does not count. */
  listBySource(source: string, sr: string, signal?: AbortSignal): Promise<string[]>;
  tagsOf(vdi: string, signal?: AbortSignal): Promise<string[]>;
  /** All tags of the VDIs on one SR, or on all. */
  listTags(sr: string | undefined, signal?: AbortSignal): Promise<string[]>;
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

export interface StoredVdi {
  readonly uuid: string;
  /** uuid of the SR. */
  readonly sr: string;
  /** Bytes, rounded. */
  readonly size: number;
  /** A plain volume or file instead of a VHD. */
  readonly raw: boolean;
}

/** A VDI as created. */
export interface Vdi extends StoredVdi {
  /** Whether unwritten parts are certain to read as zero. */
  readonly readsZero: boolean;
}

export interface VdiFacts {
  /** uuid of the SR. */
  readonly sr: string;
  /** name-label. */
  readonly name: string;
  /** As the toolstack calls it: `user` for a disk. */
  readonly type: string;
  /** Bytes. */
  readonly size: number;
  /** What ties it to other VDIs, one phrase each: snapshots, clones, a parent. */
  readonly relations: readonly string[];
}

/** A VDI while it is writable in a Dom0. */
export interface Attachment {
  readonly target: TargetOpener;
  /** Resolves once the VDI is detached from that Dom0. Close the target first. */
  detach(onWarning?: OnWarning): Promise<void>;
}

/** uuids of the VBDs of a VDI, plugged or not. */
export interface Vbds {
  /** Those in this host's Dom0; at a distance, in that of any host. */
  readonly ours: readonly string[];
  /** Those of guests and, in Dom0, of other hosts. */
  readonly others: readonly string[];
}
