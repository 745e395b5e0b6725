import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { type PickleValue, readPickle } from '../../src/plugin/pickle-read.ts';
import { writePickle } from '../../src/plugin/pickle-write.ts';
import { type Peer, pythonPeer } from '../support/python.ts';

const RUNS = Number(process.env.RUNS ?? 300);

let python: Peer;

beforeAll(() => {
  python = pythonPeer('pickles.py');
});

afterAll(() => python.end());

async function dump(value: unknown, protocol: number, how: 'lists' | 'tuples' | 'shared' = 'lists'): Promise<Buffer> {
  return Buffer.from(String(await python.ask({ dumps: value, protocol, how })), 'base64');
}

const load = (pickle: Uint8Array): Promise<unknown> => python.ask({ loads: Buffer.from(pickle).toString('base64') });

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const read = (text: string): PickleValue => readPickle(bytes(text));

/** The error for a pickle that must be refused; anything but a USAGE error is a bug. */
function refusal(pickle: string | Uint8Array): VdiStreamError {
  try {
    readPickle(typeof pickle === 'string' ? bytes(pickle) : pickle);
  } catch (error) {
    if (error instanceof VdiStreamError && error.code === 'USAGE') return error;
    throw error;
  }
  throw new Error('this should have been refused');
}

/** `__proto__` is a key like any other. A float without a fraction would be an integer in JSON. */
const { tree } = fc.letrec<{ tree: PickleValue; leaf: PickleValue }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    tie('leaf'),
    fc.array(tie('tree'), { maxLength: 5 }),
    fc
      .array(fc.tuple(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'constructor', '')), tie('tree')), {
        maxLength: 5,
      })
      .map((entries): PickleValue => Object.fromEntries(entries)),
  ),
  leaf: fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.constantFrom(0, 255, 256, 65_535, 65_536, -1, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\\', '\\u0041', "it's", '"', '\n', '\r\n', '\0', '\x1a', '\x7f', 'é', '€', '😀'),
  ),
}));

/** With what replies never have. */
const values = fc.oneof(
  { weight: 5, arbitrary: tree },
  { weight: 1, arbitrary: fc.double({ noInteger: true, noNaN: true, noDefaultInfinity: true }) },
);

