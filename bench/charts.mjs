/** Charts: the latest results as one page that needs nothing else, and as charts for the README. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bottleneckOf, PART_NAMES } from './bottleneck.mjs';
import { slopeText } from './growth.mjs';
import { COPY_LIMIT, IGZIP } from './limits.mjs';
import { barChart, escaped, lineChart, STYLE, stackChart, standalone } from './svg.mjs';

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/**
 * @typedef {import('./report.mjs').Result} Result
 * @typedef {import('./report.mjs').ImageResult} ImageResult
 * @typedef {import('./growth.mjs').Curve} Curve
 * @typedef {{ readonly name: string, readonly svg: string }} Chart  the name is that of its file
 */

const LIMITS = [
  { reads: 'tar', row: COPY_LIMIT, label: 'limit: copying the allocated bytes' },
  { reads: 'gzip', row: IGZIP, label: 'limit: igzip to nowhere' },
];

/** Returns the paths of what it has written. @param {boolean} publish  also to where the README refers to */
export function writeReport(publish) {
  const results = fileURLToPath(new URL('results/', import.meta.url));
  const latest = ['latest.json', 'partial.json'].map((name) => join(results, name)).find(existsSync);
  if (latest === undefined) throw new Error('there are no results yet: run the bench first');
  /** @type {Result} */
  const measured = JSON.parse(readFileSync(latest, 'utf8'));
  const growth = join(results, 'growth.json');
  const result = existsSync(growth) ? { ...measured, growth: JSON.parse(readFileSync(growth, 'utf8')).growth } : measured;
  const json = `${JSON.stringify(result, undefined, 2)}\n`;
  const charts = chartsOf(result);
  const folder = join(results, 'report');
  const files = [
    { path: join(folder, 'index.html'), content: pageOf(result) },
    ...charts.map(({ name, svg }) => ({ path: join(folder, `${name}.svg`), content: standalone(svg) })),
  ];
  if (publish) {
    const images = fileURLToPath(new URL('../docs/images/', import.meta.url));
    const published = charts.filter(({ name }) => name.startsWith('bench-realistic'));
    files.push({ path: fileURLToPath(new URL('results.json', import.meta.url)), content: json });
    files.push(...published.map(({ name, svg }) => ({ path: join(images, `${name}.svg`), content: standalone(svg) })));
    const text = fileURLToPath(new URL('results.md', import.meta.url));
    files.push({ path: text, content: withTables(readFileSync(text, 'utf8'), result) });
  }
  mkdirSync(folder, { recursive: true });
  for (const { path, content } of files) writeFileSync(path, content);
  return files.map(({ path }) => path);
}

/** @param {Result} result @returns {Chart[]} */
export function chartsOf({ images, growth = [] }) {
  return [
    ...images.flatMap((image) => LIMITS.flatMap((limit) => contenders(image, limit))),
    ...images.flatMap(stagesOf),
    ...growth.map((curve) => ({ name: `bench-growth-${curve.name}`, svg: growthChart(curve) })),
  ];
}

/** @param {ImageResult} image @param {typeof LIMITS[number]} limit @returns {Chart[]} */
function contenders({ name, rows }, { reads, row, label }) {
  // dd with 512-byte blocks would make every other bar too short to compare.
  const shown = rows.filter((each) => each.kind !== 'limit' && each.reads === reads && !each.name.includes('literal'));
  if (shown.length === 0) return [];
  const least = rows.find((each) => each.name === row);
  const bars = shown.map((each) => ({ label: shortName(each.name, reads), value: each.seconds, kind: each.kind }));
  const title = `${name}, ${reads === 'gzip' ? 'tar.gz' : 'tar'}: seconds`;
  return [{ name: `bench-${name}-${reads}`, svg: barChart(title, bars, least && { label, value: least.seconds }) }];
}

/** @param {string} name @param {string} reads */
const shortName = (name, reads) => name.replace(reads === 'gzip' ? /, tar\.gz$/ : /, tar$/, '');

/** @param {ImageResult} image @returns {Chart[]} */
function stagesOf({ name, rows }) {
  const bars = rows.flatMap(({ name: label, parts }) => (parts === undefined ? [] : [{ label, parts: { ...parts } }]));
  return bars.length === 0 ? [] : [{ name: `bench-${name}-stages`, svg: stackChart(`${name}: where the seconds go`, bars, PART_NAMES) }];
}

/** @param {Curve} curve */
function growthChart(curve) {
  const points = curve.points.map(({ x, seconds }) => ({ x, y: seconds }));
  return lineChart(`Growth with ${curve.name}`, slopeText(curve), curve.unit, points);
}

const HEAD = ['', 'seconds', 'min', 'max', 'CPU s', 'peak MiB', '× limit', 'bottleneck'];

/** @param {ImageResult} image */
function tableOf({ rows }) {
  const body = rows.map((row) => {
    const seconds = row.trials.map((trial) => trial.seconds);
    const limit = rows.find((other) => LIMITS.some(({ reads, row: name }) => reads === row.reads && name === other.name));
    const longest = row.parts && bottleneckOf(row.parts);
    return [
      row.name,
      row.seconds.toFixed(2),
      Math.min(...seconds).toFixed(2),
      Math.max(...seconds).toFixed(2),
      row.cpu.toFixed(2),
      (row.rss / MiB).toFixed(0),
      limit ? (row.seconds / limit.seconds).toFixed(2) : '',
      longest ? `${longest.name}, ${(100 * longest.share).toFixed(0)} %` : '',
    ];
  });
  return [HEAD, ...body];
}

