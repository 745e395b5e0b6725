/** Arguments are checked before anything is done: what is wrong is USAGE, and names the option. */

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
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
/** For a call that opens something. */
function closed(work: unknown): Call {
  return async (...values) => {
    const found = await call(work)(...values);
    if (typeof found === 'object' && found !== null && 'close' in found) await call(found.close)(undefined, undefined, undefined);
  };
}
/** For a call that returns an image, whose bytes are made when they are read. */
function packed(work: unknown): Call {
  return async (...values) => {
    const found = call(work)(...values);
    if (!isPacked(found)) throw new Error('no image');
    const chunks = found.bytes(library.createPool({ count: 8, size: 65_536 }));
    for await (const _ of chunks);
  };
}
const isPacked = (value: unknown): value is { bytes(pool: library.Pool): AsyncIterable<unknown> } =>
  typeof value === 'object' && value !== null && 'bytes' in value && typeof value.bytes === 'function';
const isIterable = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
const CALLS: Readonly<Record<string, Call>> = {
  info: call(library.info),
  check: call(library.check),
  writeDisk: call(library.writeDisk),
  verifyDisk: call(library.verifyDisk),
  dryRunWrite: call(library.dryRunWrite),
  dryRunImport: call(library.dryRunImport),
  dryRunImportDisks: call(library.dryRunImportDisks),
  dryRunImportToDevice: call(library.dryRunImportToDevice),
  importImage: call(library.importImage),
  importDisks: call(library.importDisks),
  importImages: call(library.importImages),
  importToDevice: call(library.importToDevice),
  exportDisk: call(library.exportDisk),
  uploadImage: call(library.uploadImage),
  reap: call(library.reap),
  vdiDisk: call(library.vdiDisk),
  nbdDisk: call(library.nbdDisk),
  httpImage: call(library.httpImage),
  httpSink: call(library.httpSink),
  glanceImage: call(library.glanceImage),
  glanceSink: call(library.glanceSink),
  cachedImage: call(library.cachedImage),
  stagedImage: call(library.stagedImage),
  createPool: call(library.createPool),
  deviceTarget: call(library.deviceTarget),
  openSource: closed(blocks.openSource),
  compressionOf: call(blocks.compressionOf),
  decompress: iterated(blocks.decompress),
  gunzip: iterated(blocks.gunzip),
  gzip: iterated(blocks.gzip),
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
  packTar: packed(blocks.packTar),
  packOva: packed(blocks.packOva),
  decodeVhd: call(blocks.decodeVhd),
  encodeVhd: packed(blocks.encodeVhd),
  encodeRaw: packed(blocks.encodeRaw),
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

test.each([
  ['x', /must be an array$/],
  [{}, /must be an array$/],
  [[null], /^an image of importImages must be an object/],
  [[{ sr: SR }], /^an image of importImages: /],
  [[{ image: 'image.vhd' }], /sr is required$/],
])('images for importImages that are %j are refused', async (images, message) => {
  expect(await wrong('importImages', images)).toMatchObject({ code: 'USAGE', message: expect.stringMatching(message) });
});

test('all words that the command line accepts are accepted by the library', async () => {
  for (const zero of ZERO_POLICIES) await library.writeDisk(image(), 'null:', { zero });
  for (const manifest of MANIFEST_MODES) await library.info(image(), { manifest });
});

const disk = () => blocks.rawDisk(blocks.streamCursor(Readable.from([vhd])), vhd.length, () => {});
const identity = { creator: blocks.CREATOR, uniqueId: 'c0ffee'.padEnd(32, '0'), timestamp: 0 };
const encoding = { type: 'fixed', identity };
const members = (chunk: unknown) => [{ name: 'a', length: 5, virtualSize: 512, bytes: () => Readable.from([chunk]) }];

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
    ['decompress', 'compression', ['rar', cursor.chunks()]],
    ['decompress', 'compression', [Object.create(null), cursor.chunks()]],
    ['isTarHeader', 'block', [undefined]],
    ['streamCursor', 'source', [Buffer.alloc(3)]],
    ['emptySums', 'size', [2 ** 53]],
    ['discard', 'extent', [{ kind: 'data' }]],
    ['drain', 'cursor', [null]],
    ['gunzip', 'source', [Buffer.alloc(3)]],
    ['gunzip', 'inflate', [cursor.chunks(), 'fast']],
    ['decompress', 'inflate', ['gzip', cursor.chunks(), 'fast']],
    ['gzip', 'source', ['text']],
    ['gzip', 'level', [cursor.chunks(), { level: 0 }]],
    ['encodeVhd', 'disk', [{ virtualSize: 512 }, encoding]],
    ['encodeVhd', 'disk', [{ ...disk(), virtualSize: 513 }, encoding]],
    ['encodeVhd', 'disk', [{ ...disk(), virtualSize: 0 }, encoding]],
    ['encodeVhd', 'the option type', [disk(), { identity }]],
    ['encodeVhd', 'the option identity', [disk(), { type: 'fixed' }]],
    ['encodeVhd', 'identity', [disk(), { ...encoding, identity: { ...identity, creator: null } }]],
    ['encodeVhd', 'blockSize', [disk(), { ...encoding, blockSize: 5000 }]],
    ['encodeVhd', 'align', [disk(), { ...encoding, align: 1024 }]],
    ['encodeVhd', 'scan', [disk(), { ...encoding, scan: {} }]],
    ['encodeVhd', 'type', [disk(), { ...encoding, type: 'differencing' }]],
    ['encodeRaw', 'disk', [undefined]],
    ['packTar', 'members', [[{ name: 'a', length: -1, bytes: () => {} }], { mtime: 0 }]],
    ['packTar', 'members', [{}, { mtime: 0 }]],
    ['packTar', 'mtime', [[], { mtime: -1 }]],
    ['packTar', 'the option mtime', [[]]],
    ['packOva', 'disks', [[{ length: 1, bytes: () => {} }], { name: '', mtime: 0 }]],
    ['packOva', 'the option name', [[], { mtime: 0 }]],
    ['packOva', 'name', [[], { name: 3, mtime: 0 }]],
  ])('%s refuses a wrong %s', async (name, argument, values) => {
    const error = await wrong(name, ...values);
    expect(error).toMatchObject({ code: 'USAGE', message: expect.stringMatching(new RegExp(`^${name}: `)) });
    if (!argument.startsWith('the option')) expect(error.message).toMatch(/ must be /);
  });

  test('a chunk that is no Uint8Array is refused while it is decompressed', async () => {
    for (const compression of ['none', 'gzip', 'xz'])
      expect(await wrong('decompress', compression, Readable.from(['text']))).toMatchObject({ code: 'USAGE' });
    for (const name of ['gunzip', 'gzip']) expect(await wrong(name, Readable.from(['text']))).toMatchObject({ code: 'USAGE' });
  });

  test('the third argument of decompress chooses what inflates', async () => {
    const { message } = await wrong('decompress', 'gzip', Readable.from([gzipSync(vhd), gzipSync(vhd)]), 'zlib-sync');
    expect(message).toContain('zlib-sync');
  });

  test.each([['text'], [3], [Buffer.from('four')], [Buffer.from('sixsix')]])(
    'a body of five bytes that is %j is refused while it is packed',
    async (chunk) => {
      expect(await wrong('packTar', members(chunk), { mtime: 0 })).toMatchObject({ code: 'USAGE' });
      expect(await wrong('packOva', members(chunk), { name: '', mtime: 0 })).toMatchObject({ code: 'USAGE' });
    },
  );

  test('a body that is no stream is refused while it is packed', async () => {
    const [member] = members('');
    const wrongBody = [{ ...member, bytes: () => 3 }];
    expect(await wrong('packTar', wrongBody, { mtime: 0 })).toMatchObject({ code: 'USAGE' });
    expect(await wrong('packOva', wrongBody, { name: '', mtime: 0 })).toMatchObject({ code: 'USAGE' });
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

describe('outputs', () => {
  test.each([undefined, null, 3, '', 'a\0b', {}, [], library.nullTarget])('%j is no output', async (output) => {
    expect(await wrong('exportDisk', image(), output)).toMatchObject({ code: 'USAGE' });
  });

  test('the opener of a target is no disk', async () => {
    expect(await wrong('exportDisk', library.nullTarget, 'null:')).toMatchObject({
      code: 'USAGE',
      message: 'the opener null: has not returned a disk',
    });
  });

  test('an opener that returns no sink is named', async () => {
    const sink = { name: 'pipe', readable: false, open: async () => ({ write: () => {} }) };
    expect(await wrong('exportDisk', image(), sink)).toMatchObject({ code: 'USAGE', message: 'the opener pipe has not returned a sink' });
  });

  test.each([null, 3, '', 'a/b'])('%j is no image id, and no image is created', async (id) => {
    const endpoints = ['http://127.0.0.1:1'];
    expect(await wrong('uploadImage', image(), id, { endpoints, retries: 0 })).toMatchObject({ code: 'USAGE' });
    expect(await wrong('glanceSink', id, { endpoints, diskFormat: 'vhd', containerFormat: 'ovf' })).toMatchObject({ code: 'USAGE' });
  });

  test.each([undefined, null, 3, '', 'file:///a', {}])('%j is no URL', async (url) => {
    expect(await wrong('httpSink', url)).toMatchObject({ code: 'USAGE' });
  });

  test.each(['answerTimeout', 'settleTimeout', 'connectTimeout', 'idleTimeout'])('%s must be a number of milliseconds', async (name) => {
    const options = { endpoints: ['http://127.0.0.1:1'], retries: 0, [name]: -1 };
    const error = { code: 'USAGE', message: expect.stringContaining(`${name} must be a number of milliseconds`) };
    expect(await wrong('uploadImage', image(), undefined, options)).toMatchObject(error);
    expect(await wrong('glanceSink', SR, { ...options, diskFormat: 'vhd', containerFormat: 'ovf' })).toMatchObject(error);
    if (name !== 'settleTimeout') expect(await wrong('httpSink', 'http://127.0.0.1:1/', { [name]: -1 })).toMatchObject(error);
  });
});

describe('no image is imported to', () => {
  test.each(['null:', 'null', '-'])('%s', async (device) => {
    const source = image();
    for (const name of ['importToDevice', 'dryRunImportToDevice'])
      expect(await wrong(name, source, device, { xe })).toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining(`use ./${device}`),
      });
    expect(existsSync(device)).toBe(false);
  });
});

