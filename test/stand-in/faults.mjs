/** Faults: what goes wrong with which call. */

/**
 * @typedef {object} Rule
 * @property {string} command
 * @property {string} [argument] only calls that have this very argument, as `uuid=…`
 * @property {number} [nth] which of these calls from now on, the first by default
 * @property {boolean} [always] that one and all that follow; one call only by default
 * @property {'before' | 'after'} [when] the effect of the call: without it, or with it; before by default
 * @property {Fault} what
 */

/**
 * hang   never answers
 * die    the connection ends
 * late   answers when the test says so; the effect comes then too, or at once (after)
 * gone   as late, when the client has gone, whom it does not reach any more
 * fail   answers with this error of the API
 * kill   the client is killed, by this signal
 * say    answers with this
 * node   the node of the plugged device never comes, comes when the test says so, or after so many milliseconds
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

    /** The first rule that a call falls under. Counts it. @param {readonly string[]} args @returns {Rule | undefined} */
    of(args) {
      const counted = rules.filter(({ rule }) => rule.command === args[0] && (rule.argument === undefined || args.includes(rule.argument)));
      for (const one of counted) one.seen++;
      const found = counted.find(({ rule: { nth = 1, always = false }, seen }) => seen === nth || (always && seen > nth));
      if (found?.rule.always !== true) rules = rules.filter((one) => one !== found);
      return found?.rule;
    },
  };
}
