/** Chain rows: the same disk from one VHD and from a chain, in every form of a chain; rows.mjs defines a row. */

import { ours, shell } from './commands.mjs';

/**
 * @typedef {import('./images.mjs').Image} Image
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {import('./chain.mjs').Chain} Chain
 * @typedef {import('./chain.mjs').LayerFacts} LayerFacts
 */

/**
 * A form of source.
 * @typedef {object} Way
 * @property {string} name  of the rows, before the comma
 * @property {string} how  and after it
 * @property {Row['reads']} reads
 * @property {(image: Image) => readonly string[]} files
 * @property {string} [over]  `how` of the single VHD that it is compared with; undefined for a single VHD itself
 * @property {Row['work']} [work]
 * @property {boolean} [pipe]
 * @property {boolean} [toNull]  reading alone is measured too
 * @property {(image: Image) => readonly string[]} [options]
 */

/** @param {Image} image */
function chainOf({ chain, name }) {
  if (chain === undefined) throw new Error(`the image "${name}" is not a chain`);
  return chain;
}

/** @param {readonly LayerFacts[]} layers @param {Exclude<keyof LayerFacts, 'file'>} fact */
const sum = (layers, fact) => layers.reduce((bytes, layer) => bytes + layer[fact], 0);

/**
 * The bytes read from a chain, and written to the device, as multiples of the disk's allocated bytes.
 * @param {(layers: readonly LayerFacts[]) => number} read @param {'shown' | 'present'} written
 * @returns {NonNullable<Row['work']>}
 */
const work = (read, written) => (image) => {
  const { layers } = chainOf(image);
  return { read: read(layers) / image.allocated, written: sum(layers, written) / image.allocated };
};

/** For a seekable source. */
const shown = (/** @type {readonly LayerFacts[]} */ layers) => sum(layers, 'shown');
const all = (/** @type {readonly LayerFacts[]} */ layers) => sum(layers, 'allocated');
/** For a device, a gzip file is inflated up to its leaf, the last layer, for the size of the disk, and then again from its start. */
const twice = (/** @type {readonly LayerFacts[]} */ layers) => all(layers) + all(layers.slice(1));

const size = (/** @type {Image} */ image) => [`--virtual-size=${image.size}`];

const ONE = 'one VHD';
const LEAF_FIRST = 'chain leaf first';
const BASE_FIRST = 'chain base first';
const PIPED = 'tar from a pipe';
const PIPED_GZIP = 'tar.gz from a pipe';

/** Rows that read the same file are adjacent: many machines lack page cache for all files at the same time. @type {readonly Way[]} */
const PLAIN = [
  { name: ONE, how: 'tar', reads: 'tar', files: (image) => [image.tar], toNull: true },
  { name: ONE, how: PIPED, reads: 'tar', files: (image) => [image.tar], pipe: true },
  {
    name: LEAF_FIRST,
    how: 'tar',
    reads: 'tar',
    files: (image) => [chainOf(image).leafFirst],
    over: 'tar',
    work: work(shown, 'shown'),
    toNull: true,
  },
  { name: 'chain', how: 'files', reads: 'tar', files: (image) => chainOf(image).files, over: 'tar', work: work(shown, 'shown') },
  {
    name: BASE_FIRST,
    how: 'tar',
    reads: 'tar',
    files: (image) => [chainOf(image).baseFirst],
    over: 'tar',
    work: work(shown, 'shown'),
  },
  {
    name: BASE_FIRST,
    how: PIPED,
    reads: 'tar',
    files: (image) => [chainOf(image).baseFirst],
    over: PIPED,
    work: work(all, 'present'),
    pipe: true,
    options: size,
  },
];

/** @type {readonly Way[]} */
const GZIP = [
  { name: ONE, how: 'tar.gz', reads: 'gzip', files: (image) => [image.gzip] },
  { name: ONE, how: PIPED_GZIP, reads: 'gzip', files: (image) => [image.gzip], pipe: true },
  {
    name: LEAF_FIRST,
    how: 'tar.gz',
    reads: 'gzip',
    files: (image) => [chainOf(image).leafFirstGzip],
    over: 'tar.gz',
    work: work(all, 'shown'),
  },
  {
    name: BASE_FIRST,
    how: 'tar.gz',
    reads: 'gzip',
    files: (image) => [chainOf(image).baseFirstGzip],
    over: 'tar.gz',
    work: work(twice, 'present'),
  },
  {
    name: BASE_FIRST,
    how: 'tar.gz, size given',
    reads: 'gzip',
    files: (image) => [chainOf(image).baseFirstGzip],
    over: 'tar.gz',
    work: work(all, 'present'),
    options: size,
  },
  {
    name: BASE_FIRST,
    how: PIPED_GZIP,
    reads: 'gzip',
    files: (image) => [chainOf(image).baseFirstGzip],
    over: PIPED_GZIP,
    work: work(all, 'present'),
    pipe: true,
    options: size,
  },
];

/** With a device assumed to read zero, only data is written, and zeroing cannot mask the cost of a chain. */
const SAME_JOB = ' --zero=assume-zero';

/** @typedef {'' | typeof SAME_JOB} Zero */

/** @param {string} name @param {Zero} zero @param {string} how */
const rowName = (name, zero, how) => `${name}${zero}, ${how}`;

/** @param {Way} way @param {Zero} zero @returns {Row} */
function row({ name, how, reads, files, over, work, pipe, options }, zero) {
  return {
    name: rowName(name, zero, how),
    kind: 'ours',
    reads,
    files,
    images: ['chain'],
    exact: zero === '',
    ...(over && { over: rowName(ONE, zero, over) }),
    ...(work && { work }),
    argv(image, device) {
      const flags = [...(zero ? [zero.trim()] : []), ...(options?.(image) ?? [])];
      const paths = files(image);
      return pipe
        ? shell('tar=$1; shift; cat "$tar" | "$@"', paths[0] ?? '', ...ours(...flags, '-', device))
        : ours(...flags, ...paths, device);
    },
  };
}

/** @param {Way} way @returns {Row} */
const toNowhere = ({ work: _, ...way }) => ({
  ...row(way, ''),
  name: `limit: ${way.name} to null:, ${way.how}`,
  kind: 'limit',
  exact: false,
  ...(way.over && { over: `limit: ${ONE} to null:, ${way.over}` }),
  argv: (image) => ours(...way.files(image), 'null:'),
});

/** @type {readonly Row[]} */
export const CHAIN_ROWS = [
  ...PLAIN.flatMap((way) => [row(way, ''), row(way, SAME_JOB), ...(way.toNull ? [toNowhere(way)] : [])]),
  // Inflating takes long, and the same time each round.
  ...GZIP.map((way) => ({ ...row(way, ''), most: 5 })),
];

/** For the aims: the row that is judged, which writes only data, and the row that also zeroes empty parts. */
export const CHAINS = [...PLAIN, ...GZIP]
  .filter(({ over }) => over !== undefined)
  .map((way) => ({
    text: `${way.name}, ${way.how}`,
    judged: rowName(way.name, PLAIN.includes(way) ? SAME_JOB : '', way.how),
    full: rowName(way.name, '', way.how),
  }));
