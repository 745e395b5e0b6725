/** Arguments are checked before anything is done: what is wrong is USAGE, and names the option. */

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as blocks from '../../src/blocks.ts';
import { ZERO_POLICIES } from '../../src/engine/plan.ts';
import { VdiStreamError } from '../../src/errors.ts';
import * as library from '../../src/index.ts';
import { MANIFEST_MODES } from '../../src/ova/member-digests.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';

const SIZE = 2 ** 21;
const vhd = dynamicVhd({ size: SIZE, blocks: new Map() });
const SR = '11111111-2222-3333-4444-555555555555';
const xe = { program: '/nonexistent/xe', inventory: '/nonexistent/inventory' };
const from = { name: 'an opener', open: async () => Promise.reject(new VdiStreamError('SOURCE_OPEN', 'no')) };

/** Each call with three arguments of any type. Everything it touches is in a folder of its own, or does not exist. */
type Call = (first: unknown, second: unknown, third: unknown) => unknown;
const call =
  (work: unknown): Call =>
  (...values) => {
    if (typeof work !== 'function') throw new Error('no such call');
    return Reflect.apply(work, undefined, values);
  };
/** For a call that begins to work only when its result is read. */
function iterated(work: unknown): Call {
  return async (...values) => {
    const found = call(work)(...values);
    if (isIterable(found)) for await (const _ of found);
  };
}
const isIterable = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
const CALLS: Readonly<Record<string, Call>> = {
  info: call(library.info),
  check: call(library.check),
  writeDisk: call(library.writeDisk),
  verifyDisk: call(library.verifyDisk),
  dryRunWrite: call(library.dryRunWrite),
  dryRunImport: call(library.dryRunImport),
  dryRunImportToDevice: call(library.dryRunImportToDevice),
  importImage: call(library.importImage),
  importToDevice: call(library.importToDevice),
  reap: call(library.reap),
  vdiDisk: call(library.vdiDisk),
  httpImage: call(library.httpImage),
  glanceImage: call(library.glanceImage),
  cachedImage: call(library.cachedImage),
  stagedImage: call(library.stagedImage),
  createPool: call(library.createPool),
  deviceTarget: call(library.deviceTarget),
  openSource: call(blocks.openSource),
  compressionOf: call(blocks.compressionOf),
  decompress: iterated(blocks.decompress),
  drain: call(blocks.drain),
  streamCursor: call(blocks.streamCursor),
  discard: call(blocks.discard),
  overlay: iterated(blocks.overlay),
  rawDisk: call(blocks.rawDisk),
  targetOpener: call(blocks.targetOpener),
  plan: call(blocks.plan),
  pump: call(blocks.pump),
  emptySums: call(blocks.emptySums),
  verifySums: call(blocks.verifySums),
  isTarHeader: call(blocks.isTarHeader),
  readTar: iterated(blocks.readTar),
  decodeVhd: call(blocks.decodeVhd),
};

/** The error of a call, thrown or rejected. */
const wrong = (name: string, ...[first, second, third]: readonly unknown[]): Promise<VdiStreamError> =>
  failure((async () => CALLS[name]?.(first, second, third))());

const target = (): string => join(testFolder(), 'disk.raw');
const image = (): string => {
  const path = join(testFolder(), 'image.vhd');
  writeFileSync(path, vhd);
  return path;
};

test('every call of the library with arguments is tried here', () => {
  const others = ['VdiStreamError'];
  const calls = Object.entries({ ...library, ...blocks }).flatMap(([name, value]) =>
    typeof value === 'function' && !others.includes(name) ? [name] : [],
  );
  expect(calls.filter((name) => CALLS[name] === undefined)).toEqual([]);
});

describe('a wrong option is USAGE with its name, and nothing has been written', () => {
  test.each([
    ['zero', 'maybe'],
    ['virtualSize', -1],
    ['virtualSize', 1.5],
    ['force', ['all']],
    ['force', 'busy'],
    ['signal', 1],
    ['sha256', 'x'],
    ['verify', 'yes'],
    ['manifest', 'never'],
    ['pool', {}],
    ['onWarning', 'log'],
    ['staging', ''],
  ])('%s: %j', async (name, value) => {
    const path = target();
    const error = await wrong('writeDisk', image(), path, { [name]: value });
    expect(error).toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(new RegExp(`^writeDisk: ${name} must be `)),
      retryable: false,
    });
    expect(existsSync(path)).toBe(false);
  });

  test('an unknown one, with the one that was probably intended', async () => {
    expect((await wrong('writeDisk', image(), target(), { verfy: true })).message).toContain(
      'unknown option "verfy"; did you mean "verify"?',
    );
    expect((await wrong('importImage', image(), { sr: SR, xe: { timout: 3 } })).message).toContain('"xe.timout"; did you mean "timeout"?');
    expect((await wrong('importImage', image(), {})).message).toBe('importImage: the option sr is required');
  });
});

test('all words that the command line accepts are accepted by the library', async () => {
  for (const zero of ZERO_POLICIES) await library.writeDisk(image(), 'null:', { zero });
  for (const manifest of MANIFEST_MODES) await library.info(image(), { manifest });
});

