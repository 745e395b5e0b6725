/** Printer: formats what a command prints. */

/**
 * @typedef {object} Output empty for a command that prints nothing
 * @property {readonly string[]} [list]
 * @property {readonly (readonly (readonly [name: string, value: string])[])[]} [table] records of fields
 */

/** @param {Output} output @param {boolean} minimal */
export function printed({ list, table }, minimal) {
  if (!minimal) return [...(list ?? []).map((value) => `${value}\n`), ...(table ?? []).map((record) => `${aligned(record)}\n\n`)].join('');
  // Only the first field of each record, and a line even if there are no values.
  const values = list ?? (table ?? []).map(([first]) => first?.[1] ?? '');
  return `${values.map(escaped).join(',')}\n`;
}

/** @param {string} value */
const escaped = (value) => value.replaceAll(/[\\,]/g, '\\$&');

/** Names are right-aligned, except the first. @param {readonly (readonly [string, string])[]} record */
function aligned(record) {
  const width = 4 + Math.max(...record.map(([name]) => name.length));
  return record.map(([name, value], index) => `${index === 0 ? name.padEnd(width) : name.padStart(width)}: ${value}\n`).join('');
}
