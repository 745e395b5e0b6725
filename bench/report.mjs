/** Report: medians and ratios of trials, as an object for programs and as text for people. */

import { bottleneckOf, partsOf } from './bottleneck.mjs';

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/**
 * @typedef {import('./images.mjs').Image} Image
 * @typedef {import('./rows.mjs').Row} Row
 * @typedef {import('./trial.mjs').Trial} Trial
 *
 * @typedef {object} RowResult  medians over the trials
 * @property {string} name
 * @property {Row['kind']} kind
 * @property {Row['reads']} reads
 * @property {number} seconds
 * @property {number} cpu  seconds
 * @property {number} rss  bytes; the largest of all trials, because the peak must fit
 * @property {number | undefined} ratio  of its seconds to those of vdistream on the same file
 * @property {Pairs | undefined} pairs  compared with the row that it is `over`: for a chain, one VHD
 * @property {import('./bottleneck.mjs').Parts | undefined} parts  where its seconds went, if it is vdistream
 * @property {Trial[]} trials
 *
 * @typedef {object} Pairs  ratios within a round, so that a slow minute of the machine affects both sides
 * @property {number} low  first quartile
 * @property {number} median
 * @property {number} high  third quartile
 * @property {import('./rows.mjs').Work | undefined} work
 *
 * @typedef {object} ImageResult
 * @property {string} name
 * @property {string} what
 * @property {number} size
 * @property {number} allocated
 * @property {number} tarBytes
 * @property {number} gzipBytes
 * @property {import('./chain.mjs').LayerFacts[]} [layers]
 * @property {RowResult[]} rows
 *
 * @typedef {object} Result
 * @property {ReturnType<typeof import('./machine.mjs').machineFacts>} machine
 * @property {{ path: string, kind: string, state: string }} device
 * @property {string[]} leftOut
 * @property {ImageResult[]} images
 * @property {import('./aims.mjs').Aim[] | undefined} aims
 * @property {import('./growth.mjs').Curve[]} [growth]
 */

/** @param {Image} image @param {ReadonlyMap<Row, Trial[]>} measured @returns {ImageResult} */
export function summarize(image, measured) {
  const medians = [...measured].map(([row, trials]) => ({
    name: row.name,
    kind: row.kind,
    reads: row.reads,
    pairs: pairsOf(image, row, measured),
    parts: partsOf(trials),
    seconds: median(trials.map((trial) => trial.seconds)),
    cpu: median(trials.map((trial) => trial.cpu)),
    rss: Math.max(...trials.map((trial) => trial.rss)),
    trials,
  }));
  /** @param {Row['reads']} reads  The raw disk is compared with the plain tar. */
  const base = (reads) => medians.find((row) => row.kind === 'ours' && (row.reads === 'gzip') === (reads === 'gzip'));
  const rows = medians.map(({ reads, trials, ...row }) => {
    const ours = base(reads);
    return { ...row, reads, ratio: ours && row.seconds / ours.seconds, trials };
  });
  const { name, what, size, allocated, tarBytes, gzipBytes, chain } = image;
  return { name, what, size, allocated, tarBytes, gzipBytes, ...(chain && { layers: chain.layers }), rows };
}

/** @param {Image} image @param {Row} row @param {ReadonlyMap<Row, Trial[]>} measured @returns {Pairs | undefined} */
function pairsOf(image, row, measured) {
  const [, others] = [...measured].find(([other]) => other.name === row.over) ?? [];
  if (others === undefined) return undefined;
  const ratios = (measured.get(row) ?? []).map(({ seconds }, round) => seconds / (others[round]?.seconds ?? Number.NaN));
  return { low: quantile(ratios, 0.25), median: median(ratios), high: quantile(ratios, 0.75), work: row.work?.(image) };
}

/** @param {readonly number[]} values */
const median = (values) => quantile(values, 0.5);

/** @param {readonly number[]} values @param {number} share  of the values below the result */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const lower = sorted[Math.floor(at)] ?? 0;
  return lower + ((sorted[Math.ceil(at)] ?? lower) - lower) * (at % 1);
}

