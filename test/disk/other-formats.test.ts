/** What is passed instead of an image, by its first bytes: named, with advice that fits, and never mistaken for a disk. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRONT_BYTES, OTHER_FORMATS, otherFormat, refuseOtherFormat } from '../../src/disk/other-formats.ts';
import { failure } from '../support/failure.ts';

const text = (content: string): Buffer => Buffer.from(content, 'utf8');
const nameOf = (front: Uint8Array): string | undefined => otherFormat(front)?.what;

const PAGE = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body></body></html>\n';
const S3 = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><RequestId>1</RequestId></Error>';
const OVF = '<?xml version="1.0"?>\n<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References/></ovf:Envelope>';
const LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:4665a5ea423c2713\nsize 12345\n';
const OVA_XML = '<value><struct><member><name>version</name><value><struct/></value></member></struct></value>';

describe('a text is named:', () => {
  test.each([
    ['a web page', PAGE, /web page \(HTML\)/],
    ['a web page without a document type', '<html lang="en"><body>', /web page/],
    ['the page of Swift', '<html><h1>Not Found</h1><p>The resource could not be found.</p></html>', /web page/],
    ['an XHTML page', `<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "u"><html xmlns="u"/>`, /web page/],
    ['a web page after a comment', '<!-- a > b -->\n<HTML>', /web page/],
    ['an error of S3', S3, /XML error of an object store/],
    ['an error without a declaration', '<Error><Code>NoSuchKey</Code></Error>', /XML error/],
    ['another XML', '<?xml version="1.0"?><domain type="xen"/>', /an XML document/],
    ['an OVF', OVF, /OVF descriptor/],
    ['an OVF without a prefix', '<Envelope/>', /OVF descriptor/],
    ['ova.xml', OVA_XML, /XVA/],
    ['ova.xml with a declaration', `<?xml version='1.0'?>\n${OVA_XML}`, /XVA/],
    ['ova.xml of version 1', '<?xml version="1.0" ?><appliance version="0.1"><vm name="a"/></appliance>', /XVA/],
    ['a JSON object', '{"itemNotFound": {"code": 404}}', /JSON/],
    ['an empty JSON object', '{}', /JSON/],
    ['a JSON list', '[\n  {"id": 1}\n]', /JSON/],
    ['a Git LFS pointer', LFS, /Git LFS pointer/],
    ['an alias of Xen Orchestra', '../data/5a3c/20240102T030405Z.vhd', /alias of Xen Orchestra/],
    ['an alias that ends in a newline', 'data/x.vhd\n', /alias of Xen Orchestra/],
    ['a web page in Latin-1', Buffer.from('<html><title>Zugriff verweigert f\xfcr</title>', 'latin1'), /web page/],
  ])('%s', (_, content, expected) => {
    expect(nameOf(Buffer.from(content))).toMatch(expected);
  });

  test('with a byte order mark, white space in front, in mixed case, in UTF-16, or cut in a character', () => {
    const names = [PAGE, S3, OVF].map((content) => nameOf(text(content)));
    const cased = (content: string): string => content.replace(/<!?[a-z]+(?= html|>)/gi, (tag) => tag.toUpperCase());
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1, 2),
        fc.constantFrom('', '\ufeff'),
        fc.string({ unit: fc.constantFrom(' ', '\n', '\r\n', '\t'), maxLength: 20 }),
        fc.boolean(),
        fc.constantFrom('utf8' as const, 'utf16le' as const),
        fc.string({ unit: fc.constantFrom('ä', '€', '😀', 'a'), maxLength: 3000 }),
        (index, mark, white, mixed, encoding, rest) => {
          const content = [PAGE, S3, OVF][index] ?? '';
          const whole = `${encoding === 'utf16le' ? '\ufeff' : mark}${white}${mixed ? cased(content) : content}<!-- ${rest}`;
          expect(nameOf(Buffer.from(whole, encoding).subarray(0, FRONT_BYTES))).toBe(names[index]);
        },
      ),
    );
  });
});

describe('no text is seen in', () => {
  test('a front with one byte that is not text, whatever it begins with', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(PAGE, S3, OVF, LFS, OVA_XML, '{"a": 1}', 'a/b.vhd'),
        fc.nat(FRONT_BYTES - 200),
        fc.constantFrom(0, 1, 8, 0x0b, 0x1f, 0x7f),
        (content, distance, byte) => {
          const front = Buffer.alloc(FRONT_BYTES, ' ');
          text(content).copy(front);
          front[content.length + (distance % (FRONT_BYTES - content.length))] = byte;
          expect(otherFormat(front)).toBeUndefined();
        },
      ),
    );
  });

  test('a text padded with zeros, as on a disk', () => {
    for (const content of [PAGE, S3, '{}', LFS]) expect(otherFormat(Buffer.concat([text(content), Buffer.alloc(512)]))).toBeUndefined();
  });

  test('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: FRONT_BYTES }), (front) => {
        const magics = OTHER_FORMATS.some(({ magic, at = 0 }) => Buffer.from(front).subarray(at).toString('latin1').startsWith(magic));
        const isText = front.every((byte) => byte >= 0x20 || [9, 10, 12, 13].includes(byte));
        if (!magics && !isText) expect(otherFormat(front)).toBeUndefined();
      }),
    );
  });

  test.each([
    [''],
    [' \n'],
    ['hello'],
    ['no disk '.repeat(512)],
    ['[section]\nkey=value\n'],
    ['{{ template }}'],
    ['a < b'],
    ['x.vhd\ny.vhd\n'],
  ])('the text %j', (content) => {
    expect(otherFormat(text(content).subarray(0, FRONT_BYTES))).toBeUndefined();
  });
});

describe('the advice', () => {
  const adviceOf = (front: Uint8Array): string => otherFormat(front)?.advice ?? '';
  const magicOf = (name: string): Buffer => {
    const { magic = '', at = 0 } = OTHER_FORMATS.find(({ what }) => what.includes(name)) ?? {};
    return Buffer.concat([Buffer.alloc(at), Buffer.from(magic, 'latin1')]);
  };

  test.each([['VHDX'], ['qcow image'], ['qcow2'], ['VMDK image'], ['VMDK descriptor'], ['VirtualBox'], ['QED'], ['Parallels']])(
    'for %s is qemu-img, with the exact size',
    (name) => {
      expect(adviceOf(magicOf(name))).toContain('qemu-img convert -O vpc -o force_size=on IN OUT.vhd');
    },
  );

  test.each([
    ['ZIP', /unzip/],
    ['7z', /7z x/],
    ['RAR', /unrar/],
    ['VMA', /vma extract/],
  ])('for %s is to unpack it', (name, expected) => {
    expect(adviceOf(magicOf(name))).toMatch(expected);
    expect(adviceOf(magicOf(name))).not.toMatch(/qemu-img|--raw/);
  });

  test('for a text is never to convert it, nor to read it as raw', () => {
    for (const content of [PAGE, S3, LFS, OVA_XML, '{}', 'a.vhd']) expect(adviceOf(text(content))).not.toMatch(/qemu-img|raw/);
    expect(adviceOf(text(OVA_XML))).toContain('xe vm-import');
    expect(adviceOf(text(LFS))).toContain('git lfs pull');
  });

  test('is that of the error', async () => {
    const front = text(PAGE);
    expect(await failure(Promise.resolve().then(() => refuseOtherFormat(front)))).toMatchObject({
      code: 'FORMAT_OTHER',
      offset: 0,
      advice: adviceOf(front),
    });
  });
});
