/**
 * Export alone, next to the pipelines that it replaces and to what limits it: `node bench/export.mjs RAW [ROUNDS]`, as root. RAW is a raw disk,
 * such as that of the realistic image: it is copied into memory, and read through a read-only loop device. Interleaved rounds; prints medians,
 * ratios and the aims.
 */

import { statSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shell } from './commands.mjs';
import { diskInMemory } from './device.mjs';
import { median, runTrial } from './trial.mjs';

const VDISTREAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const READ_RANGES = fileURLToPath(new URL('read-ranges.py', import.meta.url));
const MiB = 2 ** 20;
const [raw = '', rounds = '3'] = process.argv.slice(2);

/** @typedef {import('./trial.mjs').Trial} Trial */

const ours = (/** @type {string[]} */ ...args) => [process.execPath, VDISTREAM, 'export', '-q', ...args];

/** @param {string} device @param {string} folder @param {string} disk */
function rows(device, folder, disk) {
  /** @param {string} gzip */
  const pipeline = (gzip) => {
    const vhd = 'qemu-img convert -f raw -O vpc -o force_size=on "$1" "$2/0.vhd"';
    return shell(`${vhd} && tar -C "$2" -cf - 0.vhd | ${gzip} > "$2/pipeline.tar.gz"; rm "$2/0.vhd"`, device, folder);
  };
  return {
    'vdistream, tar.gz': ours('--force=content', device, '-o', join(folder, 'ours.tar.gz')),
    'qemu-img, tar, gzip -1': pipeline('gzip -1'),
    'qemu-img, tar, igzip -1': pipeline('igzip -1'),
    // The last of the pipelines: its size is compared.
    'qemu-img, tar, pigz -1': pipeline('pigz -1'),
    'vdistream, vhd to null:': ours(device, '-o', 'null:'),
    'vdistream --single-pass, raw to null:': ours('--format=raw', '--single-pass', device, '-o', 'null:'),
    'limit: one O_DIRECT read': shell('dd if="$1" of=/dev/null bs=4M iflag=direct status=none', device),
    'limit: one O_DIRECT read of the data': ['python3', READ_RANGES, disk, device],
  };
}

async function bench() {
  const { folder, disk, device } = diskInMemory(raw);

  /** @type {Map<string, Trial[]>} */
  const trials = new Map();
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, argv] of Object.entries(rows(device, folder, disk))) {
      const trial = await runTrial(argv);
      trials.set(name, [...(trials.get(name) ?? []), trial]);
      process.stderr.write(`round ${round + 1} of ${rounds}: ${trial.seconds.toFixed(2)} s  ${name}\n`);
    }
  }
  report(trials, { ours: statSync(join(folder, 'ours.tar.gz')).size, pigz: statSync(join(folder, 'pipeline.tar.gz')).size });
}

/** @param {Map<string, Trial[]>} trials @param {{ ours: number, pigz: number }} sizes */
function report(trials, sizes) {
  const seconds = (/** @type {string} */ name) => median((trials.get(name) ?? []).map((trial) => trial.seconds));
  for (const [name, each] of trials) {
    const [cpu, rss] = [median(each.map((trial) => trial.cpu)), Math.max(...each.map((trial) => trial.rss))];
    console.log(`${name.padEnd(40)} ${seconds(name).toFixed(2)} s  CPU ${cpu.toFixed(2)} s  ${Math.ceil(rss / MiB)} MiB`);
  }
  const gzip = seconds('vdistream, tar.gz');
  const twoReads = seconds('limit: one O_DIRECT read') + seconds('limit: one O_DIRECT read of the data');
  const rss = Math.max(
    ...['vdistream, tar.gz', 'vdistream, vhd to null:'].flatMap((name) => trials.get(name) ?? []).map((trial) => trial.rss),
  );
  console.log(`load ${loadavg()[0]?.toFixed(1)}
at least 6 x the pipeline with gzip -1: ${(seconds('qemu-img, tar, gzip -1') / gzip).toFixed(2)}
at least 2 x the pipeline with pigz -1: ${(seconds('qemu-img, tar, pigz -1') / gzip).toFixed(2)}
                       with igzip -1: ${(seconds('qemu-img, tar, igzip -1') / gzip).toFixed(2)}
at most 1.05 x the size of pigz -1: ${(sizes.ours / sizes.pigz).toFixed(3)}
a vhd at 0.9 of one read of all and one of the data: ${(twoReads / seconds('vdistream, vhd to null:')).toFixed(2)}
one pass at 0.9 of one read: ${(seconds('limit: one O_DIRECT read') / seconds('vdistream --single-pass, raw to null:')).toFixed(2)}
memory below 200 MiB: ${Math.ceil(rss / MiB)} MiB`);
}

if (raw === '') throw new Error('usage: node bench/export.mjs RAW [ROUNDS]');
await bench();
