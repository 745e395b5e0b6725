/** The images that the host has made, and what is known of their disks. */

import { readFileSync } from 'node:fs';

/** @type {{ images: import('../payload.mjs').Images }} */
const { images } = JSON.parse(readFileSync('/work/run.json', 'utf8'));
export const { archive, full, patchy, qemu } = images;
