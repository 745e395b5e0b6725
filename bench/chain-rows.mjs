/** Chain rows: the same disk from one VHD and from a chain, by every way that a chain comes; rows.mjs says what a row is. */

import { ours, shell } from './commands.mjs';

/**
 * @typedef {import('./images.mjs').Image} Image
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {import('./chain.mjs').Chain} Chain
 * @typedef {import('./chain.mjs').LayerFacts} LayerFacts
 */

/**
 * A source as rows see it.
 * @typedef {object} Way
 * @property {string} name  of the rows, before the comma
 * @property {string} how  and behind it
 * @property {Row['reads']} reads
 * @property {(image: Image) => readonly string[]} files
 * @property {string} [over]  `how` of the one VHD that it is compared with; undefined for one VHD itself
 * @property {Row['work']} [work]
 * @property {boolean} [pipe]
 * @property {boolean} [toNull]  reading alone is measured too
 * @property {(image: Image) => readonly string[]} [options]
 */

/** @param {Image} image */
function chainOf({ chain, name }) {
  if (chain === undefined) throw new Error(`the image "${name}" is no chain`);
  return chain;
}

/** @param {readonly LayerFacts[]} layers @param {Exclude<keyof LayerFacts, 'file'>} fact */
const sum = (layers, fact) => layers.reduce((bytes, layer) => bytes + layer[fact], 0);

/**
 * What is read of a chain, and what goes to the device, as multiples of the disk's allocated bytes.
 * @param {(layers: readonly LayerFacts[]) => number} read @param {'shown' | 'present'} written
 * @returns {NonNullable<Row['work']>}
 */
const work = (read, written) => (image) => {
  const { layers } = chainOf(image);
  return { read: read(layers) / image.allocated, written: sum(layers, written) / image.allocated };
};

/** Where the rest can be jumped over. */
const shown = (/** @type {readonly LayerFacts[]} */ layers) => sum(layers, 'shown');
const all = (/** @type {readonly LayerFacts[]} */ layers) => sum(layers, 'allocated');
/** A gzip file is inflated down to its leaf, which is the last, for the size of the disk, and then from its start. */
const twice = (/** @type {readonly LayerFacts[]} */ layers) => all(layers) + all(layers.slice(1));

const size = (/** @type {Image} */ image) => [`--virtual-size=${image.size}`];

const ONE = 'one VHD';
const LEAF_FIRST = 'chain leaf first';
const BASE_FIRST = 'chain base first';
const PIPED = 'tar from a pipe';
const PIPED_GZIP = 'tar.gz from a pipe';

/** Those of one file stand together: page cache for all of them at once is more than many a machine has. @type {readonly Way[]} */
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
    how: PIPED_GZIP,
    reads: 'gzip',
    files: (image) => [chainOf(image).baseFirstGzip],
    over: PIPED_GZIP,
    work: work(all, 'present'),
    pipe: true,
    options: size,
  },
];

/** Said to read zero, the device costs nothing but the data, and a chain has nothing to hide behind. */
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
      const given = [...(zero ? [zero.trim()] : []), ...(options?.(image) ?? [])];
      const paths = files(image);
      return pipe
        ? shell('tar=$1; shift; cat "$tar" | "$@"', paths[0] ?? '', ...ours(...given, '-', device))
        : ours(...given, ...paths, device);
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
  // Inflate takes the same time each round, and much of it.
  ...GZIP.map((way) => ({ ...row(way, ''), most: 5 })),
];

/** For the aims: the row that is judged, which has nothing to hide behind, and the one that also zeroes what is empty. */
export const CHAINS = [...PLAIN, ...GZIP]
  .filter(({ over }) => over !== undefined)
  .map((way) => ({
    text: `${way.name}, ${way.how}`,
    judged: rowName(way.name, PLAIN.includes(way) ? SAME_JOB : '', way.how),
    full: rowName(way.name, '', way.how),
  }));
