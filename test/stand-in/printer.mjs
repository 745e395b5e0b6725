/** What a command prints. */

/**
 * @typedef {object} Output nothing of it is for a command that only does something
 * @property {readonly string[]} [list]
 * @property {readonly (readonly (readonly [name: string, value: string])[])[]} [table] records of fields
 */

/** @param {Output} output @param {boolean} minimal */
export function printed({ list, table }, minimal) {
  if (!minimal) return [...(list ?? []).map((value) => `${value}\n`), ...(table ?? []).map((record) => `${aligned(record)}\n\n`)].join('');
  // Of a record only its first field, and a line even where there is nothing to say.
  const values = list ?? (table ?? []).map(([first]) => first?.[1] ?? '');
  return `${values.map(escaped).join(',')}\n`;
}

/** @param {string} value */
const escaped = (value) => value.replaceAll(/[\\,]/g, '\\$&');

/** Names stand flush right before their values, except the first. @param {readonly (readonly [string, string])[]} record */
function aligned(record) {
  const width = 4 + Math.max(...record.map(([name]) => name.length));
  return record.map(([name, value], index) => `${index === 0 ? name.padEnd(width) : name.padStart(width)}: ${value}\n`).join('');
}
