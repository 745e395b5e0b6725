/** The options and the result of an export. */

import type { DiskOpener } from '../disk/readable.ts';
import type { Guard } from '../errors.ts';
import type { Pool } from '../host/pool.ts';
import type { OnWarning, Warning } from '../warnings.ts';
import type { ExportForm, FormOptions } from './export-form.ts';
import type { OnProgress } from './progress.ts';

/** The path of a device, a volume or a file, the URI of an NBD export, or an opener. */
export type DiskSource = string | DiskOpener;

/** One disk, or several for one image. The layers of a VHD chain follow each other, leaf first, and are one disk. */
export type DisksInput = DiskSource | readonly DiskSource[];

/** What is missing of the form follows from the name of the output: `.ova`, `.tar`, `.tar.gz`, `.vhd`, `.raw`, `.gz`. */
export interface ExportOptions extends FormOptions {
  /** 1, fast, to 9, small; by default 1. Only for gzip. */
  readonly level?: number | undefined;
  /** Bytes per block of a dynamic VHD, a power of two from 4 KiB to 2 MiB, the default. XenServer reads only blocks of 2 MiB. */
  readonly blockSize?: number | undefined;
  /** 4096 places the data of each block of a dynamic VHD at a multiple of 4096 bytes; by default 512. */
  readonly align?: 512 | 4096 | undefined;
  /** Throw USAGE rather than read a disk twice, as a dynamic VHD needs. */
  readonly singlePass?: boolean | undefined;
  /** The sources are raw, even if they begin with a VHD or an archive. */
  readonly raw?: boolean | undefined;
  /** The base of a chain is raw, whatever its name: the source after a differencing VHD that is no VHD. */
  readonly rawBase?: boolean | undefined;
  /** Of the appliance and its files in an archive; by default that of the output. */
  readonly name?: string | undefined;
  /** Afterwards read the output back and compare it with the disks. */
  readonly verify?: boolean | undefined;
  /** Guards to lift, by name: `content` replaces a file, `parent` accepts a layer that was created over a different parent. */
  readonly force?: readonly Guard[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onWarning?: OnWarning | undefined;
  /** Share one to limit the memory of concurrent calls; by default each call creates its own. */
  readonly pool?: Pool | undefined;
}

/** Sizes in bytes. */
export interface ExportedDisk {
  readonly source: string;
  /** Undefined for a bare disk. */
  readonly member: string | undefined;
  readonly virtualSize: number;
  /** In blocks that are not all zero; all of a disk that was read only once. */
  readonly allocatedBytes: number;
}

export interface ExportResult extends ExportForm {
  readonly output: string;
  readonly disks: readonly ExportedDisk[];
  /** Bytes of the image, as stored. */
  readonly bytesWritten: number;
  readonly seconds: number;
  /** Whether the output was read back and compared. */
  readonly verified: boolean;
  readonly warnings: readonly Warning[];
}
