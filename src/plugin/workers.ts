/** The workers of the installed plugin. */

import { uploadImage } from '../engine/upload.ts';
import { glanceImage } from '../glance/image.ts';
import { withLocalCopy } from '../source/local-copy.ts';
import { VERSION } from '../version.ts';
import { xeFromEnvironment } from '../xen/environment.ts';
import { exportedVdi } from '../xen/exported-vdi.ts';
import { importImage } from '../xen/import.ts';
import { vdiDisk } from '../xen/vdi-disk.ts';
import { NOVA_IMAGE } from './upload.ts';
import type { UploadJob, Workers } from './work.ts';

/** xapi sets no environment: its variables are for tests, and for a wrapper on a host that keeps these files elsewhere. */
export const workers: Workers = {
  glanceImage,
  withLocalCopy,
  importImage: (image, job) => importImage(image, { ...job, xe: xeFromEnvironment() }),
  exportedVdi: (leaf, others, signal) => exportedVdi(leaf, others, { xe: xeFromEnvironment(), signal }),
  uploadVdi,
  version: () => VERSION,
};

interface Waits {
  /** Milliseconds; by default those of `uploadImage`. */
  readonly answerTimeout?: number;
  readonly settleTimeout?: number;
}

/** `waits` is for tests. */
export async function uploadVdi(vdi: string, image: string, job: UploadJob, waits: Waits = {}): Promise<{ readonly bytesWritten: number }> {
  const { where, properties, level, signal, onWarning } = job;
  const { endpoints, version, headers, ca } = where;
  const { answerTimeout, settleTimeout } = waits;
  return uploadImage(vdiDisk(vdi, { xe: xeFromEnvironment() }), image, {
    endpoints,
    version,
    headers,
    ca,
    ...NOVA_IMAGE,
    properties,
    level,
    retries: 0,
    answerTimeout,
    settleTimeout,
    signal,
    onWarning,
  });
}
