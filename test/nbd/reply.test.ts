import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createInbox } from '../../src/nbd/inbox.ts';
import { HEAD, type Pending, receiveReply, replyProblem } from '../../src/nbd/reply.ts';
import { CONTENT, chunk, dataChunk, type Request, simpleReply, statusChunk, u32, u64 } from '../support/nbd-stand-in.ts';

const LENGTH = 4096;
const OFFSET = 8192;
const REQUEST: Request = { command: 0, cookie: u64(1), offset: OFFSET, length: LENGTH };
const EXPECTED = CONTENT.subarray(OFFSET, OFFSET + LENGTH);

/** The result of a request whose reply arrives in these pieces; then the connection ends. */
async function replied(reply: Buffer, sizes: readonly number[], structured: boolean, isRead = true): Promise<Pending> {
  const inbox = createInbox();
  const into = isRead ? Buffer.alloc(LENGTH, 0xa5) : undefined;
  const pending: Pending = { offset: OFFSET, length: LENGTH, into, filled: [], runs: undefined, failure: undefined };
  const server = { name: 'nbd://server/', exportName: '', served: { structured, allocation: 7 }, fill: inbox.fill };
  const received = (async () => {
    for (let isLast = false; !isLast; ) {
      const head = Buffer.alloc(HEAD);
      await inbox.fill(head);
      isLast = await receiveReply(server, head, pending);
    }
  })();
  let at = 0;
  for (const size of sizes) {
    if (at >= reply.length) break;
    inbox.push(reply.subarray(at, at + size));
    at += size;
    // Sometimes more arrives before what is there has been read.
    if (size % 3 !== 0) await Promise.resolve();
  }
  if (at < reply.length) inbox.push(reply.subarray(at));
  inbox.end(new Error('the end'));
  await received;
  const problem = replyProblem(server, pending);
  if (problem !== undefined) throw problem;
  expect(inbox.held).toBe(0);
  return pending;
}

const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 60 });
/** Where a reply is divided into chunks. */
const cuts = fc
  .uniqueArray(fc.integer({ min: 1, max: LENGTH - 1 }), { maxLength: 12 })
  .map((found) => [0, ...found.toSorted((a, b) => a - b)]);

test('a read has its bytes, however its reply is cut into chunks, in whatever order, and however those arrive', async () => {
  await fc.assert(
    fc.asyncProperty(cuts, fc.infiniteStream(fc.nat()), sizes, async (starts, keys, arrivals) => {
      const parts = starts.map((start, index) => ({
        at: OFFSET + start,
        length: (starts[index + 1] ?? LENGTH) - start,
        key: keys.next().value,
      }));
      const chunks = parts.toSorted((a, b) => a.key - b.key).map(({ at, length }) => dataChunk(REQUEST, at, length, false));
      const reply = Buffer.concat([...chunks, chunk(REQUEST.cookie, 0, Buffer.alloc(0))]);
      const { into } = await replied(reply, arrivals, true);
      expect(Buffer.compare(into ?? Buffer.alloc(0), EXPECTED)).toBe(0);
    }),
  );
});

test('a simple reply has the bytes, however they arrive', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, async (arrivals) => {
      const { into } = await replied(simpleReply(REQUEST.cookie, 0, EXPECTED), arrivals, false);
      expect(Buffer.compare(into ?? Buffer.alloc(0), EXPECTED)).toBe(0);
    }),
  );
});

test('a hole reads as zero', async () => {
  const hole = chunk(REQUEST.cookie, 2, Buffer.concat([u64(OFFSET), u32(1024)]), false);
  const { into } = await replied(Buffer.concat([hole, dataChunk(REQUEST, OFFSET + 1024, LENGTH - 1024)]), [], true);
  expect(Buffer.compare(into ?? Buffer.alloc(0), Buffer.concat([Buffer.alloc(1024), EXPECTED.subarray(1024)]))).toBe(0);
});

test('only what is marked as zero is zero, and runs alike are joined', async () => {
  const status = statusChunk(REQUEST.cookie, 7, 512, 0, 512, 1, 1024, 3, 1024, 2, 8192, 0);
  const { runs } = await replied(status, [], true, false);
  expect(runs).toEqual([
    { length: 1024, isZero: false },
    { length: 2048, isZero: true },
    { length: 8192, isZero: false },
  ]);
});

const offsetAnd = (offset: number, length: number): Buffer => Buffer.concat([u64(offset), u32(length)]);
const none = chunk(REQUEST.cookie, 0, Buffer.alloc(0));

