/** The images that the host created, with size and digest of their disks. */

import { readFileSync } from 'node:fs';

/** @type {{ images: import('../payload.mjs').Images }} */
const { images } = JSON.parse(readFileSync('/work/run.json', 'utf8'));
export const { archive, full, patchy, qemu } = images;
