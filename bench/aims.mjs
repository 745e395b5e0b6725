/** Aims: what the project promises, each judged by two rows from the same run. */

import { CHAINS } from './chain-rows.mjs';
import { COPY_EIGHT, COPY_LIMIT, IGZIP } from './limits.mjs';

/**
 * @typedef {import('./report.mjs').ImageResult} ImageResult
 * @typedef {object} Aim
 * @property {string} text
 * @property {string} measured  as printed
 * @property {boolean | undefined} pass  undefined if a row is missing
 */

const TAR = 'vdistream, tar';
const GZIP = 'vdistream, tar.gz';
/** The rows that do the same job as the other programs, which skip empty parts of the image. The default also zeroes those. */
const SAME_JOB = 'vdistream --zero=assume-zero, tar';
const SAME_JOB_GZIP = 'vdistream --zero=assume-zero, tar.gz';

const VERIFY = 'vdistream --verify, tar';
const EIGHT = 'vdistream, eight at the same time';

const MiB = 2 ** 20;
const MAX_RSS = 150 * MiB;
const MAX_EMPTY = 1.5;
const MAX_CHAIN = 1.2;
/** Reading back costs at most 0.7 of the write. */
const MAX_VERIFY = 1.7;
const MIN_EIGHT = 0.9;

/** @type {readonly { text: string, other: string, ours: string, full: string, least: number }[]} */
const RATIOS = [
  { text: 'plain tar: 2.5 × the tuned pipeline', other: 'tar | dd, tuned, tar', ours: SAME_JOB, full: TAR, least: 2.5 },
  { text: 'plain tar: at least as fast as qemu-img', other: 'qemu-img convert, tar', ours: SAME_JOB, full: TAR, least: 1 },
  { text: 'plain tar: 20 × the literal pipeline', other: 'tar | dd, literal, tar', ours: SAME_JOB, full: TAR, least: 20 },
  { text: 'plain tar: 0.9 × the copy limit', other: COPY_LIMIT, ours: SAME_JOB, full: TAR, least: 0.9 },
  { text: 'tar.gz: igzip to nowhere, within a tenth', other: IGZIP, ours: SAME_JOB_GZIP, full: GZIP, least: 1 / 1.1 },
  { text: 'tar.gz: 2.2 × the tuned pipeline', other: 'tar | dd, tuned, tar.gz', ours: SAME_JOB_GZIP, full: GZIP, least: 2.2 },
];

/** @param {readonly ImageResult[]} images @returns {Aim[]} */
export function judge(images) {
  /** @param {string} image @param {string} name */
  const row = (image, name) => images.find((result) => result.name === image)?.rows.find((found) => found.name === name);

  const ratios = RATIOS.map(({ text, other, ours, full, least }) => {
    const [reference, sameJob, whole] = [other, ours, full].map((name) => row('realistic', name)?.seconds);
    if (!reference || !sameJob || !whole) return missing(text);
    const ratio = reference / sameJob;
    const measured = `${ratio.toFixed(2)} × for the same job; ${(reference / whole).toFixed(2)} × when it also zeroes empty parts`;
    return { text, measured, pass: ratio >= least };
  });

  const chains = CHAINS.map(({ text: way, judged, full }) => {
    const text = `${way}: at most ${MAX_CHAIN} × one VHD`;
    const pairs = row('chain', judged)?.pairs;
    if (pairs === undefined) return missing(text);
    const { low, median, high, work } = pairs;
    const ratio = `${median.toFixed(2)} × (middle half of the rounds: ${low.toFixed(2)} to ${high.toFixed(2)})`;
    const whole = full === judged ? undefined : row('chain', full)?.pairs?.median;
    const zeroing = whole === undefined ? '' : `; ${whole.toFixed(2)} × when it also zeroes empty parts`;
    const limit = work === undefined ? '' : `; reads ${work.read.toFixed(2)} × and writes ${work.written.toFixed(2)} × the bytes`;
    return { text, measured: `${ratio}${zeroing}${limit}`, pass: median <= MAX_CHAIN };
  });

  const verify = '--verify: at most 1.7 × the write without it, tar';
  const verified = row('realistic', VERIFY)?.pairs?.median;
  const sideBySide = 'eight writes at the same time: 0.9 × the copy limit';
  const [eightLimit, eight] = [COPY_EIGHT, EIGHT].map((name) => row('eight', name)?.seconds);
  const all = images.flatMap((image) => image.rows).filter((found) => found.kind === 'ours');
  const peak = Math.max(...all.map((found) => found.rss));
  const memory = 'peak memory under 150 MiB, whatever the image';
  const empty = row('empty', TAR);
  const largest = 'an empty disk of 2040 GiB in under 1.5 s';
  return [
    ...ratios,
    ...chains,
    verified ? { text: verify, measured: `${verified.toFixed(2)} ×`, pass: verified <= MAX_VERIFY } : missing(verify),
    eightLimit && eight
      ? { text: sideBySide, measured: `${(eightLimit / eight).toFixed(2)} ×`, pass: eightLimit / eight >= MIN_EIGHT }
      : missing(sideBySide),
    all.length > 0 ? { text: memory, measured: `${Math.ceil(peak / MiB)} MiB`, pass: peak < MAX_RSS } : missing(memory),
    empty ? { text: largest, measured: `${empty.seconds.toFixed(2)} s`, pass: empty.seconds < MAX_EMPTY } : missing(largest),
  ];
}

/** @param {string} text @returns {Aim} */
const missing = (text) => ({ text, measured: 'not measured', pass: undefined });
