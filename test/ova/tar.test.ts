import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { type Header, pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { type Cursor, streamCursor } from '../../src/cursor.ts';
import { openSource } from '../../src/engine/open.ts';
import { isDisk } from '../../src/ova/select.ts';
import { type Member, readTar } from '../../src/ova/tar.ts';
import type { Warning } from '../../src/warnings.ts';
import { chunkSizes, noise, reusing, streamOf } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { base256, paxHeader, paxRecord, TAR_END, tarHeader, tarMember, tarPadding } from '../support/tar.ts';

interface Found {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly offset: number;
  readonly body: Buffer;
}

interface Listing {
  readonly members: Found[];
  readonly warnings: Warning[];
}

/** `share` of each body is read, and the rest left to be skipped. */
async function listCursor(cursor: Cursor, share: (member: Member) => number = ({ size }) => size): Promise<Listing> {
  const warnings: Warning[] = [];
  const members: Found[] = [];
  for await (const member of readTar(cursor, (warning) => warnings.push(warning))) {
    const { name, type, size, offset } = member;
    members.push({ name, type, size, offset, body: Buffer.from(await member.body.read(share(member))) });
  }
  return { members, warnings };
}

const list = (tar: Uint8Array, sizes?: readonly number[]): Promise<Listing> => listCursor(streamCursor(reusing(tar, sizes)));
const names = async (tar: Uint8Array): Promise<string[]> => (await list(tar)).members.map(({ name }) => name);

async function packed(entries: ReadonlyArray<{ header: Partial<Header> & { name: string }; body?: Uint8Array }>): Promise<Buffer> {
  const tar = pack();
  for (const { header, body } of entries) tar.entry(header, Buffer.from(body ?? []));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}

const body = noise(1300, 1);
const disk = tarMember({}, body);
const oneDisk = [{ name: 'disk.vhd', type: 'file', size: 1300, offset: 512, body: Buffer.from(body) }];

/** Names of every kind: short, over 100 bytes with and without a place to split, not ASCII. */
const memberNames = fc.oneof(
  fc.stringMatching(/^[a-z0-9._-]{1,20}$/),
  fc.stringMatching(/^(?:[a-z]{1,30}\/){1,9}[a-z]{1,20}\.vhd$/),
  fc.stringMatching(/^[a-z]{101,300}$/),
  fc.stringMatching(/^[äöü€日本]{1,60}$/),
);

describe('what tar-stream writes is read back', () => {
  const entry = fc.record({
    name: memberNames.filter((name) => !name.endsWith('/')),
    length: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.constantFrom(0, 1, 511, 512, 513, 70_000)),
    seed: fc.nat(),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    kind: fc.constantFrom<Header['type'][]>('file', 'file', 'file', 'directory', 'symlink', 'contiguous-file'),
  });
  const expected = { file: 'file', 'contiguous-file': 'file', directory: 'directory', symlink: 'link' } as const;

  test('at any chunking, whatever share of each body is read', async () => {
    const folder = testFolder();
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 8 }), chunkSizes, async (entries, sizes) => {
        const bodies = entries.map(({ kind, length, seed }) => (kind?.endsWith('file') ? noise(length, seed) : new Uint8Array(0)));
        const tar = await packed(
          entries.map(({ name, kind }, index) => ({
            header: { name, type: kind, size: bodies[index]?.length ?? 0, ...(kind === 'symlink' ? { linkname: 'elsewhere' } : {}) },
            body: bodies[index] ?? new Uint8Array(0),
          })),
        );
        let turn = 0;
        const share = ({ size }: Member): number => Math.floor(size * (entries[turn++ % entries.length]?.share ?? 0));
        const check = ({ members, warnings }: Listing): void => {
          expect(warnings).toEqual([]);
          expect(members.length).toBe(entries.length);
          members.forEach((member, index) => {
            const { name, kind, share: read } = entries[index] ?? {};
            const whole = bodies[index] ?? new Uint8Array(0);
            expect(member.name.replace(/\/$/, '')).toBe(name);
            expect(member.type).toBe(kind && expected[kind as keyof typeof expected]);
            expect(member.size).toBe(whole.length);
            const part = whole.subarray(0, Math.floor(whole.length * (read ?? 0)));
            expect(Buffer.compare(member.body, part)).toBe(0);
            expect(Buffer.compare(tar.subarray(member.offset, member.offset + whole.length), whole)).toBe(0);
          });
        };
        check(await listCursor(streamCursor(reusing(tar, sizes)), share));
        const path = join(folder, 'image.tar');
        writeFileSync(path, tar);
        const source = await openSource(path);
        turn = 0;
        await listCursor(source.cursor, share)
          .then(check)
          .finally(() => source.close());
      }),
    );
  });

  test('the body of a member is a range of its own: its position, its length and its end', async () => {
    const tar = await packed([
      { header: { name: 'a' }, body: noise(1000, 1) },
      { header: { name: 'b.vhd' }, body: noise(3000, 2) },
    ]);
    const seen: unknown[] = [];
    for await (const { body: range } of readTar(streamCursor(reusing(tar, [700])))) {
      await range.moveTo(100);
      const peeked = Uint8Array.from(await range.peek(10_000));
      await range.moveTo(200);
      const error = await failure(range.read((range.length ?? 0) + 1));
      seen.push([range.length, range.position, peeked, error.code, error.offset]);
      let rest = 0;
      for await (const chunk of range.chunks()) rest += chunk.length;
      expect(rest).toBe((range.length ?? 0) - 200);
    }
    expect(seen).toEqual([
      [1000, 200, noise(1000, 1).subarray(100), 'SOURCE_TRUNCATED', 1000],
      [3000, 200, noise(3000, 2).subarray(100), 'SOURCE_TRUNCATED', 3000],
    ]);
  });
});

