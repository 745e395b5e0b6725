#!/usr/bin/env node
/**
 * `npm run demo`: a first impression. Makes a small OVA, writes its disk to a file, and does the same with tar and dd. Needs Node, tar, gzip
 * and dd, but neither root nor a device.
 */

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sampleBlocks } from './content.mjs';
import { gzipFile, MEMBER, writeOva } from './ova.mjs';
import { BLOCK } from './vhd.mjs';

const MiB = 2 ** 20;
const SIZE = 1024 * MiB;
const BLOCKS = 100;

const say = (/** @type {string} */ text) => void process.stdout.write(`${text}\n`);

/** Removed however the demo ends. */
const folder = mkdtempSync(join(tmpdir(), 'vdistream-demo-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));

await refuseUnbuilt();
say(`First, a small image: ${(BLOCKS * BLOCK) / MiB} MiB of data scattered over a ${SIZE / MiB} MiB disk, as a VHD in a tar.gz.`);
const tar = join(folder, 'image.tar');
await writeOva(tar, { size: SIZE, blocks: someBlocks() });
await gzipFile(tar, join(folder, 'image.ova'));
rmSync(tar);

vdistream('info', 'image.ova');
const ours = vdistream('write', 'image.ova', 'disk.raw', '--verify');
const pipeline = `tar -xzOf image.ova ${MEMBER} | dd of=dd.raw bs=1M conv=fsync`;
const theirs = show(pipeline, 'sh', '-c', pipeline);

say(`
vdistream: ${ours.toFixed(1)} s, read back and compared.  tar | dd: ${theirs.toFixed(1)} s, ${(theirs / ours).toFixed(1)} × as long, with nothing compared.

And dd did not write the disk. It wrote the VHD container from the archive:
  disk.raw  ${facts('disk.raw')}
  dd.raw    ${facts('dd.raw')}
A guest that boots from dd.raw finds "conectix" where the partition table should be.

\`npm run bench\` measures all of this properly; README.md has the results.`);

/** Runs vdistream from this checkout. @param {...string} args */
function vdistream(...args) {
  return show(`vdistream ${args.join(' ')}`, process.execPath, fileURLToPath(new URL('../dist/cli/main.js', import.meta.url)), ...args);
}

/**
 * Runs a command, showing its output and progress bar, and returns its duration in seconds.
 * @param {string} title @param {string} program @param {...string} args
 */
function show(title, program, ...args) {
  say(`\n$ ${title}`);
  const started = performance.now();
  const { status, error } = spawnSync(program, args, { cwd: folder, stdio: 'inherit' });
  if (status !== 0) {
    say(error ? `cannot run ${program}: ${error.message}` : 'The demo ends here.');
    process.exit(status ?? 1);
  }
  return (performance.now() - started) / 1000;
}

/** Size, allocation and first bytes of a file. @param {string} name */
function facts(name) {
  const file = openSync(join(folder, name), 'r');
  const front = Buffer.alloc(8);
  readSync(file, front);
  closeSync(file);
  const { size, blocks } = statSync(join(folder, name));
  const begins = /^[ -~]+$/.test(front.toString('latin1')) ? `"${front}"` : front.toString('hex');
  return `${(size / MiB).toFixed(0).padStart(4)} MiB, ${((blocks * 512) / MiB).toFixed(0)} MiB of them allocated, begins with ${begins}`;
}

async function refuseUnbuilt() {
  try {
    // A computed name, so that the type check does not follow it: dist/ may not exist.
    const { native } = await import(String(new URL('../dist/host/native.js', import.meta.url)));
    native();
  } catch {
    say('vdistream is not built yet. Run `npm run build` (it needs a C++ compiler), then run the demo again.');
    process.exit(1);
  }
}

/** Runs of ten blocks with gaps between them. */
function someBlocks() {
  return sampleBlocks(Array.from({ length: BLOCKS }, (_, index) => index + 40 * Math.floor(index / 10)));
}
