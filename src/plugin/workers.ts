/** The workers of the installed plugin. */

import { glanceImage } from '../glance/image.ts';
import { withLocalCopy } from '../source/local-copy.ts';
import { VERSION } from '../version.ts';
import { xeFromEnvironment } from '../xen/environment.ts';
import { importImage } from '../xen/import.ts';
import type { Workers } from './functions.ts';

export const workers: Workers = {
  glanceImage,
  withLocalCopy,
  // xapi sets no environment: the variables are for tests, and for a wrapper on a host that keeps these files elsewhere.
  importImage: (image, job) => importImage(image, { ...job, xe: xeFromEnvironment() }),
  version: () => VERSION,
};
