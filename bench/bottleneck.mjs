/** Bottleneck: what a row of vdistream waited for longest, by its own report of where the time went. */

import { median } from './trial.mjs';

/**
 * @typedef {import('./trial.mjs').Trial} Trial
 *
 * @typedef {object} Parts  of the seconds of a trial, medians: they do not overlap
 * @property {number} start  the process before the first call and after the result
 * @property {number} read  waited for the source
 * @property {number} inflate  waited for the decompressor
 * @property {number} main  the main thread: tar, decode, scan
 * @property {number} write  waited for writes, with every buffer in use or at the end
 * @property {number} sync
 * @property {number} rest  opening, guards, closing
 */

/** What the reader of a report is shown. @type {Readonly<Record<keyof Parts, string>>} */
export const PART_NAMES = {
  start: 'start of the process',
  read: 'reading the source',
  inflate: 'decompressing',
  main: 'main thread',
  write: 'writing',
  sync: 'syncing',
  rest: 'opening and closing',
};

/** Undefined for the rows of other programs. @param {readonly Trial[]} trials @returns {Parts | undefined} */
export function partsOf(trials) {
  const own = trials.flatMap((trial) => (trial.own === undefined ? [] : [partsOfTrial(trial, trial.own)]));
  if (own.length === 0) return undefined;
  /** @param {keyof Parts} part */
  const middle = (part) => median(own.map((parts) => parts[part]));
  return {
    start: middle('start'),
    read: middle('read'),
    inflate: middle('inflate'),
    main: middle('main'),
    write: middle('write'),
    sync: middle('sync'),
    rest: middle('rest'),
  };
}

/** @param {Trial} trial @param {import('./trial.mjs').Own} own @returns {Parts} */
function partsOfTrial({ seconds: whole }, { seconds, stages }) {
  const parts = {
    start: Math.max(0, whole - seconds),
    read: stages.read.waiting,
    inflate: stages.inflate.waiting,
    main: stages.tar.busy + stages.decode.busy + stages.scan.busy,
    write: stages.wait.waiting + stages.write.waiting,
    sync: stages.sync.waiting,
  };
  const counted = Object.values(parts).reduce((sum, part) => sum + part, 0);
  return { ...parts, rest: Math.max(0, whole - counted) };
}

/** The largest part. @param {Parts} parts */
export function bottleneckOf(parts) {
  const [[name, part] = ['rest', 0]] = Object.entries(parts).sort(([, a], [, b]) => b - a);
  const whole = Object.values(parts).reduce((sum, each) => sum + each, 0);
  return { name: PART_NAMES[/** @type {keyof Parts} */ (name)], share: whole > 0 ? part / whole : 0 };
}
