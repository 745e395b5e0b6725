/** The words of the house: plain English in everything that a person reads. */

import { describe, expect, test } from 'vitest';
import { documents, errorMessages, helpPages, type Prose, tables, titles } from '../support/prose.ts';

interface Phrase {
  /** Without regard to case; a blank stands for any white space, so a phrase may be spread over two lines. */
  readonly phrase: string;
  readonly instead: string;
}

/** After "takes": what it costs, such as "about 10 seconds" or "less memory". */
const AMOUNT = String.raw`(?:up to |about |at most |less |more |only |a |an |the |this )?(?:\d|(?:half|second|minute|hour|time|memory|place|part|effect|precedence|long|longer|byte)s?\b)`;

const PHRASES: readonly Phrase[] = [
  { phrase: String.raw`(?<!\b(?:left|leaves?|leaving)\b[^.:;]*)\bbehind\b`, instead: 'after; "left behind" is fine' },
  { phrase: String.raw`\b(?:told|tells?|telling)\b`, instead: 'say, report, specify, show, distinguish' },
  { phrase: String.raw`\b(?:goes?|went|going) on (?:at|behind|from|with|where|until|for|all)\b`, instead: 'resumes at, continues past' },
  { phrase: String.raw`\b(?:breaks?|broke|broken) off\b`, instead: 'stopped, dropped' },
  { phrase: String.raw`\bof (?:ours|theirs|his own|its own accord)\b`, instead: 'our, their; or say whose' },
  { phrase: String.raw`\b(?:is|are|was|were|has|have) to be\b`, instead: 'must be, should be, will be' },
  { phrase: String.raw`\b(?:is|are|still|yet|time) to come\b`, instead: 'follows, has not arrived yet, in the future' },
  { phrase: String.raw`\bthat have left\b|\bhave left that\b`, instead: 'left behind by' },
  { phrase: String.raw`\bnearly always\b`, instead: 'almost always' },
  { phrase: String.raw`\bby half\b`, instead: 'partly, half of' },
  { phrase: String.raw`\bno \w+ in particular\b`, instead: 'any' },
  { phrase: String.raw`\bwhoever\b|\bwhatever it is\b`, instead: 'name the person or the thing' },
  { phrase: String.raw`\bwants\b`, instead: 'needs, expects' },
  { phrase: String.raw`\bknows\b`, instead: 'has, supports, recognizes' },
  { phrase: String.raw`\bas is the case\b`, instead: 'as with, as in' },
  { phrase: String.raw`\bin vain\b`, instead: 'without success; or say what failed' },
  { phrase: String.raw`\bfor ever\b`, instead: 'forever, indefinitely' },
  { phrase: String.raw`\bmend(?:s|ed|ing)?\b`, instead: 'repair, retry, resume, recover' },
  { phrase: String.raw`\bpapers\b`, instead: 'descriptor, manifest and certificate' },
  { phrase: String.raw`\bstor(?:y|ies)\b`, instead: 'report, output; or say what it holds' },
  { phrase: String.raw`\bfates?\b`, instead: 'result, outcome' },
  { phrase: String.raw`\bin earnest\b`, instead: 'actually; mostly nothing' },
  { phrase: String.raw`\ball the same\b`, instead: 'anyway' },
  { phrase: String.raw`(?<!\bthe )\bone that\b|\bsuch a one\b`, instead: 'repeat the noun' },
  { phrase: String.raw`\bthe same for\b`, instead: 'likewise for; or say it again' },
  { phrase: String.raw`\bmeant\b`, instead: 'intended; mostly nothing' },
  { phrase: String.raw`\bstands?\b(?! for\b|-)`, instead: 'is, lies' },
  { phrase: String.raw`\bgives\b(?! up\b)`, instead: 'returns, prints, has, contains' },
  {
    phrase: String.raw`\btakes\b(?! (?:to|up|care)\b| (?:no|one|two|an) (?:argument|operand|option)| ${AMOUNT})`,
    instead: 'accepts, reads, needs; "takes 255 KiB" is fine',
  },
  { phrase: String.raw`\bmade good\b`, instead: 'repaired, replaced' },
  { phrase: String.raw`\bat once\b`, instead: 'immediately, or simultaneously' },
  { phrase: String.raw`\bby itself\b`, instead: 'alone, on its own, automatically' },
  { phrase: String.raw`\bin between\b`, instead: 'between A and B, meanwhile' },
  { phrase: String.raw`\bit is for\b`, instead: 'say what it does' },
];

interface Allowance {
  /** The sentence, or enough of it to be found. */
  readonly text: string;
  readonly reason: string;
}

const ALLOWED: readonly Allowance[] = [];

/** Each phrase with the place it is in and what to write; an allowance counts only while its text is found with a phrase in it. */
function bannedIn(prose: readonly Prose[], allowed: readonly Allowance[] = ALLOWED): string[] {
  const phrases = PHRASES.map(({ phrase, instead }) => ({ instead, pattern: new RegExp(phrase.replaceAll(' ', String.raw`\s+`), 'gi') }));
  return prose.flatMap(({ place, text }) =>
    phrases.flatMap(({ pattern, instead }) =>
      [...text.matchAll(pattern)]
        .filter(({ 0: found, index }) => !isAllowed(text, index, found.length, allowed))
        .map(
          ({ 0: found, index }) => `${place}: "${around(text, index, found.length)}": not "${found.replace(/\s+/g, ' ')}" but: ${instead}`,
        ),
    ),
  );
}

