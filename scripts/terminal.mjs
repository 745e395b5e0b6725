/**
 * A terminal, as far as the recording needs one: from the bytes that a program writes to the rows of a screen. What it does not understand
 * it throws on, so that no recording shows something else than a terminal would.
 */

/** @typedef {{ text: string, style: string }} Span */

const ESCAPE = '\x1b';
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what a terminal reads
const SEQUENCE = /^\x1b(?:\[([?0-9;]*)([A-Za-z])|\][^\x07]*\x07|[78=>])/;

export class Terminal {
  /** @type {Array<Array<{ char: string, style: string }>>} */
  #rows;
  #row = 0;
  #column = 0;
  #style = '';
  #columns;

  /** @param {number} columns @param {number} rows */
  constructor(columns, rows) {
    this.#columns = columns;
    this.#rows = Array.from({ length: rows }, () => []);
  }

  /** Each row as runs of one style; trailing blanks are dropped. @returns {Span[][]} */
  rows() {
    return this.#rows.map((cells) => {
      /** @type {Span[]} */
      const spans = [];
      for (const { char, style } of Array.from(cells, (cell) => cell ?? { char: ' ', style: '' })) {
        const last = spans.at(-1);
        if (last?.style === style) last.text += char;
        else spans.push({ text: char, style });
      }
      const end = spans.at(-1);
      if (end) end.text = end.text.trimEnd();
      return spans.filter(({ text }) => text !== '');
    });
  }

  /** @param {string} output */
  write(output) {
    let rest = output;
    while (rest !== '') {
      if (!rest.startsWith(ESCAPE)) {
        const char = String.fromCodePoint(rest.codePointAt(0) ?? 0);
        this.#put(char);
        rest = rest.slice(char.length);
        continue;
      }
      const [sequence, parameters, command] = SEQUENCE.exec(rest) ?? [];
      if (sequence === undefined) throw new Error(`unknown escape sequence: ${JSON.stringify(rest.slice(0, 12))}`);
      if (command !== undefined) this.#control(parameters ?? '', command);
      rest = rest.slice(sequence.length);
    }
  }

  /** @param {string} char */
  #put(char) {
    if (char === '\r') this.#column = 0;
    else if (char === '\b') this.#column = Math.max(0, this.#column - 1);
    else if (char === '\n') this.#down();
    else if (char < ' ') return;
    else {
      if (this.#column === this.#columns) {
        this.#column = 0;
        this.#down();
      }
      this.#cells()[this.#column++] = { char, style: this.#style };
    }
  }

  #cells() {
    const cells = this.#rows[this.#row];
    if (cells === undefined) throw new Error(`the recording needs more than ${this.#rows.length} rows`);
    return cells;
  }

  #down() {
    this.#row++;
    this.#cells();
  }

  /** @param {string} parameters @param {string} command */
  #control(parameters, command) {
    if (parameters.startsWith('?')) return; // modes: cursor shown, lines wrapped
    const count = Number(parameters || '1');
    if (command === 'm') this.#style = parameters === '0' ? '' : parameters;
    else if (command === 'G') this.#column = count - 1;
    else if (command === 'C') this.#column += count;
    else if (command === 'D') this.#column = Math.max(0, this.#column - count);
    else if (command === 'A') this.#row = Math.max(0, this.#row - count);
    else if (command === 'K' && (parameters === '' || parameters === '0'))
      this.#cells().length = Math.min(this.#column, this.#cells().length);
    else if (command === 'K' && parameters === '2') this.#cells().length = 0;
    else throw new Error(`unknown control sequence: ESC [ ${parameters} ${command}`);
  }
}