const HEAD = ['', 'trials', 'seconds', 'min', 'max', 'MiB/s', 'CPU s', 'peak MiB', '× ours', 'bottleneck'];
const CHAIN_HEAD = ['× one VHD', 'middle half', '× read', '× written'];

/** @param {Result} result */
export function reportText({ machine, device, leftOut, images, aims }) {
  const lines = [
    `${machine.cores} cores (${machine.cpu}), ${(machine.memory / GiB).toFixed(0)} GiB, Linux ${machine.kernel}, Node ${machine.node}, load ${machine.loadBefore}`,
    machine.programs.join('; '),
    `device: ${device.kind}`,
    `  before each trial: ${device.state}`,
    'sources: in the page cache. One process group per trial, trials interleaved, medians; peak of the largest process.',
    'Quote the ratios, not the seconds: nobody runs a device in memory and warm sources in production.',
  ];
  for (const image of images) {
    lines.push(
      '',
      `${image.name}: ${image.what}`,
      `  ${image.size / GiB} GiB virtual, ${mib(image.allocated)} MiB allocated; tar ${mib(image.tarBytes)} MiB, tar.gz ${mib(image.gzipBytes)} MiB`,
      ...(image.layers ? layersText(image.layers) : []),
      ...table(image),
    );
  }
  if (leftOut.length > 0) lines.push('', ...leftOut.map((reason) => `left out: ${reason}`));
  lines.push('');
  if (aims === undefined) lines.push('The aims are judged only by a full run, not with --quick.');
  const width = Math.max(0, ...(aims ?? []).map(({ text }) => text.length));
  for (const { text, measured, pass } of aims ?? []) {
    lines.push(`${pass === undefined ? '  - ' : pass ? 'pass' : 'MISS'}  ${text.padEnd(width)}  ${measured}`);
  }
  return `${lines.join('\n')}\n`;
}

/** @param {readonly import('./chain.mjs').LayerFacts[]} layers  leaf first */
function layersText(layers) {
  return [
    ...layers.map(
      ({ allocated, present, shown }, rank) =>
        `  layer ${rank}: ${mib(allocated)} MiB allocated, ${mib(present)} MiB present, ${mib(shown)} MiB of that shown`,
    ),
    '  × read, × written: the bytes that must be read (in a seekable source, only visible ones) and written, relative to one VHD.',
    '  If bytes were the only cost, no ratio of times would be below the smaller of the two.',
  ];
}

/** @param {ImageResult} image */
function table(image) {
  const head = image.layers ? [...HEAD, ...CHAIN_HEAD] : HEAD;
  const body = image.rows.map((row) => {
    const seconds = row.trials.map((trial) => trial.seconds);
    return [
      row.name,
      String(seconds.length),
      row.seconds.toFixed(2),
      Math.min(...seconds).toFixed(2),
      Math.max(...seconds).toFixed(2),
      image.allocated > 0 ? mib(image.allocated / row.seconds) : '',
      row.cpu.toFixed(2),
      mib(row.rss),
      row.ratio === undefined ? '' : row.ratio.toFixed(2),
      row.parts === undefined ? '' : bottleneckText(row.parts),
      ...(image.layers && row.pairs ? chainCells(row.pairs) : []),
    ];
  });
  const rows = [head, ...body];
  const widths = head.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)));
    return `  ${cells.join('  ')}`;
  });
}

/** @param {import('./bottleneck.mjs').Parts} parts */
function bottleneckText(parts) {
  const { name, share } = bottleneckOf(parts);
  return `${name}, ${(100 * share).toFixed(0)} %`;
}

/** @param {Pairs} pairs */
function chainCells({ low, median, high, work }) {
  const spread = `${low.toFixed(2)} to ${high.toFixed(2)}`;
  return [median.toFixed(2), spread, work?.read.toFixed(2) ?? '', work?.written.toFixed(2) ?? ''];
}

/** @param {number} bytes */
const mib = (bytes) => (bytes / MiB).toFixed(0);
