import { describe, expect, test } from 'vitest';
import { MAX_OVF_BYTES } from '../../src/ova/ovf.ts';
import { DOCUMENTS, envelope, OVFTOOL, read, refused } from '../support/ovf.ts';

describe('a contradictory OVF is refused, with the offset of the element:', () => {
  const file = '<File id="f" href="a"/>';
  const disk = '<Disk diskId="d" fileRef="f"/>';
  test.each([
    ['two files with one id', envelope(`${file}<File id="f" href="b"/>`), '<File id="f" href="b"', /two files.*"f"/],
    ['two disks with one id', envelope(file, `${disk}<Disk diskId="d"/>`), '<Disk diskId="d"/', /two disks.*"d"/],
    ['a disk on an unlisted file', envelope(file, '<Disk diskId="d" fileRef="g"/>'), '<Disk', /"d" refers to the file "g"/],
    [
      'a file reference named like an Object.prototype property',
      envelope('', '<Disk diskId="d" fileRef="__proto__"/>'),
      '<Disk',
      /__proto__/,
    ],
    ['a file without an id', envelope('<File href="a"/>'), '<File', /no id/],
    ['a file without an href', envelope('<File id="f"/>'), '<File', /no href/],
    ['a file with a size that cannot be', envelope('<File id="f" href="a" size="-1"/>'), '<File', /size "-1"/],
    ['a disk without an id', envelope(file, '<Disk fileRef="f"/>'), '<Disk ', /no diskId/],
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
    ['bytes that are not UTF-8', Buffer.from('<Envelope a="größe"/>', 'latin1')],
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
    const shown = await refused(envelope('', '<Disk diskId="&#x202e;\x9b2J\t" fileRef="a"/>'));
    expect(shown.message).toContain('disk "\\u{202e}\\u{9b}2J\\t" refers');
    for (const name of [`a${'b'.repeat(50_000)}`, 'a\u200db']) {
      for (const text of [`<${name}/>`, `<${name}:Envelope/>`, envelope('', `<Disk diskId="d" fileRef="${name}"/>`)]) {
        const { code, message } = await refused(text);
        expect([code, message.length < 250]).toEqual(['OVF_XML', true]);
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
