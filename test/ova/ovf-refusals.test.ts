import { describe, expect, test } from 'vitest';
import { MAX_OVF_BYTES } from '../../src/ova/ovf.ts';
import { DOCUMENTS, envelope, OVFTOOL, oddities, read, refused } from '../support/ovf.ts';

describe('a contradictory OVF is refused, with the offset of the element:', () => {
  const file = '<File id="f" href="a"/>';
  const disk = '<Disk diskId="d" fileRef="f"/>';
  test.each([
    ['a disk on one of two files with one id', envelope(`${file}<File id="f" href="b"/>`, disk), '<Disk', /2 files.*"f"/],
    [
      'a disk on one of two VHDs with one id',
      envelope('<File id="f" href="a.vhd"/><File id="f" href="b.VHD"/>', disk),
      '<Disk',
      /2 files.*"f"/,
    ],
    ['a file without an href', envelope('<File id="f"/>'), '<File', /no href/],
    ['another root element', '<Domain><Envelope/></Domain>', '<Domain', /"Domain", not "Envelope"/],
    ['a web page', '<html><body/></html>', '<html', /"html"/],
  ])('%s', async (_, text, where, message) => {
    // In UTF-16, and after characters of more than one byte, the byte offset differs from the character offset.
    const marked = `<!--größe 日本 💾-->${text}`;
    const at = marked.lastIndexOf(where);
    const error = await refused(marked);
    expect(error).toMatchObject({ code: 'OVF_XML', member: 'box.ovf', offset: Buffer.byteLength(marked.slice(0, at)) });
    expect(error.message).toMatch(message);
    expect((await refused(Buffer.from(`\ufeff${marked}`, 'utf16le'))).offset).toBe(2 * at + 2);
    expect((await refused(`\ufeff${marked}`)).offset).toBe(Buffer.byteLength(marked.slice(0, at)) + 3);
  });
});

describe('what no disk depends on is a warning, at the byte of its element:', () => {
  const file = '<File id="f" href="a"/>';
  test.each([
    ['two files with one id', `${file}<File id="f" href="b"/>`, '', '<File id="f" href="b"', /two files.*"f"/],
    ['a file without an id', `${file}<File href="b"/>`, '', '<File href', /no id/],
    ['a size that cannot be', '<File id="f" href="a" size="-1"/>', '', '<File', /size "-1"/],
    ['two disks with one id', file, '<Disk diskId="d" fileRef="f"/><Disk diskId="d"/>', '<Disk diskId="d"/', /two disks.*"d"/],
    ['a disk without an id', file, '<Disk fileRef="f"/>', '<Disk ', /no diskId/],
    ['a disk on a file that is not listed', file, '<Disk diskId="d" fileRef="g"/>', '<Disk ', /refers to the file "g"/],
    ['a reference like a property of any object', file, '<Disk diskId="d" fileRef="__proto__"/>', '<Disk ', /"__proto__"/],
  ])('%s', (_, files, disks, where, message) => {
    const written = envelope(files, disks);
    const at = { code: 'OVF_ODD', member: 'box.ovf', offset: written.lastIndexOf(where) };
    expect(oddities(written)).toEqual([{ ...at, message: expect.stringMatching(message) }]);
  });

  test('the id of a disk that another file has, too: the disk by its name is used', () => {
    for (const files of [
      '<File id="f" href="a.VHD"/><File id="f" href="b.nvram"/>',
      '<File id="f" href="b.iso"/><File id="f" href="a.VHD"/>',
    ]) {
      const written = envelope(files, '<Disk diskId="d" fileRef="f"/>');
      expect(read(written).disks).toEqual([{ diskId: 'd', file: { id: 'f', href: 'a.VHD', chunked: false } }]);
      expect(oddities(written)).toHaveLength(1);
    }
  });

  test('a file that is listed twice is none', () => {
    expect(oddities(envelope(file + file, '<Disk diskId="d" fileRef="f"/>'))).toEqual([]);
  });

  test('Latin-1, unless the declaration says so', () => {
    const body = envelope('<File id="f" href="größe.vhd"/>', '<Disk diskId="d" fileRef="f"/>');
    for (const encoding of ['ISO-8859-1', 'iso-8859-1', 'windows-1252', 'latin1']) {
      const declared = Buffer.from(`<?xml version="1.0" encoding="${encoding}"?>${body}`, 'latin1');
      expect(oddities(declared)).toEqual([]);
      expect(read(declared).files).toEqual([{ id: 'f', href: 'größe.vhd', chunked: false }]);
    }
    for (const declaration of ['', '<?xml version="1.0"?>', '<?xml version="1.0" encoding="UTF-8"?>']) {
      const undeclared = Buffer.from(`${declaration}${body}`, 'latin1');
      expect(oddities(undeclared)).toEqual([{ code: 'OVF_ODD', member: 'box.ovf', message: expect.stringContaining('Latin-1') }]);
      expect(read(undeclared).files[0]?.href).toBe('größe.vhd');
    }
  });

  test('in Latin-1, an error is at its byte', async () => {
    const written = envelope('<File id="größe"/>');
    expect(await refused(Buffer.from(written, 'latin1'))).toMatchObject({ code: 'OVF_XML', offset: written.indexOf('<File') });
  });
});

