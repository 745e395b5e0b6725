/** Faults: which calls fail, and how. */

/**
 * @typedef {object} Rule
 * @property {string} command
 * @property {string} [argument] only calls with exactly this argument, such as `uuid=…`
 * @property {number} [nth] which of these calls from now on; the first by default
 * @property {boolean} [always] the nth and all that follow; only the nth by default
 * @property {'before' | 'after'} [when] fails before or after the call takes effect; before by default
 * @property {Fault} what
 */

/**
 * hang   never answers
 * die    closes the connection
 * late   answers on `release`; takes effect then too, or immediately (after)
 * gone   like late, but once the client is gone, so it never gets the answer
 * fail   answers with this API error
 * kill   kills the client with this signal
 * say    answers with this output
 * node   the node of the plugged device never appears, appears on `release`, or after this many milliseconds
 * @typedef {'hang' | 'die' | 'late' | 'gone' | { fail: [code: string, ...values: string[]] } | { kill: number }
 *   | { say: { stdout?: string, stderr?: string, status?: number } } | { node: 'missing' | 'late' | number }} Fault
 */

export function createFaults() {
  /** @type {{ rule: Rule, seen: number }[]} */
  let rules = [];

  return {
    /** @param {Rule} rule */
    add(rule) {
      rules.push({ rule, seen: 0 });
    },

    clear() {
      rules = [];
    },

    /** Counts the call, and returns the first rule that applies to it. @param {readonly string[]} args @returns {Rule | undefined} */
    of(args) {
      const counted = rules.filter(({ rule }) => rule.command === args[0] && (rule.argument === undefined || args.includes(rule.argument)));
      for (const matching of counted) matching.seen++;
      const found = counted.find(({ rule: { nth = 1, always = false }, seen }) => seen === nth || (always && seen > nth));
      if (found?.rule.always !== true) rules = rules.filter((other) => other !== found);
      return found?.rule;
    },
  };
}
