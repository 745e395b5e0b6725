import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import { type PackMember, packTar } from '../../src/ova/pack.ts';
import { readTar } from '../../src/ova/tar.ts';
import { chunkSizes, collect, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { base256, TAR_END, tarHeader, tarPadding } from '../support/tar.ts';
import { list } from '../support/tar-listing.ts';

const mtime = 1_700_000_000;
const GiB = 2 ** 30;

const memberOf = (name: string, body: Uint8Array, sizes?: readonly number[]): PackMember => ({
  name,
  length: body.length,
  bytes: () => reusing(body, sizes),
});

/** Numbers end in a blank, as tar-stream writes them. */
const headerOf = (name: string, size: number): Buffer =>
  tarHeader({
    name,
    size: size < 8 * GiB ? `${size.toString(8).padStart(11, '0')} ` : base256(BigInt(size)),
    at: { 100: '000644 \0', 108: '000000 \0', 116: '000000 \0', 136: `${mtime.toString(8)} `, 329: '000000 \0', 337: '000000 \0' },
  });

const packMembers = fc.array(
  fc.record({
    name: fc.stringMatching(/^[A-Za-z0-9._-]{1,100}$/),
    body: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.constantFrom(0, 1, 511, 512, 513, 7000)).map((length) => noise(length, length)),
  }),
  { maxLength: 6 },
);

describe('an archive', () => {
  test('has a header, the body and its padding for each member, and two blocks of zeros, and its length is known', async () => {
    await fc.assert(
      fc.asyncProperty(packMembers, chunkSizes, async (members, sizes) => {
        const packed = packTar(
          members.map(({ name, body }) => memberOf(name, body, sizes)),
          { mtime },
        );
        const parts = members.flatMap(({ name, body }) => [headerOf(name, body.length), body, tarPadding(body.length)]);
        const expected = Buffer.concat([...parts, TAR_END]);
        expect(packed.length).toBe(expected.length);
        const tar = await collect(packed.bytes());
        expect(unsealed(tar, members)).toEqual(unsealed(expected, members));
        const { members: found, warnings } = await list(tar);
        expect(warnings).toEqual([]);
        expect(found.map(({ name, body }) => [name, body])).toEqual(members.map(({ name, body }) => [name, Buffer.from(body)]));
      }),
    );
  });

  test.each([8 * GiB - 512, 8 * GiB - 1, 8 * GiB, 8 * GiB + 1, 2041 * GiB, 2 ** 45])(
    'with a member of %i bytes is read',
    async (length) => {
      const members: PackMember[] = [{ name: 'disk.vhd', length, bytes: () => zeros(length) }, memberOf('after', noise(700, 1))];
      const packed = packTar(members, { mtime });
      expect(packed.length).toBe(512 + Math.ceil(length / 512) * 512 + 512 + 1024 + 1024);
      const tar = packed.bytes()[Symbol.asyncIterator]();
      const { value: header } = await tar.next();
      expect(Buffer.from(header)).toHaveLength(512);
      for await (const { name, size } of readTar(streamCursor(oneOf(header)))) {
        expect({ name, size }).toEqual({ name: 'disk.vhd', size: length });
        break;
      }
      await tar.return?.();
    },
  );

  test('is the same each time', async () => {
    const pack = () => collect(packTar([memberOf('0.vhd', noise(1000, 3))], { mtime }).bytes());
    expect((await pack()).equals(await pack())).toBe(true);
  });

  test('stops before the padding if a body has too few bytes, and before the first byte too many', async () => {
    for (const [given, found] of [
      [1000, 999],
      [1000, 1001],
      [0, 1],
    ] as const) {
      const packed = packTar([{ name: '0.vhd', length: given, bytes: () => reusing(noise(found, 1), [100]) }], { mtime });
      let length = 0;
      const reading = async (): Promise<void> => {
        for await (const chunk of packed.bytes()) length += chunk.length;
      };
      await expect(reading()).rejects.toThrow('0.vhd');
      expect(length).toBeLessThanOrEqual(512 + given);
    }
  });

  test('passes on the error of a body', async () => {
    async function* failing() {
      yield noise(10, 1);
      throw new Error('EIO');
    }
    await expect(collect(packTar([{ name: 'a', length: 20, bytes: failing }], { mtime }).bytes())).rejects.toThrow('EIO');
  });

  test('ends the body of a member if its consumer stops', async () => {
    let ended = false;
    async function* body() {
      try {
        for (;;) yield noise(512, 1);
      } finally {
        ended = true;
      }
    }
    let chunks = 0;
    for await (const _ of packTar([{ name: 'a', length: GiB, bytes: body }], { mtime }).bytes()) if (++chunks === 4) break;
    expect(ended).toBe(true);
  });

  test.each(['', 'x'.repeat(101), 'größe.vhd', 'a\nb', 'folder/'])('refuses the name %j', async (name) => {
    const refused = Promise.resolve().then(() => packTar([memberOf(name, noise(1, 1))], { mtime }));
    expect(await failure(refused)).toMatchObject({ code: 'USAGE' });
  });

  test.each([-1, 1.5, Number.NaN])('refuses the time %d', async (time) => {
    const refused = Promise.resolve().then(() => packTar([], { mtime: time }));
    expect(await failure(refused)).toMatchObject({ code: 'USAGE' });
  });

  test('has no empty chunk, which a chunked HTTP body would end with', async () => {
    const members = [0, 1, 511, 512, 513].map((length) => memberOf(`${length}`, noise(length, 1)));
    for await (const chunk of packTar(members, { mtime }).bytes()) expect(chunk.length).toBeGreaterThan(0);
  });

  test('has the largest time that fits after 2038', async () => {
    const tar = await collect(packTar([memberOf('a', noise(1, 1))], { mtime: 2 ** 40 }).bytes());
    expect(tar.toString('latin1', 136, 147)).toBe('17777777777');
  });
});