const OPTIONS =
  'disk raw manifest sha256 signal onProgress strict onWarning virtualSize staging force pool zero zeroTail verify quick sr rawVdi dryRun headers ca connectTimeout idleTimeout retries digest length endpoints version folder size count attached readsZero format container compress level blockSize align singlePass name asIs type identity scan mtime diskFormat containerFormat visibility properties store answerTimeout settleTimeout expected junk'.split(
    ' ',
  );
const junk = fc.oneof(
  fc.constantFrom(undefined, null, true, false, '', 'x', 'a\0b', SR, 0, -1, 1.5, Number.NaN, 2 ** 53, 4096, 3n, Symbol('s')),
  fc.constantFrom<unknown>('data', 'gzip', 'xz', 'none', 'auto', { kind: 'data' }, [1], new BigUint64Array(1)),
  fc.constant(undefined).map(() => Readable.from([Buffer.from('chunk')])),
  fc.constant(undefined).map(() => Readable.from([3])),
  fc.constant(undefined).map(() => blocks.streamCursor(Readable.from([vhd]))),
  fc.constant(undefined).map(disk),
  fc.constantFrom('hello', Buffer.from('hello'), 3).map(members),
  fc.constantFrom<unknown>({}, [], ['x'], () => {}, new Date(0), new Uint8Array(4), AbortSignal.abort(), from, library.nullTarget, 'null:'),
  fc.anything(),
);
const options = fc.oneof(
  junk,
  fc.dictionary(fc.constantFrom(...OPTIONS), junk, { maxKeys: 3 }).map((chosen) => ({ ...chosen, xe })),
  fc.dictionary(fc.constantFrom(...OPTIONS), junk, { maxKeys: 2 }),
  fc
    .dictionary(fc.constantFrom('level', 'blockSize', 'align', 'scan', 'identity', 'name'), junk, { maxKeys: 1 })
    .chain((chosen) => fc.constantFrom({ ...encoding, ...chosen }, { name: 'vm', mtime: 0, ...chosen }, { mtime: 0, ...chosen })),
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