describe.each(['v7', 'oldgnu', 'gnu', 'ustar', 'posix'])('what GNU tar writes as %s is read back', (format) => {
  const tree: Record<string, Uint8Array> = {
    'image.ovf': noise(700, 1),
    'image.vhd': noise(5000, 2),
    'empty.vhd': new Uint8Array(0),
    'in/a/folder/disk.vhd': noise(512, 3),
  };
  // V7 has no room for these.
  if (format !== 'v7') tree[`${'long/'.repeat(24)}disk.vhd`] = noise(100, 4);
  if (format === 'gnu' || format === 'oldgnu' || format === 'posix') tree[`${'n'.repeat(200)}.vhd`] = noise(100, 5);

  function archive(...options: string[]): Buffer {
    const folder = join(testFolder(), 'tree');
    for (const [name, content] of Object.entries(tree)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    symlinkSync('image.vhd', join(folder, 'symlink.vhd'));
    linkSync(join(folder, 'image.vhd'), join(folder, 'zz-hardlink.vhd'));
    return execFileSync('tar', ['-C', folder, `--format=${format}`, '--sort=name', ...options, '-cf', '-', '.'], { maxBuffer: 1 << 28 });
  }

  test('files, folders, links and long names', async () => {
    const { members, warnings } = await list(archive(), [10_000, 3]);
    const files = members.filter(({ type }) => type === 'file');
    expect(Object.fromEntries(files.map(({ name, body: content }) => [name, content]))).toEqual(
      Object.fromEntries(Object.entries(tree).map(([name, content]) => [`./${name}`, Buffer.from(content)])),
    );
    const others = members.filter(({ type }) => type !== 'file').map(({ name, type, size }) => [name, type, size]);
    expect(others).toContainEqual(['./symlink.vhd', 'link', 0]);
    expect(others).toContainEqual(['./zz-hardlink.vhd', 'link', 0]);
    expect(others).toContainEqual(['./', 'directory', 0]);
    expect(others).toContainEqual(['./in/a/', 'directory', 0]);
    expect(warnings).toEqual([]);
  });

  test('with the smallest record and the largest one', async () => {
    for (const factor of ['1', '200']) {
      const { members, warnings } = await list(archive('-b', factor));
      expect(members.length).toBe(Object.keys(tree).length + 2 + members.filter(({ type }) => type === 'directory').length);
      expect(warnings).toEqual([]);
    }
  });
});

describe('sizes', () => {
  test('in base 256 are taken like octal ones', async () => {
    expect((await list(Buffer.concat([tarMember({ size: base256(1300n) }, body), TAR_END]))).members).toEqual(oneDisk);
  });

  test.each([
    ['in base 256', [tarHeader({ size: base256(9n << 30n) })]],
    ['in a pax record, with zero in the header', [paxHeader({ size: String(9 * 2 ** 30) }), tarHeader({ size: 0 })]],
    ['in a pax record, with no number in the header', [paxHeader({ size: String(9 * 2 ** 30) }), tarHeader({ size: 'not octal!!!' })]],
    ['in a pax record, against another in the header', [paxHeader({ size: String(9 * 2 ** 30) }), tarHeader({ size: 77 })]],
  ])('over 8 GiB %s lead to the next member', async (_, headers) => {
    const start = Buffer.concat(headers).length;
    function* parts(): Generator<Uint8Array> {
      yield* headers;
      const megabyte = new Uint8Array(1 << 20);
      for (let count = 0; count < 9 * 1024; count++) yield megabyte;
      yield tarMember({ name: 'next' }, body);
      yield TAR_END;
    }
    const { members, warnings } = await listCursor(streamCursor(streamOf(parts())), ({ name }) => (name === 'next' ? 1300 : 5));
    expect(members).toMatchObject([
      { name: 'disk.vhd', size: 9 * 2 ** 30, offset: start },
      { name: 'next', size: 1300, offset: start + 9 * 2 ** 30 + 512, body: Buffer.from(body) },
    ]);
    expect(warnings).toEqual([]);
  });

  test('of all twelve digits, without an end, and with spaces around them, are octal', async () => {
    for (const size of ['000000002424', '      2424 \0', '2424\0\0\0\0\0\0\0\0']) {
      const found = await list(Buffer.concat([tarMember({ size }, body), TAR_END]));
      expect(found.members, size).toEqual(oneDisk);
    }
  });

  test.each([
    ['negative', base256(-512n)],
    ['barely negative', base256(-1n)],
    ['over 2^53', base256(2n ** 53n)],
    ['of 88 bits', base256(2n ** 88n)],
    ['no number', '00000000009\0'],
    ['in minus octal', '-0000000512\0'],
  ])('that are %s are refused at the byte of their field', async (_, size) => {
    const tar = Buffer.concat([disk, tarHeader({ name: 'bad.vhd', size }), body, TAR_END]);
    expect(await failure(list(tar))).toMatchObject({ code: 'TAR_SIZE', offset: disk.length + 124 });
  });

  test.each(['-1', '1e3', '0x10', '12 ', '', '9007199254740993', '99999999999999999999'])(
    'in a pax record that say "%s" are refused',
    async (size) => {
      const tar = Buffer.concat([disk, paxHeader({ size }), tarHeader(), TAR_END]);
      expect(await failure(list(tar))).toMatchObject({ code: 'TAR_SIZE', offset: disk.length });
    },
  );

  test('of a pax record hold for one member only', async () => {
    const tar = Buffer.concat([paxHeader({ size: '1300' }), tarHeader(), body, tarPadding(1300), tarMember({ name: 'b' }, body), TAR_END]);
    expect((await list(tar)).members.map(({ name, size }) => [name, size])).toEqual([
      ['disk.vhd', 1300],
      ['b', 1300],
    ]);
  });
});

describe('names', () => {
  test('are prefix and name, with a slash between', async () => {
    expect(await names(Buffer.concat([tarHeader({ name: 'disk.vhd', prefix: 'a/b' }), TAR_END]))).toEqual(['a/b/disk.vhd']);
    const full = { name: 'n'.repeat(100), prefix: 'p'.repeat(155) };
    expect(await names(Buffer.concat([tarHeader(full), TAR_END]))).toEqual([`${full.prefix}/${full.name}`]);
  });

  test('have no prefix in a header of GNU, which keeps times there', async () => {
    expect(await names(Buffer.concat([tarHeader({ prefix: '14000000000', magic: 'ustar  \0' }), TAR_END]))).toEqual(['disk.vhd']);
  });

  test('come from the nearest long name or pax path, and only for one member', async () => {
    const long = `${'l'.repeat(150)}.vhd`;
    const longName = tarMember({ name: '././@LongLink', type: 'L' }, Buffer.from(`${long}\0`));
    const longLink = tarMember({ name: '././@LongLink', type: 'K' }, Buffer.from(`${'k'.repeat(150)}\0`));
    const tar = Buffer.concat([
      longName,
      longLink,
      tarHeader({ name: 'cut' }),
      tarHeader({ name: 'plain' }),
      paxHeader({ path: 'pax.vhd', mtime: '1.5' }),
      tarHeader({ name: 'x' }),
      paxHeader({ comment: 'of all' }, 'g'),
      tarHeader({ name: 'last' }),
      TAR_END,
    ]);
    expect(await names(tar)).toEqual([long, 'plain', 'pax.vhd', 'last']);
  });

  test('may hold what would be dangerous to open, since nothing opens them', async () => {
    const evil = ['../../etc/passwd', '/dev/sda', 'C:\\disk.vhd'];
    expect(await names(Buffer.concat([...evil.map((name) => tarHeader({ name })), TAR_END]))).toEqual(evil);
  });

  test('are shown on terminals, so what a terminal obeys is not in them', async () => {
    const evil = ['a\nb.vhd', '\x1b[2J.vhd', 'a\u202edhv.vhd'];
    expect(await names(Buffer.concat([...evil.map((name) => tarHeader({ name })), TAR_END]))).toEqual(['a?b.vhd', '?[2J.vhd', 'a?dhv.vhd']);
  });
});

describe('kinds of members', () => {
  test('old ones: Unix V7, type 7, type NUL, and a folder by its slash alone', async () => {
    const tar = Buffer.concat([
      tarMember({ name: 'v7.vhd', magic: '', type: '\0' }, body),
      tarMember({ name: 'seven.vhd', type: '7' }, body),
      tarHeader({ name: 'folder.vhd/', magic: '', type: '\0', size: 1300 }),
      tarHeader({ name: 'folder/', type: '5', size: 1300 }),
      tarMember({ name: 'last.vhd' }, body),
      TAR_END,
    ]);
    expect((await list(tar)).members.map(({ name, type, size }) => [name, type, size])).toEqual([
      ['v7.vhd', 'file', 1300],
      ['seven.vhd', 'file', 1300],
      ['folder.vhd/', 'directory', 0],
      ['folder/', 'directory', 0],
      ['last.vhd', 'file', 1300],
    ]);
  });

  test.each(['1', '2', '3', '4', '6'])('links and devices (type %s) have no body, whatever their size says', async (type) => {
    const tar = Buffer.concat([tarHeader({ name: 'a.vhd', type, size: 5000, linkname: 'b' }), tarMember({ name: 'b' }, body), TAR_END]);
    expect((await list(tar)).members.map(({ name, size }) => [name, size])).toEqual([
      ['a.vhd', 0],
      ['b', 1300],
    ]);
    const paxed = Buffer.concat([paxHeader({ size: '5000' }), tar]);
    expect(await names(paxed)).toEqual(['a.vhd', 'b']);
  });

  test('that nobody knows are skipped like files, as POSIX asks', async () => {
    expect(await names(Buffer.concat([tarMember({ name: 'z', type: 'Z' }, body), disk, TAR_END]))).toEqual(['z', 'disk.vhd']);
  });

  test('a signed checksum is as good as an unsigned one, and any other is not', async () => {
    const signed = Buffer.concat([tarHeader({ name: 'größe.vhd', size: 1300, signed: true }), body, tarPadding(1300), TAR_END]);
    expect(await names(signed)).toEqual(['größe.vhd']);
    for (let at = 0; at < 512; at++) {
      if (at === 155) continue; // behind the end of the checksum's own text
      const bad = Buffer.concat([disk, disk, TAR_END]);
      bad[disk.length + at] = (bad[disk.length + at] ?? 0) ^ 0x01;
      const error = await failure(list(bad));
      expect([error.code, error.offset]).toEqual(['TAR_HEADER', disk.length]);
    }
  });

  test('one volume of several is refused', async () => {
    const tar = Buffer.concat([tarMember({ type: 'M' }, body), TAR_END]);
    expect(await failure(list(tar))).toMatchObject({ code: 'TAR_MULTIVOLUME', offset: 0 });
  });

  test('one volume of several by GNU tar is refused, or cut', async () => {
    const folder = testFolder();
    writeFileSync(join(folder, 'disk.vhd'), noise(60_000, 1));
    const volume = (number: number): string => join(folder, `volume${number}.tar`);
    execFileSync('tar', [
      '-C',
      folder,
      '--format=gnu',
      '-M',
      '-L',
      '20',
      '-cf',
      volume(1),
      '-f',
      volume(2),
      '-f',
      volume(3),
      '-f',
      volume(4),
      'disk.vhd',
    ]);
    expect((await failure(list(readFileSync(volume(1))))).code).toBe('SOURCE_TRUNCATED');
    expect((await failure(list(readFileSync(volume(2))))).code).toBe('TAR_MULTIVOLUME');
  });
});

describe('sparse members', () => {
  function sparse(...options: string[]): Buffer {
    const folder = testFolder();
    const path = join(folder, 'a-sparse.bin');
    writeFileSync(path, '');
    truncateSync(path, 40 << 20);
    const bytes = Buffer.alloc(40 << 20);
    // More islands than the four that a GNU header has room for, so that further headers follow it.
    for (let island = 0; island < 30; island++) bytes.set(noise(4096, island), island << 20);
    writeFileSync(path, bytes);
    execFileSync('fallocate', ['-d', path]);
    writeFileSync(join(folder, 'disk.vhd'), body);
    return execFileSync('tar', ['-C', folder, '-S', ...options, '-cf', '-', 'a-sparse.bin', 'disk.vhd'], { maxBuffer: 1 << 28 });
  }
  const kinds: ReadonlyArray<readonly [string, ...string[]]> = [
    ['gnu', '--format=gnu'],
    ['oldgnu', '--format=oldgnu'],
    ['pax 0.0', '--format=posix', '--sparse-version=0.0'],
    ['pax 0.1', '--format=posix', '--sparse-version=0.1'],
    ['pax 1.0', '--format=posix', '--sparse-version=1.0'],
  ];

  test.each(kinds)(
    'by GNU tar as %s are told from files, under their true names, and the member behind is found',
    async (_, ...options) => {
      const tar = sparse(...options);
      expect(tar.length).toBeLessThan(4 << 20); // it is packed
      const { members, warnings } = await listCursor(streamCursor(reusing(tar, [10_000])), ({ name, size }) =>
        name === 'disk.vhd' ? size : 0,
      );
      expect(members.map(({ name, type }) => [name, type])).toEqual([
        ['a-sparse.bin', 'sparse'],
        ['disk.vhd', 'file'],
      ]);
      expect(members[1]?.body).toEqual(Buffer.from(body));
      expect(warnings).toEqual([]);
    },
  );

  test('are refused as disks', () => {
    const member = { name: 'disk.vhd', type: 'sparse', size: 0, offset: 512, body: streamCursor(reusing(body)) } as const;
    expect(() => isDisk(member, { raw: false })).toThrow(expect.objectContaining({ code: 'TAR_SPARSE', member: 'disk.vhd' }));
  });

  test('by their pax records are told by any of them', async () => {
    for (const key of ['GNU.sparse.major', 'GNU.sparse.map', 'GNU.sparse.size', 'GNU.sparse.realsize']) {
      const tar = Buffer.concat([
        paxHeader({ [key]: '1', 'GNU.sparse.name': 'true.vhd' }),
        tarMember({ name: 'GNUSparseFile.1/x' }, body),
        TAR_END,
      ]);
      expect((await list(tar)).members).toMatchObject([{ name: 'true.vhd', type: 'sparse', size: 1300 }]);
    }
  });
});

describe('long names and pax headers', () => {
  test.each(['L', 'K', 'x', 'g', 'X'])('of type %s that are too large to be honest are refused before they are read', async (type) => {
    for (const size of [64 << 20, base256(2n ** 45n)]) {
      let given = 0;
      function* parts(): Generator<Uint8Array> {
        yield disk;
        yield tarHeader({ name: 'long', type, size });
        for (; given < 1 << 20; given += 4096) yield new Uint8Array(4096);
      }
      const error = await failure(listCursor(streamCursor(streamOf(parts()))));
      expect([error.code, error.offset, given]).toEqual(['TAR_EXTENSION', disk.length, 0]);
    }
  });

  test.each([
    ['no length', 'path=a\n'],
    ['a length of zero', '0 path=a\n'],
    ['a leading zero', '010 path=a\n'],
    ['a negative length', '-9 path=a\n'],
    ['a length beyond the header', '99 path=a\n'],
    ['a length that is too short', '5 path=a\n'],
    ['a length with no end', '999999999999999999999 path=a\n'],
    ['a length in another notation', '0x9 path=a\n'],
    ['no end of line', '9 path=ab'],
    ['only digits', '123'],
    ['one bad record behind a good one', `${paxRecord('path', 'a')}6 x=12\n`],
  ])('that are malformed are refused: %s', async (_, text) => {
    expect(await failure(list(Buffer.concat([disk, paxHeader(text), disk, TAR_END])))).toMatchObject({
      code: 'TAR_EXTENSION',
      offset: disk.length,
    });
  });

  test('may hold any text that is well formed', async () => {
    const value = fc.string({ unit: 'binary', maxLength: 200 }).filter((text) => !text.includes('\0'));
    await fc.assert(
      fc.asyncProperty(fc.array(value, { maxLength: 5 }), async (values) => {
        const records = values.map((text, index) => paxRecord(`COMMENT.${index}`, text)).join('');
        const tar = Buffer.concat([paxHeader(records + paxRecord('path', 'a b=c=d.vhd')), tarHeader(), TAR_END]);
        expect(await names(tar)).toEqual(['a b=c=d.vhd']);
      }),
    );
  });

  test('need their member', async () => {
    const pax = paxHeader({ path: 'a' });
    expect(await failure(list(Buffer.concat([disk, pax, TAR_END])))).toMatchObject({
      code: 'TAR_EXTENSION',
      offset: disk.length + pax.length,
    });
    expect(await failure(list(Buffer.concat([disk, pax])))).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: disk.length + pax.length });
  });
});