/** As files of programs: with a member of 8 GiB and more that is mostly a hole. */
describe('an archive is read by', () => {
  const body = noise(70_001, 5);
  const big = 8 * GiB + 513;

  async function store(): Promise<{ small: string; large: string; folder: string }> {
    const folder = testFolder();
    const [small, large] = [join(folder, 'small.tar'), join(folder, 'large.tar')];
    const last = memberOf('after.bin', body);
    writeFileSync(small, await collect(packTar([memberOf('0.vhd', body), last, memberOf('empty', new Uint8Array(0))], { mtime }).bytes()));
    const file = openSync(large, 'w');
    let at = 0;
    for await (const chunk of packTar([{ name: '0.vhd', length: big, bytes: () => zeros(big) }, last], { mtime }).bytes()) {
      if (chunk.length < 1e6) writeSync(file, chunk, 0, chunk.length, at);
      at += chunk.length;
    }
    closeSync(file);
    return { small, large, folder };
  }

  const PROGRAMS = [
    { needs: 'tar', list: ['tar', '-tvf'], extract: ['tar', '-xO', '-f'], name: ['after.bin'] },
    { needs: 'bsdtar', list: ['bsdtar', '-tvf'], extract: ['bsdtar', '-xO', '-f'], name: ['after.bin'] },
    { needs: '7z', list: ['7z', 'l'], extract: ['7z', 'x', '-so'], name: ['after.bin'] },
    {
      needs: 'python3',
      list: ['python3', '-c', 'import sys, tarfile\nfor m in tarfile.open(sys.argv[1], "r:"): print(m.size, m.name, oct(m.mode), m.mtime)'],
      extract: ['python3', '-c', 'import sys, tarfile\nsys.stdout.buffer.write(tarfile.open(sys.argv[1]).extractfile(sys.argv[2]).read())'],
      name: ['after.bin'],
    },
  ] as const;

  for (const { needs, list: listing, extract, name } of PROGRAMS) {
    testWith(needs)(`${needs}, without a complaint`, async () => {
      const { small, large } = await store();
      for (const archive of [small, large]) {
        const run = ([program = '', ...args]: readonly string[]): Buffer => {
          const { status, stdout, stderr } = spawnSync(program, args, { maxBuffer: 1e8 });
          expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' });
          return stdout;
        };
        const shown = run([...listing, archive]).toString();
        expect(shown).toContain(archive === large ? String(big) : '70001');
        expect(shown).toMatch(/after\.bin/);
        expect(run([...extract, archive, ...name]).equals(body)).toBe(true);
      }
      expect(readFileSync(small).length % 512).toBe(0);
    });
  }
});

async function* oneOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* zeros(length: number): AsyncGenerator<Uint8Array> {
  const chunk = new Uint8Array(2 ** 24);
  for (let at = 0; at < length; at += chunk.length) yield chunk.subarray(0, length - at);
}

/** Without the checksums, which say the same in different digits. */
function unsealed(tar: Buffer, members: readonly { readonly body: Uint8Array }[]): string {
  const plain = Buffer.from(tar);
  let at = 0;
  for (const { body } of members) {
    plain.fill(0, at + 148, at + 156);
    at += 512 + Math.ceil(body.length / 512) * 512;
  }
  return plain.toString('latin1');
}
