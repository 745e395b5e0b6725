/** One write for growth.mjs, with a pool of as many buffers as given, or the default: `node growth-trial.mjs IMAGE DEVICE DEPTH`. */

import { createPool, writeDisk } from '../dist/index.js';

const [image = '', device = '', depth = '0'] = process.argv.slice(2);
const pool = depth === '0' ? createPool() : createPool({ count: Number(depth) });
const { seconds, stages } = await writeDisk(image, device, { zero: 'assume-zero', force: ['content'], pool });
console.log(JSON.stringify({ seconds, stages }));