describe('the end of the archive', () => {
  test('with both its blocks, and padding to any record, gives no warning', async () => {
    for (const padding of [0, 512, 8192, 100_000]) {
      expect((await list(Buffer.concat([disk, TAR_END, new Uint8Array(padding)]))).warnings).toEqual([]);
    }
  });

  test.each([
    ['without its blocks', disk, disk.length],
    ['without the last padding', disk.subarray(0, 512 + 1300), 512 + 1300],
    ['with part of the last padding', disk.subarray(0, 512 + 1400), 512 + 1400],
    ['with one block', Buffer.concat([disk, TAR_END.subarray(512)]), disk.length + 512],
    ['with one block and a half', Buffer.concat([disk, TAR_END.subarray(300)]), disk.length + 512],
  ])('%s is a warning, and every member is there', async (_, tar, offset) => {
    const { members, warnings } = await list(tar, [100]);
    expect(members).toEqual(oneDisk);
    expect(warnings).toMatchObject([{ code: 'TAR_END_MISSING', offset }]);
  });

  test('may be followed by other bytes: a warning, and what stands there is no member', async () => {
    const { members, warnings } = await list(Buffer.concat([disk, TAR_END, disk]));
    expect(members).toEqual(oneDisk);
    expect(warnings.map(({ code }) => code)).toEqual(['TAR_TRAILING']);
    expect(warnings[0]?.offset).toBeGreaterThanOrEqual(disk.length);
    expect(warnings[0]?.offset).toBeLessThanOrEqual(disk.length + 1024);
  });

  test('may be followed by bytes far behind: the warning tells in which chunk', async () => {
    const tar = Buffer.concat([disk, TAR_END, new Uint8Array(9488), Buffer.from('junk')]);
    const { warnings } = await list(tar, [512]);
    expect(warnings.map(({ code }) => code)).toEqual(['TAR_TRAILING']);
    expect(warnings[0]?.offset).toBeGreaterThan(tar.length - 4 - 512);
  });

  test('that comes anywhere else is an error with its place: in a header, a body, a long name', async () => {
    const pax = paxHeader({ path: 'second.vhd' });
    const tar = Buffer.concat([disk, pax, disk]);
    // Cut right behind a member, or in its padding, it is whole; those are the warnings above.
    const whole = (end: number): boolean => end >= 512 + 1300 && end <= disk.length;
    for (let end = 0; end < disk.length + pax.length + 512 + 1300; end++) {
      const listing = list(tar.subarray(0, end), [333]);
      if (whole(end)) expect((await listing).members.length).toBe(1);
      else {
        // What reads a body is told its place in that body, what skips one the place in the archive.
        const bodyAt = [512, disk.length + pax.length + 512].find((start) => end >= start && end < start + 1300);
        expect(await failure(listing)).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: end - (bodyAt ?? 0) });
      }
    }
  });

  test('in a body that nobody reads is an error too, and names the member', async () => {
    const tar = Buffer.concat([disk, disk.subarray(0, 1000)]);
    for (const share of [0, 300]) {
      const error = await failure(listCursor(streamCursor(reusing(tar, [64])), () => share));
      expect(error).toMatchObject({ code: 'SOURCE_TRUNCATED', member: 'disk.vhd', offset: 1000 - 512 });
    }
  });
});