/** @param {ImageResult} image */
const sizesOf = ({ size, allocated, tarBytes, gzipBytes }) =>
  `${size / GiB} GiB virtual, ${(allocated / MiB).toFixed(0)} MiB allocated; tar ${(tarBytes / MiB).toFixed(0)} MiB, tar.gz ${(gzipBytes / MiB).toFixed(0)} MiB`;

/** @param {Result} result */
const machineText = ({ machine, device }) =>
  `${machine.date.slice(0, 10)}, ${machine.cores} cores (${machine.cpu}), ${(machine.memory / GiB).toFixed(0)} GiB, Linux ${machine.kernel}, Node ${machine.node}; ${machine.programs.join('; ')}. Load before: ${machine.loadBefore}. Device: ${device.kind}.`;

/** @param {Result} result */
export function pageOf(result) {
  const { images, aims, leftOut, growth = [] } = result;
  const charts = chartsOf(result);
  const figures = (/** @type {(name: string) => boolean} */ wanted) =>
    `<div class="charts">${charts
      .filter(({ name }) => wanted(name))
      .map(({ svg }) => `<figure>${svg}</figure>`)
      .join('')}</div>`;
  const sections = images.map((image) => {
    const [head = [], ...body] = tableOf(image);
    const cells = (/** @type {string} */ tag, /** @type {readonly string[]} */ row) =>
      row.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('');
    const rows = body.map((row) => `<tr>${cells('td', row)}</tr>`).join('');
    return `<section><h2>${escaped(image.name)}</h2><p>${escaped(`${image.what}. ${sizesOf(image)}.`)}</p>
      ${figures((name) => name.startsWith(`bench-${image.name}-`))}
      <div class="table" tabindex="0"><table><thead><tr>${cells('th', head)}</tr></thead><tbody>${rows}</tbody></table></div></section>`;
  });
  const judged = (aims ?? []).map(
    ({ text, measured, pass }) =>
      `<li>${pass === undefined ? 'not measured' : pass ? 'reached' : '<b>missed</b>'}: ${escaped(`${text}: ${measured}`)}</li>`,
  );
  // As data, `<` never begins an end tag.
  const raw = JSON.stringify(result).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,"><title>vdistream: benchmarks</title><style>${STYLE}${PAGE_STYLE}</style></head><body>
<h1>vdistream: benchmarks</h1>
<p>${escaped(machineText(result))}</p>
<p>Medians of interleaved trials, sources in the page cache. Compare ratios, not seconds. A dashed line is the limit that was measured in the
same run. The bottleneck is what the row spent most of its time on.</p>
${sections.join('\n')}
${growth.length > 0 ? `<section><h2>Growth</h2><p>Each curve changes one property and keeps the others. The slope is the power of it that the cost for each byte moved follows, after the cost of an image without data is subtracted: 0 is linear in the bytes moved, and more than 0.1 from it is flagged. It is unknown if a cost is lost in the noise.</p>${figures((name) => name.startsWith('bench-growth-'))}</section>` : ''}
${judged.length > 0 ? `<section><h2>Aims</h2><ul>${judged.join('')}</ul></section>` : ''}
${leftOut.length > 0 ? `<section><h2>Left out</h2><ul>${leftOut.map((each) => `<li>${escaped(each)}</li>`).join('')}</ul></section>` : ''}
<details><summary>All results as JSON</summary><pre tabindex="0">${escaped(JSON.stringify(result, undefined, 2))}</pre></details>
<script type="application/json" id="results">${raw}</script>
</body></html>
`;
}

const PAGE_STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1160px; margin: 0 auto; padding: 16px; }
  h1, h2 { line-height: 1.2; } p { max-width: 75ch; overflow-wrap: anywhere; }
  .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); gap: 24px; align-items: start; }
  figure { margin: 0; } svg { width: 100%; height: auto; max-width: 520px; display: block; }
  .table, pre { overflow-x: auto; } table { border-collapse: collapse; font-size: 14px; margin-top: 16px; }
  th, td { padding: 4px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
  th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; } pre { font-size: 12px; max-height: 60vh; }
`;

const BEGIN = '<!-- results.json -->\n';
const END = '<!-- end -->\n';

/** `page` with the tables of this result between its marks. @param {string} page @param {Result} result */
export function withTables(page, result) {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END).slice(1).join(END);
  if (before === undefined || after === undefined) throw new Error('results.md has no place for the tables of results.json');
  const tables = result.images.map((image) => {
    const [head = [], ...body] = tableOf(image);
    const line = (/** @type {readonly string[]} */ cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    const rule = `| --- |${' ---: |'.repeat(head.length - 2)} --- |`;
    return `### ${image.name}\n\n${sizesOf(image)}\n\n${[line(head), rule, ...body.map(line)].join('\n')}\n`;
  });
  const curves = (result.growth ?? []).map((curve) => `- ${curve.name}: ${slopeText(curve)}`);
  const grown = curves.length > 0 ? `\n### Growth\n\n${curves.join('\n')}\n` : '';
  return `${before}${BEGIN}\n## Latest\n\n${machineText(result)}\n\n${tables.join('\n')}${grown}\n${END}${after}`;
}
