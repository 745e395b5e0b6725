#!/usr/bin/env node
/**
 * Imports an image (a path, a URL or `-`) to a new VDI, shows progress, and prints the uuid of the VDI.
 *
 *   node import.mjs https://images.example.org/image.ova SR-UUID web-1
 */

import { importImage, VdiStreamError } from 'vdistream';

const [source, sr, name] = process.argv.slice(2);
if (source === undefined || sr === undefined) {
  console.error('usage: import.mjs SOURCE SR-UUID [NAME]');
  process.exit(2);
}

// The first signal cancels, and importImage removes the VDI. After a second one, `vdistream reap` removes it.
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop.abort(new Error(signal)));

let lastPrint = 0;

/** Prints once a second. @type {import('vdistream').OnProgress} */
function onProgress({ phase, done, total }) {
  if (Date.now() < lastPrint + 1000) return;
  lastPrint = Date.now();
  console.error(total > 0 ? `${phase} ${Math.floor((100 * done) / total)}%` : `${phase} ${done} bytes`);
}

try {
  const result = await importImage(source, {
    sr,
    name,
    verify: true,
    signal: stop.signal,
    onProgress,
    onWarning: ({ code, message }) => console.error(`warning: ${message} (${code})`),
    // Unset in Dom0, where the defaults are right.
    xe: { program: process.env.VDISTREAM_XE, inventory: process.env.VDISTREAM_INVENTORY },
  });
  console.error(`${result.bytesWritten} bytes written, ${result.bytesSkipped} skipped, in ${result.seconds.toFixed(1)} s`);
  console.log(result.vdi);
} catch (error) {
  if (!(error instanceof VdiStreamError)) throw error;
  console.error(`${error.message} (${error.code})\n${error.advice}`);
  for (const sentence of error.left) console.error(`left behind: ${sentence}`);
  process.exitCode = error.exitCode;
}
