/** The options of an import and of its dry run. */

import type { WriteOptions } from '../engine/write.ts';
import type { XapiOptions } from './xapi-options.ts';
import type { XeOptions } from './xe.ts';

export interface ImportOptions extends Omit<WriteOptions, 'zeroTail'> {
  /** uuid of the storage repository for the VDI. */
  readonly sr: string;
  /** name-label of the VDI; the name of the source by default. */
  readonly name?: string | undefined;
  /** A plain volume instead of a VHD: faster to write, but it cannot be snapshotted or cloned. */
  readonly rawVdi?: boolean | undefined;
  readonly xe?: XeOptions | undefined;
  /** A pool that is reached over the network, in place of the host that this process runs on. Only `importImage` accepts it. */
  readonly xapi?: XapiOptions | undefined;
}

/** `disk` and `virtualSize` are about one disk. `name` is that of the first VDI; the others have their number after it. */
export type ImportDisksOptions = Omit<ImportOptions, 'disk' | 'virtualSize' | 'xapi'>;

/** `sr` is only used to find out whether its new disks read as zero. */
export type ImportDeviceOptions = Omit<ImportOptions, 'sr' | 'name' | 'xapi'> & { readonly sr?: string | undefined };
