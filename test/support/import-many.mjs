/**
 * Imports in a process of its own, side by side, so that their memory is its own: prints the uuids of the VDIs and the peak of the
 * process's resident memory in KiB. Arguments: the images as a JSON list, options as JSON.
 */
import { readFileSync } from 'node:fs';
import { importImage } from '../../dist/index.js';

const [inputs = '[]', options = '{}'] = process.argv.slice(2);
/** @type {string[]} */
const images = JSON.parse(inputs);
const results = await Promise.all(images.map((image) => importImage(image, JSON.parse(options))));
// Not getrusage, whose peak begins with that of the process that this one was forked from.
const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
process.stdout.write(JSON.stringify({ vdis: results.map(({ vdi }) => vdi), peakKiB: Number(peak) }));
