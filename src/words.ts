/** Lists of words in a sentence, and the word that a person probably intended. */

/** `a, b or c` */
export const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;

/** `; did you mean "write"?`, or nothing if no word is close. */
export function didYouMean(typed: string, words: readonly string[]): string {
  const word = closest(typed, words);
  return word === undefined ? '' : `; did you mean "${word}"?`;
}

/** The one word that begins with what was typed, or else the nearest that is at most a third of its letters away. */
function closest(typed: string, words: readonly string[]): string | undefined {
  const longer = words.filter((word) => typed.replace(/^-+/, '').length > 1 && word.startsWith(typed));
  if (longer.length === 1) return longer[0];
  const near = words
    .map((word) => ({ word, edits: editDistance(typed, word) }))
    .filter(({ word, edits }) => edits <= Math.max(1, Math.floor(word.length / 3)))
    .sort((a, b) => a.edits - b.edits);
  return near[0]?.word;
}

/** Letters to insert, delete, replace or swap with their neighbour: the optimal string alignment distance. */
function editDistance(from: string, to: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const next = [row];
    for (let column = 1; column <= to.length; column++) {
      const at = (line: readonly number[], index: number): number => line[index] ?? Number.POSITIVE_INFINITY;
      const replaced = at(last, column - 1) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const isSwap = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      const swapped = isSwap ? at(beforeLast, column - 2) + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(at(next, column - 1) + 1, at(last, column) + 1, replaced, swapped));
    }
    beforeLast = last;
    last = next;
  }
  return last[to.length] ?? 0;
}