const isAllowed = (text: string, index: number, length: number, allowed: readonly Allowance[]): boolean =>
  allowed.some((allowance) => {
    const start = text.indexOf(allowance.text);
    return start >= 0 && start <= index && index + length <= start + allowance.text.length;
  });

const around = (text: string, index: number, length: number): string =>
  text.slice(Math.max(0, index - 30), index + length + 30).replace(/\s+/g, ' ');

/** An allowance for a sentence that is gone, or that has no banned phrase, is as wrong as a banned phrase. */
const unneeded = (prose: readonly Prose[], allowed: readonly Allowance[] = ALLOWED): string[] =>
  allowed
    .filter(({ text }) => bannedIn([{ place: '', text }], []).length === 0 || !prose.some((found) => found.text.includes(text)))
    .map(({ text }) => `needs no allowance: ${text}`);

describe('no banned phrase is in', () => {
  test('the help of any command or topic', () => {
    const pages = helpPages();
    expect(pages.length).toBeGreaterThan(6);
    expect(bannedIn(pages)).toEqual([]);
  });

  test('any document', () => {
    const paragraphs = documents();
    expect(new Set(paragraphs.map(({ place }) => place.replace(/:.*/, ''))).size).toBeGreaterThan(7);
    expect(bannedIn(paragraphs)).toEqual([]);
  });

  test('the meaning or the advice of any error or warning', () => {
    expect(bannedIn(tables())).toEqual([]);
  });

  test('the message of any error', () => {
    const messages = errorMessages();
    expect(messages.length).toBeGreaterThan(300);
    expect(bannedIn(messages)).toEqual([]);
  });

  test('the title of any test', () => {
    const found = titles();
    expect(found.length).toBeGreaterThan(1000);
    expect(bannedIn(found)).toEqual([]);
  });
});

test('every allowance is needed', () => {
  expect(unneeded([...helpPages(), ...documents(), ...tables(), ...errorMessages(), ...titles()])).toEqual([]);
});

describe('that rule', () => {
  const found = (text: string, allowed: readonly Allowance[] = []): string[] =>
    bannedIn([{ place: 'here', text }], allowed).map((line) => /not "(.*?)" but/.exec(line)?.[1] ?? line);

  test.each([
    ['at the end of a sentence', 'It resumes behind the disk, at\n  once.', ['behind', 'at once']],
    ['in any case', 'Told by the service. WANTS a size.', ['Told', 'WANTS']],
    [
      'in idioms',
      'It is for ever in vain, all the same, and nearly always made good.',
      ['for ever', 'It is for', 'in vain', 'all the same', 'nearly always', 'made good'],
    ],
  ])('finds phrases %s', (_, text, expected) => {
    expect(found(text).sort((a, b) => a.localeCompare(b))).toEqual([...expected].sort((a, b) => a.localeCompare(b)));
  });

  test.each([
    'VDIs left behind by killed imports',
    'leaves no connection behind',
    'It takes 255 KiB, and takes up to 10 seconds.',
    'It gives up after five attempts, which takes half a minute.',
    'As much as it takes to read the size. This command takes no argument.',
    'the stand-in, which stands for a host',
    'a bestseller for storytellers, foretold by a mender', // only whole words count
  ])('accepts "%s"', (text) => {
    expect(found(text)).toEqual([]);
  });

  test('says where a phrase is, and what to write', () => {
    expect(bannedIn([{ place: 'docs/cli.md:7', text: 'The host\nwants a name.' }], [])).toEqual([
      'docs/cli.md:7: "The host wants a name.": not "wants" but: needs, expects',
    ]);
  });

  test('skips an allowed sentence, but not the same phrase elsewhere, and finds allowances that are not needed', () => {
    const allowed = [{ text: 'the kernel knows', reason: 'a quotation' }];
    expect(found('As the kernel knows, it knows.', allowed)).toEqual(['knows']);
    expect(unneeded([{ place: 'here', text: 'As the kernel knows.' }], allowed)).toEqual([]);
    expect(unneeded([{ place: 'here', text: 'The kernel has it.' }], allowed)).toEqual(['needs no allowance: the kernel knows']);
    const idle = [{ text: 'a good sentence', reason: 'none' }];
    expect(unneeded([{ place: 'here', text: 'a good sentence' }], idle)).toEqual(['needs no allowance: a good sentence']);
  });

  test('reads titles in every form, with the rows that are put into them, and no other arguments', () => {
    const text = `
      describe('a', () => { test(\`b \${c} d\`, () => expect('e')); });
      test.each([['f', 'g'], ['h', 'i']])('%s j', () => {});
      test.skipIf(k('l'))('m', () => {});
      testWith('root').each(['n'])('%s o', () => {});
      testWith('loop')('p', () => {});
    `;
    const texts = titles([{ path: 'test/made-up.test.ts', text }]).map((title) => title.text);
    expect(texts.sort()).toEqual([' d', '%s j', '%s o', 'a', 'b ', 'f', 'h', 'm', 'n', 'p']);
  });

  test('reads the messages of errors, also in parts of templates and in conditions', () => {
    const text = `throw new VdiStreamError('A', \`b \${c ? 'd' : 'e'} f\`, { g: 'h' }); throw new Error('i');`;
    const texts = errorMessages([{ path: 'src/made-up.ts', text }]).map((message) => message.text);
    expect(texts.sort()).toEqual([' f', 'A', 'b ', 'd', 'e', 'h']);
  });
});