describe('building blocks', () => {
  const cursor = blocks.streamCursor(Readable.from([]));
  test.each<readonly [string, string, readonly unknown[]]>([
    ['decodeVhd', 'cursor', [undefined]],
    ['decodeVhd', 'the options', [cursor, { onWarning: 'log' }]],
    ['readTar', 'cursor', [{}]],
    ['rawDisk', 'size', [cursor, -1, () => {}]],
    ['rawDisk', 'warn', [cursor, 512]],
    ['pump', 'extents', [[], {}, { size: 0 }]],
    ['pump', 'target', [Readable.from([])[Symbol.asyncIterator](), {}, { size: 0 }]],
    ['verifySums', 'size', [{}, 1.5]],
    ['overlay', 'layers', [3]],
    ['overlay', 'the option size', [Readable.from([]), library.createPool({ count: 1, size: 4096 }), {}]],
    ['compressionOf', 'magic', ['BZh']],
    ['decompress', 'compression', ['bzip2', cursor.chunks()]],
    ['isTarHeader', 'block', [undefined]],
    ['streamCursor', 'source', [Buffer.alloc(3)]],
    ['emptySums', 'size', [2 ** 53]],
    ['discard', 'extent', [{ kind: 'data' }]],
    ['drain', 'cursor', [null]],
  ])('%s refuses a wrong %s', async (name, argument, values) => {
    const error = await wrong(name, ...values);
    expect(error).toMatchObject({ code: 'USAGE', message: expect.stringMatching(new RegExp(`^${name}: `)) });
    if (!argument.startsWith('the option')) expect(error.message).toMatch(/ must be /);
  });

  test('a chunk that is no Uint8Array is refused while it is decompressed', async () => {
    for (const compression of ['none', 'gzip', 'xz'])
      expect(await wrong('decompress', compression, Readable.from(['text']))).toMatchObject({ code: 'USAGE' });
  });
});

describe('sources and targets', () => {
  test.each([undefined, null, 3, '', 'a\0b', {}, [], new Map(), Buffer.from(vhd), new ArrayBuffer(8)])(
    '%j is no source',
    async (source) => {
      for (const name of ['info', 'check', 'openSource']) expect(await wrong(name, source)).toMatchObject({ code: 'USAGE' });
    },
  );

  test('a buffer is refused with what to pass instead, and that works', async () => {
    expect((await wrong('info', vhd)).message).toContain('Readable.from([buffer])');
    expect(await library.info(Readable.from([vhd]))).toMatchObject({ virtualSize: SIZE });
  });

  test('a file: URL is its path, as a URL and as a string', async () => {
    const url = pathToFileURL(image());
    for (const source of [url, url.href, [url]]) expect(await library.info(source)).toMatchObject({ virtualSize: SIZE });
    expect(await wrong('info', 'file://server/share')).toMatchObject({ code: 'USAGE' });
  });

  test.each([undefined, null, 3, '', 'a\0b', {}, []])('%j is no target', async (path) => {
    for (const name of ['writeDisk', 'verifyDisk']) expect(await wrong(name, image(), path)).toMatchObject({ code: 'USAGE' });
    expect(await wrong('deviceTarget', path)).toMatchObject({ code: 'USAGE' });
    expect(await wrong('importToDevice', image(), path)).toMatchObject({ code: 'USAGE' });
  });
});

const OPTIONS =
  'disk raw manifest sha256 signal onProgress strict onWarning virtualSize staging force pool zero zeroTail verify quick sr name rawVdi dryRun headers ca connectTimeout idleTimeout retries digest length endpoints version folder size count attached readsZero junk'.split(
    ' ',
  );
const junk = fc.oneof(
  fc.constantFrom(undefined, null, true, false, '', 'x', 'a\0b', SR, 0, -1, 1.5, Number.NaN, 2 ** 53, 4096, 3n, Symbol('s')),
  fc.constantFrom<unknown>('data', 'gzip', 'xz', 'none', 'auto', { kind: 'data' }, [1], new BigUint64Array(1)),
  fc.constant(undefined).map(() => Readable.from([Buffer.from('chunk')])),
  fc.constant(undefined).map(() => Readable.from([3])),
  fc.constant(undefined).map(() => blocks.streamCursor(Readable.from([vhd]))),
  fc.constantFrom<unknown>({}, [], ['x'], () => {}, new Date(0), new Uint8Array(4), AbortSignal.abort(), from, library.nullTarget, 'null:'),
  fc.anything(),
);
const options = fc.oneof(
  junk,
  fc.dictionary(fc.constantFrom(...OPTIONS), junk, { maxKeys: 3 }).map((chosen) => ({ ...chosen, xe })),
  fc.dictionary(fc.constantFrom(...OPTIONS), junk, { maxKeys: 2 }),
);

const LONG = process.env.VDISTREAM_LONG === '1';

test('junk for any call is USAGE or success, never another error', { timeout: LONG ? 3_600_000 : 120_000 }, async () => {
  const sources = fc.oneof(junk, fc.constant(image()), fc.constant(from));
  const targets = fc.oneof(junk, fc.constant('null:'));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(CALLS)),
      sources,
      targets,
      options,
      fc.boolean(),
      async (name, source, second, third, isShort) => {
        // A string may be a path that exists: only names that do not are tried.
        if (source === 'x' || (typeof source === 'string' && existsSync(source) && !source.endsWith('image.vhd'))) return;
        if (typeof second === 'string' && second !== 'null:' && second !== '') return;
        try {
          await CALLS[name]?.(source, isShort ? third : second, third);
        } catch (error) {
          if (!(error instanceof VdiStreamError)) throw error;
        }
      },
    ),
    { numRuns: LONG ? 100_000 : 3000 },
  );
});
