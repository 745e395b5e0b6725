import { describe, expect, test } from 'vitest';
import { didYouMean, listed } from '../src/words.ts';
import { cli } from './support/cli.ts';

test('a list has "or" before its last word', () => {
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(listed)).toEqual(['', 'a', 'a or b', 'a, b or c']);
});

test.each([
  ['write', 'write'],
  ['wirte', 'write'],
  ['writ', 'write'],
  ['vrify', 'verify'],
  ['imports', 'import'],
  ['ver', 'verify'],
])('"%s" suggests "%s"', (typed, word) => {
  expect(didYouMean(typed, ['info', 'write', 'verify', 'import', 'reap'])).toBe(`; did you mean "${word}"?`);
});

test.each(['frobnicate', 'x', '', 'w', 'toString', 'infinitely'])('"%s" suggests nothing', (typed) => {
  expect(didYouMean(typed, ['info', 'write', 'verify', 'import', 'reap'])).toBe('');
});

describe('a usage error suggests what was probably intended', () => {
  test.each([
    [['wirte', 'a', 'b'], 'there is no command "wirte"; did you mean "write"?'],
    [['write', 'a', 'b', '--zero-tial'], `Unknown option '--zero-tial' of write; did you mean "--zero-tail"?`],
    [['write', 'a', 'b', '--virtual=512'], `Unknown option '--virtual' of write; did you mean "--virtual-size"?`],
    [['info', 'a', '--zero=auto'], `Unknown option '--zero' of info; it belongs to write, import`],
    [
      ['write', 'a', 'b', '--force=busy,tpye'],
      '--force accepts parent, type, busy, size, vhd or content, not "tpye"; did you mean "type"?',
    ],
    [['write', 'a', 'b', '--zero=asume-zero'], 'not "asume-zero"; did you mean "assume-zero"?'],
    [['check', 'a', '--manifest=required'], 'not "required"; did you mean "require"?'],
    [['write', 'a', 'b', '--zero'], `--zero has no value`],
    [['write', 'a', 'b', '-x'], `Unknown option '-x' of write\n`],
  ])('%j', async (args, sentence) => {
    expect(await cli(args)).toEqual({ status: 2, stdout: '', stderr: expect.stringContaining(sentence) });
  });
});
