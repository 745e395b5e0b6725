/** The workers of the installed plugin. */

import { glanceImage } from '../glance/image.ts';
import { cachedImage } from '../source/cache.ts';
import { stagedImage } from '../source/staged-image.ts';
import { VERSION } from '../version.ts';
import { importImage } from '../xen/import.ts';
import type { Workers } from './functions.ts';

/** xapi sets neither: they are for tests, and for a wrapper on a host where these are elsewhere. As of the command line. */
const { VDISTREAM_XE: program, VDISTREAM_INVENTORY: inventory } = process.env;

export const workers: Workers = {
  glanceImage,
  stagedImage,
  cachedImage,
  importImage: (image, job) => importImage(image, { ...job, xe: { program, inventory } }),
  version: () => VERSION,
};