describe('an OVF that is not well-formed is refused:', () => {
  test.each([
    ['nothing', ''],
    ['blanks', ' \n'],
    ['only a comment', '<!-- a -->'],
    ['no XML', 'not XML'],
    ['a VHD', Buffer.concat([Buffer.from('conectix'), Buffer.alloc(504)])],
    ['zeros', Buffer.alloc(512)],
    ['two roots', '<Envelope/><Envelope/>'],
    ['text after the root', '<Envelope/>a'],
    ['text before the root', 'a<Envelope/>'],
    ['CDATA outside of the root', '<![CDATA[a]]><Envelope/>'],
    ['an element that is not closed', '<Envelope><a></Envelope>'],
    ['elements that overlap', '<Envelope><a><b></a></b></Envelope>'],
    ['an extra close tag', '<Envelope></Envelope></Envelope>'],
    ['a bare ampersand', '<Envelope>a & b</Envelope>'],
    ['a bare less-than', '<Envelope>1 <2</Envelope>'],
    ['an attribute without quotes', '<Envelope a=b/>'],
    ['an attribute without value', '<Envelope a/>'],
    ['an attribute twice', '<Envelope a="1" a="2"/>'],
    [
      'an attribute twice, by two prefixes',
      '<e:Envelope xmlns:e="u" xmlns:f="u"><e:References><e:File e:id="a" f:id="b"/></e:References></e:Envelope>',
    ],
    ['attributes without a space between them', '<Envelope a="1"b="2"/>'],
    ['an element with an undeclared prefix', '<ovf:Envelope/>'],
    ['an attribute with an undeclared prefix', '<Envelope ovf:version="1.0"/>'],
    ['a prefix that is declared later', '<Envelope><ovf:a/><b xmlns:ovf="u"/></Envelope>'],
    ['a prefix that is declared empty', '<ovf:Envelope xmlns:ovf=""/>'],
    ['a prefix named like an Object.prototype property', '<constructor:Envelope/>'],
    ['an attribute with a prefix named like an Object.prototype property', '<Envelope toString:a="1"/>'],
    ['the prefix __proto__', '<__proto__:Envelope/>'],
    ['a name with two colons', '<a:b:Envelope xmlns:a="u"/>'],
    ['a NUL', '<Envelope>\0</Envelope>'],
    ['a NUL in an attribute', '<Envelope a="\0"/>'],
    ['a NUL as a character reference', '<Envelope>&#0;</Envelope>'],
    ['an escape', '<Envelope>\x1b[2J</Envelope>'],
    ['a code point that is not a character', '<Envelope>\uffff</Envelope>'],
    ['half a character', Buffer.from('\ufeff<Envelope/>', 'utf16le').subarray(0, -1)],
    ['UTF-16 without a byte order mark', Buffer.from('<Envelope/>', 'utf16le')],
    ['an HTML entity', '<Envelope>&nbsp;</Envelope>'],
    ['an undeclared entity', '<Envelope>&a;</Envelope>'],
  ])('%s', async (_, text) => {
    expect(await refused(text)).toMatchObject({ code: 'OVF_XML', member: 'box.ovf' });
  });

  test('but attributes named like Object.prototype properties are harmless', () => {
    const text = '<Envelope __proto__="a" constructor="b" hasOwnProperty="c" toString="d"><__proto__/><constructor/></Envelope>';
    expect(read(text)).toEqual({ disks: [], files: [] });
  });

  test('any truncated document', async () => {
    for (const text of DOCUMENTS) {
      const end = text.lastIndexOf('>');
      for (let length = 0; length < end; length += 7) {
        expect(await refused(text.slice(0, length))).toMatchObject({ code: 'OVF_XML', member: 'box.ovf' });
      }
    }
  });

  test('with the offset, and the reason in one line', async () => {
    const error = await refused(OVFTOOL.replace('</DiskSection>', '</Disks>'));
    expect(error.message).toMatch(/^the OVF is not well-formed XML: .*close tag$/);
    expect(error.offset).toBe(OVFTOOL.indexOf('</DiskSection>') + '</Disks>'.length);
  });

  test('with a hostile name shortened and escaped', async () => {
    const shown = oddities(envelope('', '<Disk diskId="d" fileRef="&#x202e;\x9b2J\t"/>'))[0];
    expect(shown?.message).toContain('the file "\\u{202e}\\u{9b}2J\\t", which');
    for (const name of [`a${'b'.repeat(50_000)}`, 'a\u200db']) {
      for (const text of [`<${name}/>`, `<${name}:Envelope/>`, envelope(`<File id="f" href="/${name}"/>`)]) {
        const { code, message } = await refused(text);
        expect([code, message.length < 250]).toEqual([text.includes('href') ? 'OVF_HREF' : 'OVF_XML', true]);
      }
    }
  });
});

