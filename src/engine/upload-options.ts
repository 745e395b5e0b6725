/** The options and the result of an upload to an image service. */

import type { GlanceUploadOptions } from '../glance/upload.ts';
import type { Warning } from '../warnings.ts';
import type { ExportedDisk, ExportOptions } from './export-options.ts';

/**
 * The form of the image is that of Nova by default: one VHD in a tar, compressed with gzip. The formats that the service is to list follow
 * from the form; for an image that is sent as it is, from its content.
 */
export interface UploadImageOptions
  extends Omit<ExportOptions, 'verify' | 'name'>,
    Omit<GlanceUploadOptions, 'diskFormat' | 'containerFormat'>,
    Partial<Pick<GlanceUploadOptions, 'diskFormat' | 'containerFormat'>> {
  /** Of an image that is created, and of the appliance in an OVA. */
  readonly name?: string | undefined;
  /** The source is the path of an image, which is sent as it is. */
  readonly asIs?: boolean | undefined;
}

export interface UploadResult {
  readonly image: string;
  /** Whether the record of the image was created for this upload. */
  readonly created: boolean;
  /** The base URL of the image service. */
  readonly endpoint: string;
  readonly diskFormat: string;
  readonly containerFormat: string;
  /** Empty for an image that was sent as it is. */
  readonly disks: readonly ExportedDisk[];
  /** Bytes of the image, as stored. */
  readonly bytesWritten: number;
  /** Of the bytes that were sent, in hexadecimal; undefined if the service has another checksum. */
  readonly sha512: string | undefined;
  /** The algorithm of the checksum by which the service's image was compared; undefined if there was none to compare. */
  readonly compared: string | undefined;
  readonly seconds: number;
  readonly warnings: readonly Warning[];
}
