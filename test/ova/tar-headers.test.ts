import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import { streamOf } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { base256, paxHeader, paxRecord, TAR_END, tarHeader, tarMember, tarPadding } from '../support/tar.ts';
import { body, disk, list, listCursor, names, oneDisk } from '../support/tar-listing.ts';

describe('sizes', () => {
  test('in base 256 are read like octal ones', async () => {
    expect((await list(Buffer.concat([tarMember({ size: base256(1300n) }, body), TAR_END]))).members).toEqual(oneDisk);
  });

  test.each([
    ['in base 256', [tarHeader({ size: base256(9n << 30n) })]],
    ['in a pax record, with zero in the header', [paxHeader({ size: String(9 * 2 ** 30) }), tarHeader({ size: 0 })]],
    ['in a pax record, with no number in the header', [paxHeader({ size: String(9 * 2 ** 30) }), tarHeader({ size: 'not octal!!!' })]],
    ['in a pax record, contradicting the header', [paxHeader({ size: String(9 * 2 ** 30) }), tarHeader({ size: 77 })]],
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

  test('with all twelve digits, without a terminator, or with spaces around them, are octal', async () => {
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
    ['not a number', '00000000009\0'],
    ['negative octal', '-0000000512\0'],
  ])('that are %s are refused with the offset of their field', async (_, size) => {
    const tar = Buffer.concat([disk, tarHeader({ name: 'bad.vhd', size }), body, TAR_END]);
    expect(await failure(list(tar))).toMatchObject({ code: 'TAR_SIZE', offset: disk.length + 124 });
  });

  test.each(['-1', '1e3', '0x10', '12 ', '', '9007199254740993', '99999999999999999999'])(
    'of "%s" in a pax record are refused',
    async (size) => {
      const tar = Buffer.concat([disk, paxHeader({ size }), tarHeader(), TAR_END]);
      expect(await failure(list(tar))).toMatchObject({ code: 'TAR_SIZE', offset: disk.length });
    },
  );

  test('in a pax record apply to one member only', async () => {
    const tar = Buffer.concat([paxHeader({ size: '1300' }), tarHeader(), body, tarPadding(1300), tarMember({ name: 'b' }, body), TAR_END]);
    expect((await list(tar)).members.map(({ name, size }) => [name, size])).toEqual([
      ['disk.vhd', 1300],
      ['b', 1300],
    ]);
  });
});

describe('names', () => {
  test('are prefix and name, joined by a slash', async () => {
    expect(await names(Buffer.concat([tarHeader({ name: 'disk.vhd', prefix: 'a/b' }), TAR_END]))).toEqual(['a/b/disk.vhd']);
    const full = { name: 'n'.repeat(100), prefix: 'p'.repeat(155) };
    expect(await names(Buffer.concat([tarHeader(full), TAR_END]))).toEqual([`${full.prefix}/${full.name}`]);
  });

  test('have no prefix in a GNU header, which stores times there', async () => {
    expect(await names(Buffer.concat([tarHeader({ prefix: '14000000000', magic: 'ustar  \0' }), TAR_END]))).toEqual(['disk.vhd']);
  });

  test('come from the nearest long name or pax path, which applies to one member only', async () => {
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

  test('may be dangerous to open, since nothing opens them', async () => {
    const evil = ['../../etc/passwd', '/dev/sda', 'C:\\disk.vhd'];
    expect(await names(Buffer.concat([...evil.map((name) => tarHeader({ name })), TAR_END]))).toEqual(evil);
  });

  test('are shown on terminals, so they have no control characters', async () => {
    const evil = ['a\nb.vhd', '\x1b[2J.vhd', 'a\u202edhv.vhd'];
    expect(await names(Buffer.concat([...evil.map((name) => tarHeader({ name })), TAR_END]))).toEqual(['a?b.vhd', '?[2J.vhd', 'a?dhv.vhd']);
  });
});

describe('long names and pax headers', () => {
  test.each(['L', 'K', 'x', 'g', 'X'])('of type %s with an absurd size are refused before they are read', async (type) => {
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
    ['a length without a space after it', '999999999999999999999 path=a\n'],
    ['a length in another notation', '0x9 path=a\n'],
    ['no end of line', '9 path=ab'],
    ['only digits', '123'],
    ['one bad record after a good one', `${paxRecord('path', 'a')}6 x=12\n`],
  ])('that are malformed are refused: %s', async (_, text) => {
    expect(await failure(list(Buffer.concat([disk, paxHeader(text), disk, TAR_END])))).toMatchObject({
      code: 'TAR_EXTENSION',
      offset: disk.length,
    });
  });

  test('may hold any well-formed text', async () => {
    const value = fc.string({ unit: 'binary', maxLength: 200 }).filter((text) => !text.includes('\0'));
    await fc.assert(
      fc.asyncProperty(fc.array(value, { maxLength: 5 }), async (values) => {
        const records = values.map((text, index) => paxRecord(`COMMENT.${index}`, text)).join('');
        const tar = Buffer.concat([paxHeader(records + paxRecord('path', 'a b=c=d.vhd')), tarHeader(), TAR_END]);
        expect(await names(tar)).toEqual(['a b=c=d.vhd']);
      }),
    );
  });

  test('must be followed by their member', async () => {
    const pax = paxHeader({ path: 'a' });
    expect(await failure(list(Buffer.concat([disk, pax, TAR_END])))).toMatchObject({
      code: 'TAR_EXTENSION',
      offset: disk.length + pax.length,
    });
    expect(await failure(list(Buffer.concat([disk, pax])))).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: disk.length + pax.length });
  });
});