describe('an attack is refused before it costs anything:', () => {
  const MiB = 2 ** 20;
  const fill = (text: string, size = 4 * MiB - 1000): string => text.repeat(Math.floor(size / text.length));
  const laughs = Array.from({ length: 9 }, (_, index) => `<!ENTITY l${index + 1} "${`&l${index};`.repeat(10)}">`).join('');

  test.each([
    ['a billion laughs', `<!DOCTYPE x [<!ENTITY l0 "ha">${laughs}]><Envelope>&l9;</Envelope>`, /DOCTYPE/],
    ['an external entity', '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Envelope>&e;</Envelope>', /DOCTYPE/],
    ['an external DTD', '<!DOCTYPE Envelope SYSTEM "http://example.com/a.dtd"><Envelope/>', /DOCTYPE/],
    ['a DOCTYPE in lower case', '<!doctype html><Envelope/>', /DOCTYPE/],
    ['a DOCTYPE after the root', '<Envelope><!DOCTYPE a></Envelope>', /DOCTYPE|doctype/],
    ['an entity without a DOCTYPE', '<!ENTITY a "b"><Envelope>&a;</Envelope>', /DOCTYPE/],
    ['a DOCTYPE without end', `<!DOCTYPE a [${fill('<!ENTITY a "b">')}`, /./],
    ['a declaration without end', `<Envelope><!${fill('a')}`, /declaration/],
    ['100,000 elements in each other', `<Envelope>${'<a>'.repeat(100_000)}`, /nested more than 256 deep/],
    [
      '100,000 elements in each other, and out again',
      `<Envelope>${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}</Envelope>`,
      /nested more than 256 deep/,
    ],
    ['a million elements', `<Envelope>${fill('<a/>')}</Envelope>`, /131072 elements/],
    ['380,000 attributes', `<Envelope ${Array.from({ length: 380_000 }, (_, index) => `a${index}=""`).join(' ')}`, /256 attributes/],
    ['300 attributes', `<Envelope ${Array.from({ length: 300 }, (_, index) => `a${index}=""`).join(' ')}/>`, /256 attributes/],
    ['100 namespaces', `<Envelope ${Array.from({ length: 100 }, (_, index) => `xmlns:a${index}="u"`).join(' ')}/>`, /64 namespaces/],
    ['100 nested namespaces', `<Envelope>${Array.from({ length: 100 }, (_, index) => `<a xmlns:a${index}="u">`).join('')}`, /64 names/],
    ['an element name of 4 MiB', `<${fill('a')}`, /./],
    ['an attribute of 4 MiB', `<Envelope a="${fill('a')}"/>`, /./],
    ['a comment of 4 MiB', `<!--${fill('-a')}--><Envelope/>`, /./],
    ['a reference of 4 MiB', `<Envelope>&#${fill('0')};</Envelope>`, /./],
    ['a close tag of 4 MiB', `<Envelope></${fill('a')}></Envelope>`, /./],
  ])('%s', async (_, text, message) => {
    const before = process.cpuUsage();
    const error = await refused(text);
    const { user } = process.cpuUsage(before);
    expect([error.code, error.member]).toEqual(['OVF_XML', 'box.ovf']);
    expect(error.message).toMatch(message);
    // Takes hours if time grows with the square of the size, and otherwise a second on a slow machine.
    expect(user).toBeLessThan(10_000_000);
  });

  test('5 MiB, before anything is parsed', async () => {
    const error = await refused(Buffer.alloc(5 * MiB));
    expect(error).toMatchObject({ code: 'OVF_XML', member: 'box.ovf', message: expect.stringContaining('5242880') });
    expect(MAX_OVF_BYTES).toBe(4 * MiB);
  });

  test('while the largest allowed document is read: 4 MiB of licence, and 256 nested elements', () => {
    const [start = '', end = ''] = OVFTOOL.split('Use it');
    const licence = fill('Use it, or do not. ', MAX_OVF_BYTES - Buffer.byteLength(OVFTOOL));
    expect(read(`${start}${licence}${end}`)).toEqual(read(OVFTOOL));
    expect(read(`<Envelope>${'<a>'.repeat(255)}${'</a>'.repeat(255)}</Envelope>`).disks).toEqual([]);
  });
});
