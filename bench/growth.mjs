/** Growth: how the cost of a write grows with each property of an image or of the run, while the others stay the same. */

import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sampleBlocks } from './content.mjs';
import { MEMBER, writeTar } from './ova.mjs';
import { median, runTrial } from './trial.mjs';
import { BLOCK } from './vhd.mjs';

const GROWTH_TRIAL = fileURLToPath(new URL('growth-trial.mjs', import.meta.url));
const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
/** A slope further from 0 than this is flagged. */
const FLAGGED = 0.1;

/**
 * @typedef {object} Point
 * @property {number} x
 * @property {number} bytes  that must be moved
 * @property {number} seconds  median, of the call alone
 * @property {number} cpu  seconds, median
 *
 * @typedef {object} Curve
 * @property {string} name
 * @property {string} unit  of x
 * @property {Point[]} points
 * @property {number} fixed  seconds of an image without data, which are subtracted before the fit
 * @property {number | undefined} slope  cost per byte moved is proportional to x to the power of this; 0 is linear in the bytes moved
 * @property {number | undefined} cpuSlope  the same for CPU seconds
 * @property {boolean} flagged
 *
 * @typedef {object} Shape  of one image
 * @property {number} data  bytes
 * @property {number} size  virtual, bytes
 * @property {number} [block]
 * @property {number} [layers]
 *
 * @typedef {object} Step
 * @property {number} x
 * @property {Shape} shape
 * @property {number} [depth]  buffers
 * @property {number} [cores]
 */

/** @param {{ data: number, most: number }} options  bytes: of data where it is constant, and at most */
export function axes({ data, most }) {
  const same = { data, size: 8 * GiB };
  const upTo = (/** @type {number} */ first, /** @type {number} */ last, factor = 2) => {
    const values = [];
    for (let x = first; x < last; x *= factor) values.push(x);
    return [...values, last];
  };
  /** @param {string} name @param {string} unit @param {readonly number[]} values @param {(x: number) => Omit<Step, 'x'>} step */
  const axis = (name, unit, values, step) => ({ name, unit, steps: values.map((x) => ({ x, ...step(x) })) });
  return [
    axis('allocated', 'GiB', upTo(Math.min(0.25, most / GiB / 4), most / GiB), (x) => ({ shape: { data: x * GiB, size: 16 * GiB } })),
    axis('virtual', 'GiB', upTo(8, 2040, 4), (x) => ({ shape: { data, size: x * GiB } })),
    axis('depth', 'buffers', upTo(1, 32), (x) => ({ shape: same, depth: x })),
    axis('block', 'KiB', upTo(4, 256 * KiB, 8), (x) => ({ shape: { ...same, block: x * KiB } })),
    axis('chain', 'layers', upTo(1, 16), (x) => ({ shape: { ...same, layers: x } })),
    axis('cores', 'cores', [1, 2], (x) => ({ shape: same, cores: x })),
  ];
}

/**
 * @param {{ dir: string, device: import('./device.mjs').Device, rounds: number, data: number, most: number, only: readonly string[] }} options
 * @param {(line: string) => void} say @returns {Promise<Curve[]>}
 */
export async function measureGrowth({ dir, device, rounds, data, most, only }, say) {
  const folder = join(dir, 'growth');
  const curves = [];
  for (const { name, unit, steps } of axes({ data, most })) {
    if (only.length > 0 && !only.includes(name)) continue;
    /** @type {Point[]} */
    const points = [];
    const first = steps[0];
    if (first === undefined) continue;
    // The cost without any data: the smallest image of the same kind.
    const empty = await measure(folder, { ...first, shape: { ...first.shape, data: 0 } }, device, rounds);
    for (const step of steps) {
      const { seconds, cpu } = await measure(folder, step, device, rounds);
      points.push({ x: step.x, bytes: step.shape.data, seconds, cpu });
      say(`${name} ${step.x} ${unit}: ${seconds.toFixed(2)} s, CPU ${cpu.toFixed(2)} s`);
    }
    curves.push(fitted({ name, unit, points, fixed: empty.seconds }, empty.cpu));
  }
  rmSync(folder, { recursive: true, force: true });
  return curves;
}

/** @param {Omit<Curve, 'slope' | 'cpuSlope' | 'flagged'>} curve @param {number} fixedCpu @returns {Curve} */
export function fitted(curve, fixedCpu) {
  const { points, fixed } = curve;
  const slope = slopeOf(points.map(({ x, bytes, seconds }) => ({ x, cost: (seconds - fixed) / bytes })));
  const cpuSlope = slopeOf(points.map(({ x, bytes, cpu }) => ({ x, cost: (cpu - fixedCpu) / bytes })));
  return { ...curve, slope, cpuSlope, flagged: slope !== undefined && Math.abs(slope) > FLAGGED };
}

