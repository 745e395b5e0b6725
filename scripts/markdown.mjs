/** Markdown for the pages that `npm run docs` makes. */

/** A table with aligned columns. @param {string[]} head @param {string[][]} rows */
export function table(head, rows) {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const line = (/** @type {string[]} */ row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [first = [], ...others] = cells;
  return `${[line(first), line(widths.map((width) => '-'.repeat(width))), ...others.map(line)].join('\n')}\n`;
}

/** @param {string} word */
export const code = (word) => `\`${word}\``;
