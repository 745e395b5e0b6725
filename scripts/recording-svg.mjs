/**
 * From the states of a screen to an animated SVG: each row is drawn once for each text that it shows, and is visible while it shows it.
 * Where nothing moves (no CSS animations, or a reader who asked for reduced motion) the last state is shown.
 */

/** @typedef {import('./terminal.mjs').Span} Span */
/** @typedef {{ at: number, rows: Span[][] }} State  `at` in seconds */
/** @typedef {{ row: number, spans: Span[], from: number, until: number }} Line */

const CHAR = 8.4;
const LINE = 19;
const PADDING = 16;
/** By SGR parameters. @type {Readonly<Record<string, string>>} */
const CLASSES = { '': '', '1;32': 'p', 1: 'b' };

const escaped = (/** @type {string} */ text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const rounded = (/** @type {number} */ value) => String(Math.round(value * 100) / 100);

/** @param {State[]} states @param {{ columns: number, rest: number, title: string }} options  `rest`: seconds the last state stays */
export function recordingSvg(states, { columns, rest, title }) {
  const end = (states.at(-1)?.at ?? 0) + rest;
  const lines = linesOf(states, end);
  const width = Math.ceil(columns * CHAR + 2 * PADDING);
  const height = (Math.max(...lines.map(({ row }) => row)) + 1) * LINE + 2 * PADDING;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escaped(title)}</title>
<style>
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d8dee9;white-space:pre}
.p{fill:#7ee787;font-weight:bold}.b{font-weight:bold;fill:#fff}
.h{visibility:hidden}
${lines.map((line, index) => keyframes(line, index, end)).join('\n')}
@media(prefers-reduced-motion:reduce){text{animation:none!important}}
</style>
<rect width="100%" height="100%" rx="8" fill="#161b22"/>
${lines.map((line, index) => text(line, index, end)).join('\n')}
</svg>
`;
}

/** Each text of each row, with the time in which it is shown. @param {State[]} states @param {number} end */
function linesOf(states, end) {
  /** @type {Line[]} */
  const lines = [];
  /** @type {Map<number, Line & { key: string }>} */
  const shown = new Map();
  for (const { at, rows } of states) {
    for (const [row, spans] of rows.entries()) {
      const key = JSON.stringify(spans);
      const before = shown.get(row);
      if (before?.key === key) continue;
      if (before !== undefined) before.until = at;
      shown.delete(row);
      if (spans.length === 0) continue;
      const line = { row, spans, from: at, until: end, key };
      lines.push(line);
      shown.set(row, line);
    }
  }
  return lines.filter(({ from, until }) => until > from);
}

/** @param {Line} line @param {number} index @param {number} end */
function keyframes({ from, until }, index, end) {
  const percent = (/** @type {number} */ at) => `${rounded((100 * at) / end)}%`;
  const stops = [
    from > 0 ? '0%{visibility:hidden}' : '',
    `${percent(from)}{visibility:visible}`,
    until < end ? `${percent(until)},100%{visibility:hidden}` : '100%{visibility:visible}',
  ];
  return `@keyframes k${index}{${stops.join('')}}#t${index}{animation:k${index} ${rounded(end)}s step-end infinite}`;
}

/** @param {Line} line @param {number} index @param {number} end */
function text({ row, spans, until }, index, end) {
  let column = 0;
  const parts = spans.map(({ text, style }) => {
    const name = CLASSES[style];
    if (name === undefined) throw new Error(`no colour for the style "${style}"`);
    // A place and a length for each run, so that the font of the reader moves nothing.
    const place = `x="${rounded(PADDING + column * CHAR)}" textLength="${rounded(text.length * CHAR)}"`;
    column += text.length;
    return text.trim() === '' ? '' : `<tspan ${name && `class="${name}" `}${place}>${escaped(text)}</tspan>`;
  });
  const hidden = until < end ? ' class="h"' : '';
  return `<text id="t${index}"${hidden} y="${PADDING + row * LINE + 14}">${parts.join('')}</text>`;
}
