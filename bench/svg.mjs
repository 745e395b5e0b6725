/** SVG: the three kinds of charts of a report. Narrow, so that their text can be read on a phone; colours follow the reader's scheme. */

const WIDTH = 400;
const LINE = 16;

/** Of a page and of each chart that is a file of its own. */
export const STYLE = `
  :root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --paper: #ffffff;
    --ours: #0969da; --qemu: #9a6700; --pipeline: #818b98; --limit: #cf222e;
    --start: #818b98; --read: #1a7f37; --inflate: #8250df; --main: #bf8700; --write: #0969da; --sync: #cf222e; --rest: #d1d9e0; }
  @media (prefers-color-scheme: dark) { :root { --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --paper: #0d1117;
    --ours: #4493f8; --qemu: #d29922; --pipeline: #9198a1; --limit: #f85149;
    --start: #9198a1; --read: #3fb950; --inflate: #ab7df8; --main: #d29922; --write: #4493f8; --sync: #f85149; --rest: #3d444d; } }
  svg text { font: 13px system-ui, sans-serif; fill: var(--ink); } svg text.soft { font-size: 12px; fill: var(--soft); }
  svg text.title { font-size: 14px; font-weight: 600; } svg .axis { stroke: var(--line); } svg .limit { stroke: var(--limit); stroke-width: 2; stroke-dasharray: 3 2; }
`;

/** @typedef {{ readonly label: string, readonly value: number, readonly kind: string }} Bar */

/** @param {string} text */
export const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** @param {number} x @param {number} y @param {string} content @param {string} [attributes] */
const text = (x, y, content, attributes = '') => `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped(content)}</text>`;

/** @param {number} x @param {number} y @param {number} width @param {string} colour */
const bar = (x, y, width, colour) =>
  `<rect x="${round(x)}" y="${round(y)}" width="${round(Math.max(width, 1))}" height="12" rx="2" style="fill: var(--${colour})"/>`;

/** @param {number} number */
const round = (number) => Math.round(number * 10) / 10;

/** @param {number} seconds */
const shown = (seconds) => `${seconds >= 10 ? seconds.toFixed(1) : seconds.toFixed(2)} s`;

/** @param {string} title @param {number} height @param {string} content */
function chart(title, height, content) {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">`;
  return `${head}${text(0, 14, title, 'class="title"')}${content}</svg>`;
}

/**
 * Seconds, one bar each, with the limit as a line through all of them.
 * @param {string} title @param {readonly Bar[]} bars @param {{ label: string, value: number } | undefined} limit
 */
export function barChart(title, bars, limit) {
  const most = Math.max(...bars.map(({ value }) => value), limit?.value ?? 0);
  const scale = (WIDTH - 60) / most;
  const rows = bars.map(({ label, value, kind }, index) => {
    const y = 30 + index * 40;
    return text(0, y + 10, label) + bar(0, y + 16, value * scale, kind) + text(value * scale + 6, y + 26, shown(value), 'class="soft"');
  });
  const bottom = 30 + bars.length * 40;
  // Only through the bars, not through their names.
  const line = limit && bars.map((_, index) => limitLine(limit.value * scale, 30 + index * 40)).join('');
  const note = limit && text(0, bottom + LINE, `┊ ${limit.label}, ${shown(limit.value)}`, 'class="soft" style="fill: var(--limit)"');
  return chart(title, bottom + LINE + 8, rows.join('') + (line ?? '') + (note ?? ''));
}

/** @param {number} x @param {number} y */
const limitLine = (x, y) => `<line class="limit" x1="${round(x)}" x2="${round(x)}" y1="${y + 13}" y2="${y + 31}"/>`;

/**
 * Bars of parts that add up to the whole, and what the colours mean.
 * @param {string} title @param {readonly { label: string, parts: Readonly<Record<string, number>> }[]} bars
 * @param {Readonly<Record<string, string>>} names  of the parts; a colour has the name of its part
 */
export function stackChart(title, bars, names) {
  const sums = bars.map(({ parts }) => Object.values(parts).reduce((sum, part) => sum + part, 0));
  const scale = (WIDTH - 60) / Math.max(...sums);
  const rows = bars.map(({ label, parts }, index) => {
    const y = 30 + index * 40;
    let x = 0;
    const pieces = Object.entries(parts).map(([name, part]) => {
      const piece = part * scale < 0.5 ? '' : bar(x, y + 16, part * scale, name);
      x += part * scale;
      return piece;
    });
    return text(0, y + 10, label) + pieces.join('') + text(x + 6, y + 26, shown(sums[index] ?? 0), 'class="soft"');
  });
  const bottom = 34 + bars.length * 40;
  const keys = Object.entries(names).map(([name, meaning], index) => {
    const [x, y] = [(index % 2) * (WIDTH / 2), bottom + Math.floor(index / 2) * 20];
    return bar(x, y, 12, name) + text(x + 18, y + 11, meaning, 'class="soft"');
  });
  return chart(title, bottom + Math.ceil(keys.length / 2) * 20 + 4, rows.join('') + keys.join(''));
}

/**
 * Seconds over x, both on logarithmic axes.
 * @param {string} title @param {string} note @param {string} unit @param {readonly { x: number, y: number }[]} points
 */
export function lineChart(title, note, unit, points) {
  const frame = { left: 48, right: WIDTH - 16, top: 46, bottom: 200 };
  const across = axisOf(
    points.map(({ x }) => x),
    frame.left,
    frame.right,
  );
  const up = axisOf(
    points.map(({ y }) => y),
    frame.bottom,
    frame.top,
  );
  const line = points.map(({ x, y }) => `${round(across(x))},${round(up(y))}`).join(' ');
  const dots = points.map(({ x, y }) => `<circle cx="${round(across(x))}" cy="${round(up(y))}" r="3" style="fill: var(--ours)"/>`);
  const ends = [...new Set([points[0], points.at(-1)])].flatMap((point) => (point === undefined ? [] : [point]));
  const labels = ends.map(({ x }, index) => {
    const anchor = index === 0 ? 'start' : 'end';
    return text(across(x), frame.bottom + 20, `${Number(x.toFixed(2))} ${unit}`, `class="soft" text-anchor="${anchor}"`);
  });
  const heights = [...new Set([Math.min(...points.map(({ y }) => y)), Math.max(...points.map(({ y }) => y))])];
  const scale = heights.map((y) => text(frame.left - 6, up(y) + 4, shown(y), 'class="soft" text-anchor="end"'));
  const { left, right, bottom, top } = frame;
  const axes = `<path class="axis" fill="none" d="M${left} ${top - 6}V${bottom + 4}H${right}"/>`;
  const curve = `<polyline fill="none" style="stroke: var(--ours); stroke-width: 2" points="${line}"/>`;
  return chart(title, 230, text(0, 32, note, 'class="soft"') + axes + curve + dots.join('') + labels.join('') + scale.join(''));
}

/** From a value to its place, on a logarithmic axis. @param {readonly number[]} values @param {number} from @param {number} to */
function axisOf(values, from, to) {
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  // Less than a factor of two would look like a steep slope.
  const span = Math.max(high - low, Math.LN2);
  return (/** @type {number} */ value) => from + ((Math.log(value) - low) / span) * (to - from);
}

/** A chart as a file of its own. @param {string} svg */
export const standalone = (svg) => svg.replace('>', `><style>${STYLE}</style>`);
