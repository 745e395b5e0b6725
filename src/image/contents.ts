/** Contents: what an archive holds besides the chosen disks, and what that means for the choice. */

import { CONVERT, otherFormat } from '../disk/other-formats.ts';
import { VdiStreamError } from '../errors.ts';
import { isDiskName } from '../ova/select.ts';
import { quoted } from './tree.ts';

export interface Contents {
  /** Names of the files that belong to no disk, in the order of the archive, at most MAX_IGNORED. */
  readonly ignored: readonly string[];
  /** Adds a file that is not a chosen disk, from byte `at` of the archive on. `front` are its first bytes, if they can be had. */
  ignore(name: string, at: number, front?: Uint8Array): void;
  /** The error for an image without a disk. `wanted` is the requested member, if any. */
  noDisk(source: string, wanted: string | undefined): VdiStreamError;
  /** Throws DISK_AMBIGUOUS if there is a disk in another format beside `disk`, unless something else has chosen. */
  refuseOthers(disk: string): void;
  /** The error for `--raw` and an archive of several files, none of which is named as a raw disk. */
  undecided(): VdiStreamError;
}

/** Limits on what is kept about a hostile archive. */
const MAX_IGNORED = 100;

export const otherDiskError = (member: string, format: string): VdiStreamError =>
  new VdiStreamError('FORMAT_OTHER', `the disk of the archive is ${format}, not VHD`, { member, offset: 0, advice: CONVERT });

/** A disk in a format that is not read. */
interface OtherDisk {
  readonly name: string;
  readonly format: string;
}

/** `onDisk` is called for each disk among the files: `format` is set for one that cannot be read. */
export function createContents(onDisk?: (name: string, format: string | undefined) => void): Contents {
  const files = new Map<string, number>();
  let other: OtherDisk | undefined;
  const inOrder = (): string[] => [...files].sort(([, a], [, b]) => a - b).map(([name]) => name);
  return {
    get ignored() {
      return inOrder();
    },
    ignore(name, at, front) {
      if (files.size < MAX_IGNORED) files.set(name, at);
      const found = otherDisk(name, front);
      other ??= found;
      if (found !== undefined || isDiskName(name)) onDisk?.(name, found?.format);
    },
    noDisk(source, wanted) {
      if (wanted !== undefined) return new VdiStreamError('DISK_NOT_FOUND', `${source} has no member "${wanted}"`);
      if (other === undefined) return new VdiStreamError('DISK_NONE', `${source} holds no VHD`);
      return otherDiskError(other.name, other.format);
    },
    refuseOthers(disk) {
      if (other === undefined) return;
      const message = `the archive holds both ${quoted(disk)} and ${quoted(other.name)} (${other.format}), and none was chosen`;
      throw new VdiStreamError('DISK_AMBIGUOUS', message, { member: other.name });
    },
    undecided() {
      const names = inOrder().slice(0, 3).map(quoted).join(', ');
      const more = files.size > 3 ? ' and more' : '';
      const message = `which file is the raw disk? The archive holds ${names}${more}, and none of them is named .raw or .img`;
      return new VdiStreamError('DISK_AMBIGUOUS', message);
    },
  };
}

const OTHER_DISKS: Readonly<Record<string, string>> = {
  vmdk: 'VMDK',
  vhdx: 'VHDX',
  avhdx: 'VHDX',
  qcow2: 'qcow',
  qcow: 'qcow',
  vdi: 'VDI (VirtualBox)',
};

/** By its name, or else by its first bytes. */
function otherDisk(name: string, front: Uint8Array | undefined): OtherDisk | undefined {
  const format = OTHER_DISKS[/\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? ''];
  if (format !== undefined) return { name, format };
  const what = front && /^an? (.+) image$/.exec(otherFormat(front)?.what ?? '')?.[1];
  return what === undefined ? undefined : { name, format: what };
}