describe('reading what Python writes', () => {
  test.each([0, 1, 2])('a value that Python pickles with protocol %i is read unchanged', async (protocol) => {
    await fc.assert(
      fc.asyncProperty(values, fc.constantFrom('lists', 'tuples'), async (value, how) => {
        expect(JSON.stringify(readPickle(await dump(value, protocol, how)))).toBe(JSON.stringify(value));
      }),
      { numRuns: RUNS },
    );
  });

  test.each([0, 1, 2])('with protocol %i a value referenced in several places is read in each of them', async (protocol) => {
    await fc.assert(
      fc.asyncProperty(tree, async (value) => {
        expect(JSON.stringify(readPickle(await dump(value, protocol, 'shared')))).toBe(JSON.stringify([value, [value, value]]));
      }),
      { numRuns: RUNS / 3 },
    );
  });

  test('memo indexes may be longer than one byte', async () => {
    const many = Array.from({ length: 300 }, (_, index) => [index]);
    expect(readPickle(await dump(many, 1, 'shared'))).toEqual([many, [many, many]]);
  });

  // By pickle and cPickle of CPython 2.7: protocols 0, 1 and 2 of the same list.
  const python2 = [
    "(lp0\nVcaf\xe9 \\u20ac \\U0001f600 back\\u005cslash new\\u000aline\np1\naS'caf\\xc3\\xa9 \\'both\" \\\\ \\n\\t\\x00\\x7f'\np2\naS\"it's\"\np3\naI01\naI00\naNaI-5\naI1099511627776\naI2147483648\naI-4503599627370496\naF1.5\na(I1\nI2\ntp4\na(ta(lp5\na(dp6\na(I1\ntp7\na(I1\nI2\nI3\ntp8\na(I1\nI2\nI3\nI4\ntp9\na.",
    ']q\x00(X"\x00\x00\x00caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 back\\slash new\nlineq\x01U\x13caf\xc3\xa9 \'both" \\ \n\t\x00\x7fq\x02U\x04it\'sq\x03I01\nI00\nNJ\xfb\xff\xff\xffI1099511627776\nI2147483648\nI-4503599627370496\nG?\xf8\x00\x00\x00\x00\x00\x00(K\x01K\x02tq\x04)]q\x05}q\x06(K\x01tq\x07(K\x01K\x02K\x03tq\x08(K\x01K\x02K\x03K\x04tq\te.',
    '\x80\x02]q\x01(X"\x00\x00\x00caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 back\\slash new\nlineq\x02U\x13caf\xc3\xa9 \'both" \\ \n\t\x00\x7fq\x03U\x04it\'sq\x04\x88\x89NJ\xfb\xff\xff\xffI1099511627776\nI2147483648\nI-4503599627370496\nG?\xf8\x00\x00\x00\x00\x00\x00K\x01K\x02\x86q\x05)]q\x06}q\x07K\x01\x85q\x08K\x01K\x02K\x03\x87q\t(K\x01K\x02K\x03K\x04tq\ne.',
  ];
  test.each([...python2.entries()])('protocol %i of Python 2 is read, with its byte strings', (_protocol, pickle) => {
    expect(read(pickle)).toEqual([
      'café € 😀 back\\slash new\nline',
      'café \'both" \\ \n\t\x00\x7f',
      "it's",
      true,
      false,
      null,
      -5,
      2 ** 40,
      2 ** 31,
      -(2 ** 52),
      1.5,
      [1, 2],
      [],
      [],
      {},
      [1],
      [1, 2, 3],
      [1, 2, 3, 4],
    ]);
  });

  test.each([
    ["S'\\a\\b\\f\\v\\r\\0\\101\\x4a'\n.", '\x07\b\f\v\r\0AJ'],
    ["S'\\q'\n.", '\\q'],
    ["S'\\501'\n.", 'A'],
    ["S'\\xef\\xbb\\xbfa'\n.", '\ufeffa'],
    ['S"a\'b"\n.', "a'b"],
    ["S''\n.", ''],
    ['V\\\\u0041\n.', '\\\\u0041'],
    ['V\\\\\\u0041\n.', '\\\\A'],
    ['V\\n\n.', '\\n'],
    ['T\x03\0\0\0abc.', 'abc'],
    ['L123L\n.', 123],
    ['L123\n.', 123],
    ['L-9007199254740991L\n.', -9007199254740991],
    ['\x8a\0.', 0],
    ['\x8a\x01\xff.', -1],
    ['\x8b\x02\0\0\0\x00\x80.', -32768],
    ['I1\n.', 1],
    ['F-1e-3\n.', -0.001],
    ['NN0.', null],
    ['N(NN1.', null],
    ['N.\n', null],
  ])('%j is read as %j', async (pickle, value) => {
    expect(read(pickle)).toEqual(value);
    expect(await load(bytes(pickle))).toEqual(value);
  });
});

describe('writing what Python reads', () => {
  test('a value is unpickled by Python unchanged', async () => {
    await fc.assert(
      fc.asyncProperty(tree, async (value) => {
        const pickle = writePickle(value);
        expect(pickle).toMatch(/^[\n -~]*$/);
        expect(JSON.stringify(await load(bytes(pickle)))).toBe(JSON.stringify(value));
      }),
      { numRuns: RUNS },
    );
  });

  test('replies are in protocol 0, and use only opcodes that Python 2.4 supports', () => {
    const value = { root: { uuid: 'ab-1' }, list: [null, true, false, -1, 2 ** 40, '\\é😀\n'] };
    expect(writePickle(value)).toBe(
      '(dVroot\n(dVuuid\nVab-1\nssVlist\n(lNaI01\naI00\naI-1\naL1099511627776L\naV\\u005c\\u00e9\\U0001f600\\u000a\nas.',
    );
  });

  test('half of a surrogate pair does not cause a failure', async () => {
    expect(await load(bytes(writePickle('a\ud800b')))).toBe('a\ud800b');
  });
});

