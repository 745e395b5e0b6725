#!/usr/bin/env node
/**
 * `node bench/import.mjs`: the overhead of `vdistream import`. Each round writes an image to a loop device, then imports it to one created by
 * the tests' stand-in toolstack, which answers immediately; the difference is the overhead. Needs root and g++.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ask } from '../test/stand-in/ask.mjs';
import { dynamicVhd } from '../test/support/make-vhd.mjs';
import { median } from './trial.mjs';

const MiB = 2 ** 20;
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '11' }, json: { type: 'boolean', default: false } } });
const rounds = Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error('--rounds must be a positive whole number');

const path = (/** @type {string} */ name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const folder = mkdtempSync('/dev/shm/vdistream-bench-import-');

/** @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env] */
function time(args, env = {}) {
  const start = process.hrtime.bigint();
  const stdout = execFileSync(process.execPath, [path('dist/cli/main.js'), ...args, '--quiet'], { env: { ...process.env, ...env } });
  return { seconds: Number(process.hrtime.bigint() - start) / 1e9, stdout: String(stdout).trim() };
}

/** One of every four blocks is allocated. @param {number} size bytes */
function makeImage(size) {
  const numbers = Array.from({ length: size / (8 * MiB) }, (_, index) => index * 4);
  const block = Buffer.alloc(2 * MiB, 'vdistream ');
  const file = join(folder, `${size}.vhd`);
  writeFileSync(file, dynamicVhd({ size, blocks: new Map(numbers.map((number) => [number, block])) }));
  return file;
}

/** @param {string} image @param {number} size @param {string} sr @param {NodeJS.ProcessEnv} env */
function measure(image, size, sr, env) {
  const backing = join(folder, 'device');
  const pairs = [];
  for (let round = 0; round < rounds; round++) {
    execFileSync('truncate', ['-s', String(size), backing]);
    const device = execFileSync('losetup', ['--find', '--show', '--direct-io=on', backing], { encoding: 'utf8' }).trim();
    let write = 0;
    try {
      write = time(['write', image, device, '--zero=assume-zero']).seconds;
    } finally {
      execFileSync('losetup', ['--detach', device]);
      execFileSync('truncate', ['-s', '0', backing]);
    }
    const imported = time(['import', image, '--sr', sr], env);
    // Otherwise the next import would pay for allocating fresh memory.
    execFileSync(xe, ['vdi-destroy', `uuid=${imported.stdout}`]);
    pairs.push({ write, import: imported.seconds });
  }
  const own = pairs.map((pair) => pair.import - pair.write);
  return {
    size,
    write: median(pairs.map((pair) => pair.write)),
    import: median(pairs.map((pair) => pair.import)),
    own: median(own),
    least: Math.min(...own),
    most: Math.max(...own),
  };
}

mkdirSync(join(folder, 'xen', 'bin'), { recursive: true });
const xe = join(folder, 'xen', 'bin', 'xe');
const server = spawn(process.execPath, [path('test/stand-in/xapi.mjs'), join(folder, 'xen')], { stdio: ['ignore', 'pipe', 'inherit'] });
try {
  await once(server.stdout, 'data');
  execFileSync('g++', ['-std=c++17', '-O1', '-o', xe, path('test/stand-in/xe.cc')]);
  const { host, vm } = JSON.parse(readFileSync(join(folder, 'xen', 'state.json'), 'utf8'));
  const inventory = join(folder, 'inventory');
  // A storage driver domain is a control domain, too.
  const isDom0 = (/** @type {{ domId: number, residentOn: string }} */ guest) => guest.domId === 0 && guest.residentOn === host[0].uuid;
  const dom0 = vm.find(isDom0);
  writeFileSync(inventory, `INSTALLATION_UUID='${host[0].uuid}'\nCONTROL_DOMAIN_UUID='${dom0.uuid}'\n`);
  const sr = await ask(join(folder, 'xen', 'socket'), { do: 'sr', type: 'lvm', options: {} });
  const env = { VDISTREAM_XE: xe, VDISTREAM_INVENTORY: inventory };
  const results = [64 * MiB, 1024 * MiB, 4096 * MiB].map((size) => measure(makeImage(size), size, String(sr), env));
  if (values.json) console.log(JSON.stringify(results));
  else {
    console.log('disk       write    import   overhead (least to most)');
    for (const { size, own, least, most, ...row } of results) {
      const cells = [row.write, row.import, own].map((seconds) => `${seconds.toFixed(3)} s`.padEnd(9));
      console.log(`${`${size / MiB} MiB`.padEnd(10)} ${cells.join('')}(${least.toFixed(3)} to ${most.toFixed(3)} s)`);
    }
  }
} finally {
  server.kill('SIGTERM');
  if (server.exitCode === null) await once(server, 'exit');
  rmSync(folder, { recursive: true, force: true });
}
