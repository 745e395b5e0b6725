import { describe, expect, test } from 'vitest';
import { envelope, GiB, oddities, read, refused } from '../support/ovf.ts';

const capacityOf = (attributes: string): number | undefined => read(envelope('', `<Disk diskId="d" ${attributes}/>`)).disks[0]?.capacity;

describe('attributes', () => {
  test('in the OVF namespace take precedence over those without a prefix, and those over any other', () => {
    const file = (attributes: string) =>
      read(`<a:Envelope xmlns:a="urn:a" xmlns:b="urn:b"><a:References><a:File ${attributes}/></a:References></a:Envelope>`).files[0];
    expect(file('b:id="3" id="2" a:id="1" b:href="3" a:href="1" href="2"')).toMatchObject({ id: '1', href: '1' });
    expect(file('b:id="3" id="2" href="2" b:href="3" b:size="3"')).toMatchObject({ id: '2', href: '2', size: 3 });
  });

  test('may have any value', () => {
    for (const id of ['twice', 'constructor', '__proto__', 'undefined', '<&>"']) {
      const written = id.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
      const { disks } = read(envelope(`<File href="a" id="${written}"/>`, `<Disk fileRef="${written}" diskId="${written}"/>`));
      expect(disks).toEqual([{ diskId: id, file: { id, href: 'a', chunked: false } }]);
    }
  });

  test('that are empty count as absent', () => {
    const { files, disks } = read(
      envelope(
        '<File id="f" href="a" size="" compression="" chunkSize=""/>',
        '<Disk diskId="d" fileRef="" capacity="" format="" parentRef=""/>',
      ),
    );
    expect([files, disks]).toEqual([[{ id: 'f', href: 'a', chunked: false }], [{ diskId: 'd', file: undefined }]]);
  });

  test.each([
    ['', 3],
    ['byte', 3],
    ['Byte', 3],
    ['byte * 2^10', 3 * 1024],
    ['byte * 2^20', 3 * 1024 ** 2],
    ['byte*2^30', 3 * GiB],
    [' byte  *  2 ^ 40 ', 3 * 1024 * GiB],
    ['byte * 1024', 3 * 1024],
    ['byte * 10^9', 3e9],
    ['byte * 2^10 * 2^10', 3 * 1024 ** 2],
    ['Bytes', 3],
    ['KiloBytes', 3 * 1024],
    ['MegaBytes', 3 * 1024 ** 2],
    ['GigaBytes', 3 * GiB],
  ])('a capacity in units of "%s" is converted to bytes', (units, expected) => {
    expect(capacityOf(`capacity="3" capacityAllocationUnits="${units}"`)).toBe(expected);
  });

  test.each([
    ['an unknown unit', 'capacity="1" capacityAllocationUnits="furlong"'],
    ['a unit of an amount that is not certain', 'capacity="4" capacityAllocationUnits="MB"'],
    ['a property of every object as unit', 'capacity="1" capacityAllocationUnits="constructor"'],
    ['a unit of bits', 'capacity="1" capacityAllocationUnits="bit * 2^3"'],
    ['an incomplete unit', 'capacity="1" capacityAllocationUnits="byte * 2^"'],
    ['a negative power', 'capacity="1" capacityAllocationUnits="byte * 2^-3"'],
    ['a capacity over 2^53', 'capacity="8388608" capacityAllocationUnits="byte * 2^30"'],
    ['zero times an oversized unit', 'capacity="0" capacityAllocationUnits="byte * 999999999999999^99"'],
    ['a number over 2^53', 'capacity="9007199254740993"'],
    ['a negative capacity', 'capacity="-1"'],
    ['a fraction', 'capacity="1.5"'],
    ['another notation', 'capacity="0x10"'],
    ['an exponent', 'capacity="1e3"'],
    ['words', 'capacity="forty"'],
  ])('a capacity with %s is a warning, since nothing depends on it', (_, attributes) => {
    const text = envelope('', `<Disk diskId="d" ${attributes}/>`);
    expect(read(text).disks).toEqual([{ diskId: 'd' }]);
    expect(oddities(text)).toEqual([{ code: 'OVF_ODD', message: expect.any(String), member: 'box.ovf', offset: text.indexOf('<Disk ') }]);
  });
});

describe('hrefs', () => {
  const hrefOf = (href: string): string | undefined => read(envelope(`<File id="f" href="${href}"/>`)).files[0]?.href;

  test.each([
    ['disk.vhd', 'disk.vhd'],
    ['./disk.vhd', 'disk.vhd'],
    ['a/b/disk.vhd', 'a/b/disk.vhd'],
    ['a%20b%28c%29.vhd', 'a b(c).vhd'],
    ['gr%C3%B6%C3%9Fe.vhd', 'größe.vhd'],
    ['a&amp;b&#x20;&#32;c.vhd', 'a&b  c.vhd'],
    ['100%.vhd', '100%.vhd'],
    ['%E4.vhd', '%E4.vhd'],
    ['%25.vhd', '%.vhd'],
    ['..a/b..vhd', '..a/b..vhd'],
    ['a b.vhd', 'a b.vhd'],
  ])('like "%s" resolve to the name %s', (href, expected) => {
    expect(hrefOf(href)).toBe(expected);
  });

  test.each([
    'http://example.com/disk.vhd',
    'HTTPS://example.com/disk.vhd',
    'file:///etc/passwd',
    'data:,x',
    'http%3A//example.com/disk.vhd',
    'C:\\disk.vhd',
    '/dev/sda',
    '//host/disk.vhd',
    '\\\\host\\disk.vhd',
    '%2Fdev/sda',
    '..',
    '../disk.vhd',
    'a/../../disk.vhd',
    'a/..',
    '%2e%2e/disk.vhd',
    '..%2fdisk.vhd',
    '..\\disk.vhd',
    'a%00.vhd',
    'a&#10;b.vhd',
    './',
  ])('like "%s" are refused', async (href) => {
    const text = envelope(`<File id="ü" href="a"/><File id="f" href="${href}"/>`);
    const offset = Buffer.from(text).indexOf('<File id="f"');
    expect(await refused(text)).toMatchObject({ code: 'OVF_HREF', member: 'box.ovf', offset });
  });
});
