/**
 * Several writes in one process, which share a pool, each to its own part of the device: `node side-by-side.mjs IMAGE DEVICE COPIES STRIDE`.
 */

import { createPool, deviceTarget, writeDisk } from '../dist/index.js';

/** @typedef {import('../src/index.ts').Target} Target */

const [image = '', path = '', copies = '8', stride = '0'] = process.argv.slice(2);
const size = Number(stride);
const device = await deviceTarget(path).open({ size: Number(copies) * size, force: ['content'] });
const pool = createPool();

/** Bytes from `start` on, as a target. @param {number} start @returns {Target} */
const part = (start) => ({
  name: `${path}, from byte ${start}`,
  size,
  align: device.align,
  readsZero: true,
  direct: device.direct,
  write: (bytes, offset, sums) => device.write(bytes, start + offset, sums),
  zero: (offset, length, how, signal) => device.zero(start + offset, length, how, signal),
  read: (into, offset, sums) => device.read(into, start + offset, sums),
  sync: () => device.sync(),
  close: async () => {},
  abandon: async () => {},
});

const parts = Array.from({ length: Number(copies) }, (_, index) => part(index * size));
try {
  await Promise.all(parts.map((target) => writeDisk(image, { name: target.name, open: async () => target }, { pool })));
} finally {
  await device.close();
}