describe('a pickle that is more than data', () => {
  test.each([
    ['a call of system', "cos\nsystem\n(S'true'\ntR.", 'GLOBAL', 0],
    ['a call of system, the short way', "(S'true'\nios\nsystem\n.", 'INST', 9],
    ['a call of system after an innocent dict', "(dp0\nS'a'\np1\ncos\nsystem\n(S'true'\ntRs.", 'GLOBAL', 13],
    ['eval by protocol 2', '\x80\x02c__builtin__\neval\nU\x011\x85R.', 'GLOBAL', 2],
    ['a class put together on the stack', "(S'true'\n\x93.", 'STACK_GLOBAL', 9],
    ['a call of the object on the stack', 'N(tR.', 'REDUCE', 3],
    ['an instance of the class on the stack', '(No.', 'OBJ', 2],
    ['an object by protocol 2', 'N)\x81.', 'NEWOBJ', 2],
    ['a state for the object on the stack', 'N}b.', 'BUILD', 2],
    ['a persistent id', 'P1\n.', 'PERSID', 0],
    ['a binary persistent id', 'NQ.', 'BINPERSID', 1],
    ['a registered class', '\x82\x01.', 'EXT1', 0],
  ])('with %s is refused, and the error names the opcode', (_what, pickle, name, offset) => {
    expect(refusal(pickle)).toMatchObject({ message: expect.stringContaining(`the opcode ${name},`), offset });
  });

  const DATA = `MARK STOP POP POP_MARK NONE INT LONG FLOAT STRING UNICODE LIST TUPLE DICT APPEND SETITEM PUT GET EMPTY_LIST EMPTY_TUPLE
    EMPTY_DICT APPENDS SETITEMS BININT1 BININT2 BININT BINFLOAT SHORT_BINSTRING BINSTRING BINUNICODE BINPUT LONG_BINPUT BINGET LONG_BINGET
    PROTO TUPLE1 TUPLE2 TUPLE3 NEWTRUE NEWFALSE LONG1 LONG4`.split(/\s+/);

  test('is refused: of all Python opcodes and all byte values, only the data opcodes of protocols 0 to 2 are accepted', async () => {
    const opcodes = (await python.ask({ opcodes: true })) as [string, string][];
    const names = new Map(opcodes.map(([name, character]) => [character.charCodeAt(0), name]));
    expect([...names.values()]).toEqual(expect.arrayContaining(DATA));
    const taken = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => {
      try {
        readPickle(Buffer.from([byte]));
        return true;
      } catch (error) {
        return !/ opcode /.test(String(error));
      }
    });
    expect(taken.map((byte) => names.get(byte)).sort()).toEqual([...DATA].sort());
  });

  test('does not result from a __proto__ key, which is an ordinary key of its dict', () => {
    const value = read("(dS'__proto__'\n(dS'polluted'\nI01\nss.");
    expect(Object.keys(value ?? {})).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect('polluted' in {}).toBe(false);
    expect(Reflect.get(Object(value), 'polluted')).toBeUndefined();
  });
});

