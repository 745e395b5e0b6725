#!/usr/bin/env node
/**
 * `npm run bench`: vdistream, the pipelines it replaces, and qemu-img, side by side, in one run on one device.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { judge } from './aims.mjs';
import { writeReport } from './charts.mjs';
import { givenDevice, loopDevice } from './device.mjs';
import { growthText, measureGrowth, roomIn } from './growth.mjs';
import { prepareImage, recipes } from './images.mjs';
import { hasModule, hasProgram, machineFacts, obstacle } from './machine.mjs';
import { reportText, summarize } from './report.mjs';
import { ROWS } from './rows.mjs';
import { forget, runTrial, stopTrial, warm } from './trial.mjs';

const HELP = `Usage: npm run bench -- [OPTIONS]

  --trials N      trials per row; 5 by default, at most 2 for the literal pipeline
  --quick         small images and one trial per row, to check that everything works
  --only TEXT     only rows whose IMAGE/ROW contains TEXT, such as realistic/, chain/ or tuned; may be repeated
  --dir DIR       folder for the images, about 20 GiB; by default vdistream-bench in the system's temporary folder
  --device PATH   write to this block device; EVERYTHING ON IT IS LOST. By default a loop device is created
  --json          print the result as JSON instead of the table
  --growth        measure how the cost grows with the data, the virtual size, the blocks and so on; --only NAME for one of them
  --most GIB      with --growth: the largest image, by default what fits in memory, at most 8
  --report        measure nothing: make a page and charts of the latest results, in bench/results/report
  --publish       with --report: also bench/results.json, and the charts in docs/images

Needs root, except for --report. The result is also written to bench/results/latest.json, or partial.json with --quick or --only.
`;

/**
 * @typedef {import('./images.mjs').Image} Image
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {import('./trial.mjs').Trial} Trial
 */

const GiB = 2 ** 30;

const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);

// Prints the message without a stack: errors come from failed programs and files that cannot be written.
process.on('uncaughtException', (error) => {
  say(error.message);
  process.exit(1);
});

