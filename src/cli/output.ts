/** Output: the only place where text leaves for a terminal, a log or a pipe. Only the progress bar draws on its own. */

import { printable, printableJson } from '../quote.ts';

/** What is printed: lines for people, or an object as JSON. */
export type Printed = readonly string[] | { readonly json: object };

/** Lines break only where one of them ends: what is in a line, such as a name from an image, is made safe to print. */
const textOf = (printed: Printed): string =>
  'json' in printed ? `${printableJson(printed.json)}\n` : printed.map((line) => `${printable(line)}\n`).join('');

export const toStderr = (printed: Printed): void => void process.stderr.write(textOf(printed));

/** Resolves once the system has accepted it, or with the error. */
export const toStdout = (printed: Printed): Promise<NodeJS.ErrnoException | undefined> =>
  new Promise((resolve) => {
    const text = textOf(printed);
    if (text === '') resolve(undefined);
    else process.stdout.write(text, (error) => resolve(error ?? undefined));
  });

/** Those of the terminal; Infinity if standard output is none. */
export const stdoutColumns = (): number => process.stdout.columns ?? Number.POSITIVE_INFINITY;