/** Least squares on logarithms; undefined if a cost is lost in the noise. @param {readonly { x: number, cost: number }[]} points */
function slopeOf(points) {
  if (points.length < 2 || points.some(({ cost }) => !(cost > 0))) return undefined;
  const logs = points.map(({ x, cost }) => ({ x: Math.log(x), y: Math.log(cost) }));
  const mean = { x: logs.reduce((sum, { x }) => sum + x, 0) / logs.length, y: logs.reduce((sum, { y }) => sum + y, 0) / logs.length };
  const spread = logs.reduce((sum, { x }) => sum + (x - mean.x) ** 2, 0);
  return logs.reduce((sum, { x, y }) => sum + (x - mean.x) * (y - mean.y), 0) / spread;
}

/** @param {string} folder @param {Step} step @param {import('./device.mjs').Device} device @param {number} rounds */
async function measure(folder, { shape, depth, cores }, device, rounds) {
  const tar = await imageOf(folder, shape);
  const pinned = cores === undefined ? [] : ['taskset', '--cpu-list', cores === 1 ? '0' : `0-${cores - 1}`];
  const trials = [];
  for (let round = 0; round < rounds; round++) {
    device.reset(0);
    trials.push(await runTrial([...pinned, process.execPath, GROWTH_TRIAL, tar, device.path, String(depth ?? 0)]));
  }
  rmSync(tar);
  return { seconds: median(trials.map((trial) => trial.own?.seconds ?? trial.seconds)), cpu: median(trials.map((trial) => trial.cpu)) };
}

/**
 * The same data, whatever the blocks and layers: the first bytes of the disk, each block in one layer, in turns.
 * @param {string} folder @param {Shape} shape
 */
async function imageOf(folder, { data, size, block = BLOCK, layers = 1 }) {
  mkdirSync(folder, { recursive: true });
  const tar = join(folder, 'image.tar');
  const sample = [...sampleBlocks([0, 1, 2, 3]).values()];
  // A block may be larger than the data, which then fills a part of it.
  const count = Math.ceil(data / block);
  const present = Math.min(block, data);
  const bitmap = block > data ? partOf(block, present) : undefined;
  const bytes = sample.slice(0, count).map((each) => repeated(each, block));
  const members = Array.from({ length: layers }, (_, rank) => {
    const numbers = Array.from({ length: count }, (_, number) => number).filter((number) => number % layers === rank);
    const blocks = new Map(numbers.map((number) => [number, bytes[number % bytes.length] ?? new Uint8Array(block)]));
    const bitmaps = bitmap && new Map(numbers.map((number) => [number, bitmap]));
    const identity = (/** @type {number} */ of) => ({ id: new Uint8Array(16).fill(of + 1), timestamp: 1000 - of });
    const parent = rank < layers - 1 ? { ...identity(rank + 1), name: `${rank + 1}.vhd` } : undefined;
    return /** @type {[string, import('./vhd.mjs').Vhd]} */ ([
      layers === 1 ? MEMBER : `${rank}.vhd`,
      { size, blocks, blockSize: block, identity: identity(rank), ...(bitmaps && { bitmaps }), ...(parent && { parent }) },
    ]);
  });
  await writeTar(tar, members);
  return tar;
}

/** @param {Uint8Array} sample @param {number} length */
function repeated(sample, length) {
  if (length <= sample.length) return sample.subarray(0, length);
  return Buffer.alloc(length, sample);
}

/** A bitmap with the first `present` bytes of a block. @param {number} block @param {number} present */
const partOf = (block, present) => new Uint8Array(block / 512 / 8).fill(0xff, 0, present / 512 / 8);

/** The most data that fits: an image and the device, with as much to spare. @param {string} folder */
export function roomIn(folder) {
  const { bavail, bsize } = statfsSync(folder);
  return Math.min(8 * GiB, Math.floor((bavail * bsize) / 4 / MiB) * MiB);
}

/** @param {readonly Curve[]} curves */
export function growthText(curves) {
  const lines = curves.flatMap((curve) => [
    `${curve.name}: ${slopeText(curve)}`,
    ...curve.points.map(
      ({ x, bytes, seconds, cpu }) =>
        `  ${String(x).padStart(8)} ${curve.unit}  ${(bytes / MiB).toFixed(0).padStart(6)} MiB  ${seconds.toFixed(3)} s  CPU ${cpu.toFixed(3)} s`,
    ),
  ]);
  return `${lines.join('\n')}\n`;
}

/** @param {Curve} curve */
export function slopeText({ slope, cpuSlope, flagged }) {
  const shown = (/** @type {number | undefined} */ value) => (value === undefined ? 'unknown' : value.toFixed(2));
  const verdict = slope === undefined ? 'undecided' : flagged ? 'NOT LINEAR' : 'linear';
  return `${verdict}: slope ${shown(slope)}, of CPU ${shown(cpuSlope)}`;
}
