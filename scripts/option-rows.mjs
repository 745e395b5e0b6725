/** Rows of the tables of options, for docs/cli/ and the man page. */

/** @typedef {import('../src/cli/options.ts').NamedOption} NamedOption */
/** @typedef {import('../src/cli/commands.ts').CommandName} CommandName */
/** @typedef {Pick<typeof import('../src/cli/options.ts'), 'allOptions' | 'optionsOf'>} Options */
/** @typedef {Pick<typeof import('../src/cli/help.ts'), 'optionLabel' | 'optionSentence'>} Help */
/** @typedef {Options & Help} Tables */
/** @typedef {{ label: string, meaning: string, page: string | undefined }} Row */

/** @param {string} text */
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** The options that are the command's own. @param {Tables} tables @param {CommandName} command @param {(word: string) => string} code */
export function rowsOfCommand({ optionsOf, optionLabel, optionSentence }, command, code) {
  return optionsOf(command)
    .filter(({ group }) => group === undefined)
    .map((option) => ({ label: optionLabel(option), meaning: sentence(optionSentence(option, code)), page: option.page }));
}

/** The options of a group, with what differs between commands. @param {Tables} tables @param {string} group @param {(word: string) => string} code */
export function rowsOfGroup({ allOptions, optionLabel, optionSentence }, group, code) {
  const options = allOptions().filter((option) => option.group === group);
  const commands = new Set(options.flatMap((option) => option.commands));
  return options.map((option) => {
    const only = option.commands.length < commands.size ? [`Only ${option.commands.map(code).join(', ')}.`] : [];
    const others = Object.entries(option.override ?? {}).map(
      ([command, changed]) => `${code(command)}: ${optionSentence({ ...option, ...changed }, code)}.`,
    );
    const meaning = [sentence(optionSentence(option, code)), ...only, ...others].join(' ');
    return { label: optionLabel(option), meaning, page: option.page };
  });
}
