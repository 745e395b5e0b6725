/** The file of `import --list`. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ListedImage, parseList } from '../../src/cli/list-file.ts';
import { VdiStreamError } from '../../src/errors.ts';

const A = '89d4e318-ed9f-4cc1-b99c-99ac49b66e72';
const B = 'f0a5ab7c-2c8e-4b1c-8a39-35c7d2b4b4a1';

/** Without the options that a line does not set. */
const parse = (text: string, sr?: string): object[] => parseList(text, 'images.txt', sr).map(set);
const set = (image: ListedImage): object => Object.fromEntries(Object.entries(image).filter(([, value]) => value !== undefined));

const problem = (text: string, sr?: string): string => {
  try {
    parse(text, sr);
  } catch (error) {
    // A cause that is an error of vdistream would be printed once more.
    if (error instanceof VdiStreamError && !(error.cause instanceof VdiStreamError)) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error(`${text} is accepted`);
};

describe('a list of images', () => {
  test('has an image and its SR in each line, apart from comments and empty lines', () => {
    const text = `\uFEFF# images of the pool\n\na.vhd ${A}\r\n  "with blanks.ova"\t${B.toUpperCase()}  \n   # more\nglance:1 ${A}`;
    expect(parse(text)).toEqual([
      { line: 3, image: 'a.vhd', sr: A },
      { line: 4, image: 'with blanks.ova', sr: B },
      { line: 6, image: 'glance:1', sr: A },
    ]);
  });

  test('uses the SR of the command line where a line has none', () => {
    expect(parse(`a.vhd\nb.vhd ${B}\n{"image":"c.vhd"}`, A)).toEqual([
      { line: 1, image: 'a.vhd', sr: A },
      { line: 2, image: 'b.vhd', sr: B },
      { line: 3, image: 'c.vhd', sr: A },
    ]);
  });

  test('may have JSON objects, with options of the image', () => {
    const options = { name: 'web-1', disk: '0.vhd', raw: true, rawBase: false, rawVdi: true, sha256: 'aB'.repeat(32), virtualSize: 1024 };
    expect(parse(`{"image": "a b.vhd", "sr": "${A}"}\n${JSON.stringify({ ...options, image: 'c.ova', sr: B })}`)).toEqual([
      { line: 1, image: 'a b.vhd', sr: A },
      { line: 2, image: 'c.ova', sr: B, ...options },
    ]);
  });

  test('may have an image twice, on two SRs or with two disks', () => {
    const lines = [`a.ova ${A}`, `a.ova ${B}`, ...['0.vhd', '1.vhd'].map((disk) => JSON.stringify({ image: 'a.ova', sr: A, disk }))];
    expect(parse(lines.join('\n'))).toHaveLength(4);
  });

  test.each([
    ['', 'images.txt lists no image'],
    ['# nothing\n\n', 'images.txt lists no image'],
    ['a.vhd', 'images.txt: line 1: it has no SR; add its UUID after the image, or --sr UUID for all lines'],
    [`a.vhd ${A}\n\nb.vhd local`, 'images.txt: line 3: "local" is not the uuid of a storage repository'],
    [`a b.vhd ${A}`, 'line 1: it has 3 words, but only IMAGE and SR are expected; put a name with blanks in double quotes'],
    [`"a.vhd ${A}`, 'line 1: its double quotes do not enclose a name'],
    [`a"b".vhd ${A}`, 'line 1: its double quotes do not enclose a name'],
    [`"a"b ${A}`, 'line 1: its double quotes do not enclose a name'],
    [`"" ${A}`, 'line 1: the image must be a path'],
    [`{"image": ${A}}`, 'line 1: it begins with { but is not a JSON object'],
    ['{"sr": "x"}', 'line 1: it has no "image"'],
    [`{"image": "", "sr": "${A}"}`, 'line 1: its "image" must be a path'],
    [`{"image": "a.vhd", "disc": "0.vhd"}`, 'line 1: it has the unknown key "disc"; did you mean "disk"?'],
    [`{"image": "a.vhd", "sr": "${A}", "verify": true}`, 'line 1: it has the unknown key "verify"'],
    [`{"image": "a.vhd", "sr": "${A}", "sha256": "abc"}`, 'line 1: its "sha256" must be 64 hexadecimal digits'],
    [`{"image": "a.vhd", "sr": "${A}", "virtualSize": 1000}`, 'line 1: its "virtualSize" must be a number of bytes, a multiple of 512'],
    [`{"image": "a.vhd", "sr": "${A}", "raw": "yes"}`, 'line 1: its "raw" must be true or false'],
    [`a.vhd ${A}\nb.vhd ${A}\n{"image":"./a.vhd","sr":"${A.toUpperCase()}","name":"x"}`, 'line 3: it repeats line 1'],
  ])('%j is refused with its line', (text, message) => {
    expect(problem(text)).toContain(`USAGE: ${message.startsWith('line') ? `images.txt: ${message}` : message}`);
  });

  test('is read as it was written, in both forms and any mixture', () => {
    const name = fc.stringMatching(/^[^\p{C}\p{Zl}\p{Zp}"]{1,20}$/u).filter((text) => text.trim() === text);
    const uuid = fc.uuid();
    const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const object = fc.record({
      image: fc.string({ minLength: 1 }).filter((text) => !text.includes('\0')),
      sr: uuid,
      name: maybe(fc.string()),
    });
    const entry = fc.oneof(
      fc.tuple(name, uuid, fc.boolean()).map(([image, sr, quoted]) => {
        const plain = !quoted && !/^[#{]|\s/.test(image);
        return { text: `${plain ? image : `"${image}"`} ${sr}`, wanted: { image, sr } };
      }),
      object.map((wanted) => ({ text: JSON.stringify(wanted), wanted })),
      fc.constantFrom('', '  ', '# a comment').map((text) => ({ text, wanted: undefined })),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 10 }), fc.constantFrom('\n', '\r\n'), (entries, end) => {
        const wanted = entries.flatMap(({ wanted: each }, index) => (each === undefined ? [] : [set({ ...each, line: index + 1 })]));
        fc.pre(wanted.length > 0);
        const text = entries.map((each) => each.text).join(end);
        expect(parse(text)).toEqual(wanted);
      }),
      { numRuns: 300 },
    );
  });

  test('never ends in anything but USAGE, whatever the file holds', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.json().map((text) => `{"image":${text}}`),
        ),
        (text) => {
          try {
            expect(parse(text, A).length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toMatchObject({ code: 'USAGE' });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