const { values: options } = parseArgs({
  options: {
    trials: { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    dir: { type: 'string', default: join(tmpdir(), 'vdistream-bench') },
    device: { type: 'string' },
    json: { type: 'boolean', default: false },
    growth: { type: 'boolean', default: false },
    most: { type: 'string' },
    report: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const rounds = Number(options.trials ?? (options.quick ? 1 : 5));

if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
if (options.report) {
  for (const path of writeReport(options.publish)) say(path);
  process.exit(0);
}
if (!(Number.isInteger(rounds) && rounds > 0)) throw new Error('--trials must be a positive whole number');
const built = existsSync(new URL('../dist/cli/main.js', import.meta.url));
const reason = built ? obstacle() : 'vdistream is not built yet: npm run build';
if (reason !== undefined) {
  say(reason);
  process.exit(1);
}

// However the process ends, it ends the running trial and removes the loop device.
process.on('exit', stopTrial);
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));

const dir = join(options.dir, options.quick ? 'quick' : 'full');
mkdirSync(dir, { recursive: true });
const folder = fileURLToPath(new URL('results/', import.meta.url));
mkdirSync(folder, { recursive: true });

if (options.growth) {
  await growth();
  process.exit(0);
}

/** @type {string[]} */
const leftOut = [];
/** @type {{ image: Image, rows: Row[] }[]} */
const work = [];
for (const recipe of recipes(options)) {
  const rows = await rowsOf(recipe.name);
  if (rows.length > 0) work.push({ image: await prepareImage(recipe, dir, say), rows });
}
if (work.length === 0) {
  say(`no row name matches ${options.only.join(' or ')}`);
  process.exit(1);
}

const machine = machineFacts();
const device = options.device
  ? givenDevice(options.device)
  : loopDevice({
      dir,
      size: Math.max(...work.map(({ image }) => image.size)),
      room: Math.max(...work.map(({ image }) => allocatedBefore(image))),
    });
process.on('exit', device.close);

const images = [];
for (const { image, rows } of work) {
  if (image.size > device.size) leftOut.push(`${image.name}: the device is smaller`);
  else images.push(summarize(image, await measure(image, rows)));
}
const { path, kind, state } = device;
const result = { machine, device: { path, kind, state }, leftOut, images, aims: options.quick ? undefined : judge(images) };
const json = `${JSON.stringify(result, undefined, 2)}\n`;
// Only a full run replaces the latest results.
const whole = !options.quick && options.only.length === 0;
writeFileSync(join(folder, whole ? 'latest.json' : 'partial.json'), json);
process.stdout.write(options.json ? json : reportText(result));

/** Images in memory too, if they fit: they are written once and read a few times. */
async function growth() {
  const { quick, device: path, only } = options;
  const place = existsSync('/dev/shm') ? '/dev/shm' : dir;
  const most = options.most === undefined ? (quick ? GiB / 8 : roomIn(place)) : Number(options.most) * GiB;
  if (!(most >= GiB / 64)) throw new Error('--most must be a number of GiB');
  const target = path ? givenDevice(path) : loopDevice({ dir, size: 2040 * GiB, room: most });
  const images = mkdtempSync(join(place, 'vdistream-bench-'));
  process.on('exit', () => {
    stopTrial();
    target.close();
    rmSync(images, { recursive: true, force: true });
  });
  const data = Math.min(GiB / (quick ? 16 : 4), most);
  const curves = await measureGrowth({ dir: images, device: target, rounds, data, most, only }, say);
  const { kind, state } = target;
  const measured = `${JSON.stringify({ machine: machineFacts(), device: { kind, state }, growth: curves }, undefined, 2)}\n`;
  writeFileSync(join(folder, 'growth.json'), measured);
  process.stdout.write(options.json ? measured : growthText(curves));
}

/** The rows of an image that can run on this machine. @param {string} image  name */
async function rowsOf(image) {
  const rows = [];
  for (const row of ROWS) {
    const id = `${image}/${row.name}`;
    if (!row.images.includes(image)) continue;
    if (options.only.length > 0 && !options.only.some((text) => id.includes(text))) continue;
    const program = row.needs?.find((name) => !hasProgram(name));
    const lacks = row.module && !(await hasModule(row.module)) ? row.module : program;
    if (lacks === undefined) rows.push(row);
    else leftOut.push(`${id}: ${lacks} is not installed`);
  }
  return rows;
}

/**
 * Interleaves the trials (A B C A B C), so that other load on the machine affects all rows alike.
 * @param {Image} image @param {readonly Row[]} rows
 */
async function measure(image, rows) {
  /** @type {Map<Row, Trial[]>} */
  const measured = new Map(rows.map((row) => [row, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [row, trials] of measured) {
      if (round >= (row.most ?? rounds)) continue;
      const files = row.files?.(image) ?? [image[row.reads] ?? ''];
      device.reset(allocatedBefore(image));
      for (const file of files) warm(file);
      const trial = await runTrial(row.argv(image, device.path));
      trials.push(trial);
      say(`${image.name}, round ${round + 1} of ${rounds}: ${trial.seconds.toFixed(2)} s  ${row.name}`);
      if (row.exact && round === 0 && image.raw !== undefined) compare(image.raw, image.size);
      // 8 GiB of raw disk would evict the sources from the page cache.
      if (image.raw !== undefined) forget(image.raw);
    }
  }
  return measured;
}

/**
 * A disk that fits in memory is allocated before a trial; others start empty.
 * @param {Image} image
 */
function allocatedBefore(image) {
  return image.raw === undefined ? 0 : image.size;
}

/** Checks the disk: a fast but wrong result does not count. @param {string} raw @param {number} size */
function compare(raw, size) {
  const command = 'dd if="$1" bs=4M iflag=direct,count_bytes count="$2" status=none | cmp - "$3"';
  execFileSync('bash', ['-o', 'pipefail', '-c', command, 'bash', device.path, String(size), raw], { stdio: 'inherit' });
}
