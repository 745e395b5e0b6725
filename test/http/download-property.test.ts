import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { type DownloadOptions, httpImage } from '../../src/http/download.ts';
import { noise } from '../support/chunks.ts';
import { httpServer, type Reply, type ServerOptions } from '../support/http-server.ts';

/** What an image is, and what its server says of it, by the kind of server. */
const kinds = ['silent', 'etag', 'weak', 'date', 'md5'] as const;
type Kind = (typeof kinds)[number];

interface Image {
  readonly bytes: Uint8Array;
  readonly headers: Readonly<Record<Kind, Readonly<Record<string, string>>>>;
}

function imageOf(length: number, seed: number): Image {
  const bytes = noise(length, seed);
  const headers = {
    silent: {},
    etag: { etag: `"${seed}"` },
    weak: { etag: `W/"${seed}"` },
    date: { 'last-modified': new Date(seed * 1e9).toUTCString() },
    md5: { 'content-md5': createHash('md5').update(bytes).digest('hex') },
  };
  return { bytes, headers };
}

const image = imageOf(150_000, 1);
const others = [imageOf(150_000, 2), imageOf(90_000, 3)];

const cut = fc.nat(70_000);
const drop = fc.record({ cut, how: fc.constantFrom('end', 'reset') });
const failing: fc.Arbitrary<Reply> = fc.oneof(
  fc.record({ status: fc.constantFrom(408, 429, 500, 502, 503, 504) }),
  fc.constant({ refuse: true }),
  fc.constant({ cut: 0 }),
);

/** All faults combined: everything a server may do wrong without lying about its content. */
const wrong = (kind: Kind): fc.Arbitrary<Reply> => {
  const changed = fc
    .record({ other: fc.constantFrom(...others), noRange: fc.boolean(), blind: fc.boolean() })
    .map(({ other, ...how }) => ({ ...how, image: other.bytes, headers: other.headers[kind] }));
  return fc.oneof(
    { weight: 8, arbitrary: drop },
    { weight: 3, arbitrary: failing },
    { weight: 1, arbitrary: changed },
    { weight: 1, arbitrary: fc.tuple(changed, drop).map(([reply, how]) => ({ ...reply, ...how })) },
    { weight: 1, arbitrary: fc.record({ cut, chunked: fc.constant(true) }) },
    { weight: 1, arbitrary: fc.record({ status: fc.constantFrom(204, 304, 400, 401, 404, 416) }) },
    { weight: 1, arbitrary: fc.constant({ noRange: true }) },
    { weight: 1, arbitrary: fc.record({ shift: fc.integer({ min: -5, max: 5 }) }) },
    { weight: 1, arbitrary: fc.record({ total: fc.constantFrom('*', '150001', '0', 'many') }) },
  );
};

interface Outcome {
  readonly bytes: Buffer;
  readonly error: VdiStreamError | undefined;
}

/** Anything but a VdiStreamError is thrown on. */
async function fetched(options: ServerOptions, download: DownloadOptions = {}): Promise<Outcome> {
  const server = await httpServer(options);
  const parts: Uint8Array[] = [];
  try {
    const source = await httpImage(server.url(), { ...download, wait: async () => {} }).open({});
    try {
      for await (const chunk of source.cursor.chunks()) parts.push(Uint8Array.from(chunk));
      await source.finish();
    } finally {
      await source.close();
    }
    return { bytes: Buffer.concat(parts), error: undefined };
  } catch (error) {
    if (error instanceof VdiStreamError) return { bytes: Buffer.concat(parts), error };
    throw error;
  } finally {
    await server.close();
  }
}

const isStartOf = (part: Buffer, whole: Uint8Array): boolean => Buffer.compare(part, whole.subarray(0, part.length)) === 0;

test('whatever a server does, the bytes are those of one image, complete or ended by a typed error', async () => {
  const programs = fc
    .constantFrom(...kinds)
    .chain((kind) => fc.record({ kind: fc.constant(kind), replies: fc.array(wrong(kind), { maxLength: 12 }) }));
  const outcomes = { whole: 0, cut: 0 };
  await fc.assert(
    fc.asyncProperty(programs, async ({ kind, replies }) => {
      const { bytes, error } = await fetched({
        image: image.bytes,
        headers: image.headers[kind],
        reply: (_, number) => replies[number] ?? {},
      });
      const source = [image, ...others].find((one) => isStartOf(bytes, one.bytes));
      expect(source).toBeDefined();
      if (error === undefined) expect(bytes).toHaveLength(source?.bytes.length ?? -1);
      outcomes[error === undefined ? 'whole' : 'cut']++;
    }),
    { numRuns: 300 },
  );
  expect(Math.min(outcomes.whole, outcomes.cut)).toBeGreaterThan(10);
});

test('a server that keeps falling silent is handled like one with dropped connections', async () => {
  const silence = fc.record({ cut: fc.integer({ min: 1, max: 70_000 }), how: fc.constant('stall' as const) });
  const program = fc.array(fc.oneof(silence, drop, failing), { maxLength: 5 });
  // Waiting for silence takes time, so several run in parallel.
  await fc.assert(
    fc.asyncProperty(fc.array(program, { minLength: 10, maxLength: 10 }), async (programs) => {
      const reading = programs.map((replies) =>
        fetched(
          { image: image.bytes, headers: image.headers.etag, reply: (_, number) => replies[number] ?? {} },
          { idleTimeout: 50, retries: 20 },
        ),
      );
      for (const { bytes, error } of await Promise.all(reading)) {
        expect(error).toBeUndefined();
        expect(Buffer.compare(bytes, image.bytes)).toBe(0);
      }
    }),
    { numRuns: 2 },
  );
});

test('if a digest is given, success means the image with that digest', async () => {
  const digest = { algorithm: 'md5', hex: image.headers.md5['content-md5'] ?? '' };
  const programs = fc
    .constantFrom(...kinds)
    .chain((kind) => fc.record({ kind: fc.constant(kind), replies: fc.array(wrong(kind), { maxLength: 12 }) }));
  await fc.assert(
    fc.asyncProperty(programs, async ({ kind, replies }) => {
      const options = { image: image.bytes, headers: image.headers[kind], reply: (_: unknown, number: number) => replies[number] ?? {} };
      const { bytes, error } = await fetched(options, { digest });
      if (error === undefined) expect(Buffer.compare(bytes, image.bytes)).toBe(0);
    }),
    { numRuns: 150 },
  );
});

test('failures that a retry can overcome are overcome, however often they happen', async () => {
  // A dropped connection delivers at least a byte; after it four more may fail before the next one must deliver one.
  const step = fc
    .record({
      fails: fc.array(fc.oneof(failing, fc.record({ cut, how: fc.constant('reset' as const) })), { maxLength: 4 }),
      cut: fc.integer({ min: 1, max: 70_000 }),
    })
    .map(({ fails, cut }): Reply[] => [...fails, { cut }]);
  const kind = fc.constantFrom('etag', 'date', 'md5');
  await fc.assert(
    fc.asyncProperty(kind, fc.array(step, { maxLength: 15 }), async (kind, steps) => {
      const replies = steps.flat();
      const { bytes, error } = await fetched({
        image: image.bytes,
        headers: image.headers[kind],
        reply: (_, number) => replies[number] ?? {},
      });
      expect(error).toBeUndefined();
      expect(Buffer.compare(bytes, image.bytes)).toBe(0);
    }),
    { numRuns: 150 },
  );
});