describe('a broken or oversized pickle', () => {
  /** Puts lists into the memo, each with the one before in it ten times. */
  const shared = (depth: number): string => Array.from({ length: depth }, (_, n) => `(${`g${n}\n`.repeat(10)}lp${n + 1}\n0`).join('');

  test.each([
    ['nothing', '', /ends in the middle/],
    ['no end', 'N', /ends in the middle/],
    ['a string that is cut', "S'abc", /middle of a line/],
    ['a length beyond the end', 'X\xff\xff\xff\x7fabc.', /ends in the middle/],
    ['a negative length', 'T\xff\xff\xff\xffabc.', /ends in the middle/],
    ['no quotes', 'Sabc\n.', /without its quotes/],
    ['two kinds of quotes', 'S\'abc"\n.', /without its quotes/],
    ['one quote', "S'\n.", /without its quotes/],
    ['half an escape at the end', "S'abc\\'\n.", /an incomplete escape/],
    ['half a hexadecimal escape', "S'\\x4'\n.", /an incomplete escape/],
    ['half an escape of text', 'V\\u004\n.', /an incomplete escape/],
    ['a character beyond the last', 'V\\U00110000\n.', /an incomplete escape/],
    ['bytes that are no UTF-8', "S'\\xff'\n.", /not UTF-8/],
    ['an integer beyond 2^53', 'I9007199254740992\n.', /beyond 2\^53/],
    ['a long beyond 2^53', 'L-9007199254740992L\n.', /beyond 2\^53/],
    ['a long of 8 bytes', '\x8a\x08\0\0\0\0\0\0\0\x40.', /beyond 2\^53/],
    ['a long of 100 bytes', `\x8a\x64${'\x01'.repeat(100)}.`, /beyond 2\^53/],
    ['an integer in hexadecimal', 'I0x10\n.', /an invalid integer/],
    ['an integer that is octal to Python 2', 'I010\n.', /an invalid integer/],
    ['an integer with an L', 'I10L\n.', /an invalid integer/],
    ['an empty integer', 'I\n.', /an invalid integer/],
    ['a float that is not a number', 'Fnan\n.', /an invalid float/],
    ['a float too large', 'F1e999\n.', /not finite/],
    ['an infinite float', 'G\x7f\xf0\0\0\0\0\0\0.', /not finite/],
    ['a list without a mark', 'l.', /mark that does not exist/],
    ['a value from an empty stack', '.', /empty stack/],
    ['a value from below a mark', 'N(p0\n.', /empty stack/],
    ['two values at the end', 'NN.', /more than one value/],
    ['a mark left over', 'N(N.', /more than one value/],
    ['something after the end', 'N.N', /data after its end/],
    ['an append to a string', "S'a'\nNa.", /not a list/],
    ['an append to a tuple', '(tNa.', /not a list/],
    ['an item of a list', '(lNNs.', /not a dict/],
    ['a key without a value', 'N(S"a"\nd.', /key without a value/],
    ['a key that is no string', '(I1\nNd.', /key that is not a string/],
    ['a key that is a list', '(d(lNs.', /key that is not a string/],
    ['an empty place in the memo', 'g7\n.', /memo/],
    ['a place that is no number', 'N p1\n.', /not an opcode/],
    ['a negative place', 'Np-1\n.', /not a number/],
    ['a place beyond all others', 'Nr\0\0\0\x40.', /memo index beyond/],
    ['a later protocol', '\x80\x04N.', /protocol 4/],
    ['a list that holds itself', '(lp0\ng0\na.', /contains itself/],
    ['a dict that holds itself', "(dp0\nS'a'\ng0\ns.", /contains itself/],
    ['a list that holds itself by way of a tuple', '(lp0\n(g0\nta.', /contains itself/],
    ['40 lists in each other', `${'('.repeat(40)}${'l'.repeat(40)}.`, /nested/],
    ['50000 lists in each other', `${'('.repeat(50_000)}${'l'.repeat(50_000)}.`, /nested/],
    ['100000 marks', `N${'('.repeat(100_000)}.`, /empty stack/],
    ['more bytes than an argument may have', `S'${'a'.repeat(128 * 1024)}'\n.`, /longer than 131072 bytes/],
    // Each list holds the one before ten times: 10^20 values in less than a KiB.
    ['lists shared ten times, 20 deep', `(lp0\n0${shared(20)}g20\n.`, /holds more than 65536 values/],
  ])('with %s is a USAGE error', (_what, pickle, message) => {
    const error = refusal(pickle);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^the pickle /);
  });

  test('causes an error with the offset of the failing opcode, and without any content of the pickle', () => {
    const error = refusal("(dS'X-Auth-Token'\nS'secret\\x4'\ns.");
    expect(error).toMatchObject({ offset: 18, message: 'the pickle has a string with an incomplete escape' });
  });

  test.each([
    ['marks', `${'('.repeat(30)}${'l'.repeat(30)}.`],
    ['appending', `${'(l'.repeat(30)}${'a'.repeat(29)}.`],
  ])('does not include 30 nested lists, written with %s', (_how, pickle) => {
    expect(JSON.stringify(read(pickle))).toBe(`${'['.repeat(30)}${']'.repeat(30)}`);
  });

  test('does not include lists shared ten times, 4 deep', () => {
    expect(read(`(lp0\n0${shared(4)}g4\n.`)).toHaveProperty('[9][9][9][9]', []);
  });

  /** A line (or one byte where there are none) taken out, doubled, or put elsewhere; or a letter or digit made the next one. */
  const damage = fc.record({ from: fc.nat(), to: fc.nat(), how: fc.constantFrom('drop', 'double', 'move', 'count', 'count') });

  test.each([0, 1, 2])('a corrupted pickle of protocol %i is refused, or read as Python reads it', async (protocol) => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(tree, fc.array(damage, { minLength: 1, maxLength: 3 }), async (value, damages) => {
        const text = (await dump(value, protocol, 'shared')).toString('latin1');
        const parts = protocol === 0 ? text.split(/(?<=\n)|(?=[(dlta.s])/) : text.split('');
        for (const { from, to, how } of damages) {
          const at = from % parts.length;
          const part = parts[at] ?? '';
          if (how === 'count') parts[at] = part.replace(/(?<=^.?)[0-8a-y]/, (letter) => String.fromCharCode(letter.charCodeAt(0) + 1));
          if (how === 'drop' || how === 'move') parts.splice(at, 1);
          if (how === 'double' || how === 'move') parts.splice(to % (parts.length + 1), 0, part);
        }
        const damaged = bytes(parts.join(''));
        let ours: PickleValue;
        try {
          ours = readPickle(damaged);
        } catch (error) {
          expect(error).toMatchObject({ name: 'VdiStreamError', code: 'USAGE' });
          return;
        }
        accepted++;
        // Nothing but data was accepted, so Python can be trusted with it.
        expect(JSON.stringify(await load(damaged))).toBe(JSON.stringify(ours));
      }),
      { numRuns: RUNS },
    );

    expect(accepted).toBeGreaterThan(0);
  });

  test('arbitrary bytes are either refused or read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (input) => {
        try {
          readPickle(input);
        } catch (error) {
          expect(error).toMatchObject({ name: 'VdiStreamError', code: 'USAGE' });
        }
      }),
      { numRuns: RUNS * 10 },
    );
  });
});