test.each<readonly [string, Buffer]>([
  ['misses the last byte', dataChunk(REQUEST, OFFSET, LENGTH - 1)],
  ['misses the first byte', dataChunk(REQUEST, OFFSET + 1, LENGTH - 1)],
  ['has nothing', none],
  ['has a byte twice', Buffer.concat([dataChunk(REQUEST, OFFSET, 10, false), dataChunk(REQUEST, OFFSET + 9, LENGTH - 9)])],
  ['has everything twice', Buffer.concat([dataChunk(REQUEST, OFFSET, LENGTH, false), dataChunk(REQUEST, OFFSET, LENGTH)])],
  ['begins before the request', dataChunk(REQUEST, OFFSET - 1, LENGTH)],
  ['ends after the request', dataChunk(REQUEST, OFFSET, LENGTH + 1)],
  ['is far away', dataChunk(REQUEST, 0, LENGTH)],
  ['has a chunk without data', chunk(REQUEST.cookie, 1, u64(OFFSET))],
  ['has a chunk of 4 GiB', chunk(REQUEST.cookie, 1, Buffer.alloc(64), true, 0xffff_ffff)],
  ['has an empty hole', chunk(REQUEST.cookie, 2, offsetAnd(OFFSET, 0))],
  ['has a hole after the request', chunk(REQUEST.cookie, 2, offsetAnd(OFFSET, LENGTH + 1))],
  ['has a hole at 2^64 - 1', chunk(REQUEST.cookie, 2, Buffer.concat([Buffer.alloc(8, 255), u32(LENGTH)]))],
  ['has a long hole', chunk(REQUEST.cookie, 2, Buffer.alloc(13))],
  ['has an end with a payload', chunk(REQUEST.cookie, 0, Buffer.alloc(1))],
  ['has an end that is not the last', Buffer.concat([chunk(REQUEST.cookie, 0, Buffer.alloc(0), false), none])],
  ['has a block status', statusChunk(REQUEST.cookie, 7, LENGTH, 0)],
  ['has a chunk of an unknown type', chunk(REQUEST.cookie, 99, Buffer.alloc(8))],
  ['has an error without a number', chunk(REQUEST.cookie, 0x8001, Buffer.alloc(4))],
  ['has an error with a message that is too long', chunk(REQUEST.cookie, 0x8001, Buffer.from([0, 0, 0, 5, 0, 9, 65]))],
  ['has an error of a megabyte', chunk(REQUEST.cookie, 0x8001, Buffer.alloc(8), true, 1 << 20)],
  ['is simple', simpleReply(REQUEST.cookie, 0, EXPECTED)],
  ['is a request', Buffer.concat([Buffer.from('25609513', 'hex'), Buffer.alloc(24)])],
])('a reply to a read that %s is refused', async (_, reply) => {
  await expect(replied(reply, [], true)).rejects.toMatchObject({ code: 'NBD_PROTOCOL' });
});

test.each<readonly [string, Buffer]>([
  ['has no run', statusChunk(REQUEST.cookie, 7)],
  ['has a run of no bytes', statusChunk(REQUEST.cookie, 7, 0, 0)],
  ['is cut', chunk(REQUEST.cookie, 5, Buffer.alloc(15))],
  ['is of another context', statusChunk(REQUEST.cookie, 8, LENGTH, 0)],
  ['is huge', chunk(REQUEST.cookie, 5, Buffer.alloc(8), true, 0x8000_0004)],
  ['is missing', none],
  ['is data', dataChunk(REQUEST, OFFSET, LENGTH)],
  [
    'comes twice',
    Buffer.concat([chunk(REQUEST.cookie, 5, Buffer.concat([7, LENGTH, 0].map(u32)), false), statusChunk(REQUEST.cookie, 7, LENGTH, 0)]),
  ],
])('a block status that %s is refused', async (_, reply) => {
  await expect(replied(reply, [], true, false)).rejects.toMatchObject({ code: 'NBD_PROTOCOL' });
});

test('an error has its number and its message, and no errno of this host', async () => {
  const message = Buffer.from('the disk\u0007 is gone');
  const reply = chunk(REQUEST.cookie, 0x8001, Buffer.concat([u32(12), Buffer.from([0, message.length]), message]), false);
  await expect(replied(Buffer.concat([reply, none]), [], true)).rejects.toMatchObject({
    code: 'NBD_IO',
    message: `nbd://server/: the server cannot read ${LENGTH} bytes at ${OFFSET}: ENOMEM: "the disk? is gone"`,
    errno: undefined,
  });
  await expect(replied(simpleReply(REQUEST.cookie, 5), [], false)).rejects.toMatchObject({ code: 'NBD_IO', offset: OFFSET });
});
