import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { readOvf } from '../../src/ova/ovf.ts';
import { DOCUMENTS, GiB, read } from '../support/ovf.ts';

describe('for random input', () => {
  const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
  const words = fc.stringMatching(/^[a-zäß日& <>"'.-]{1,20}$/);
  const units = fc.constantFrom(
    { text: undefined, factor: 1 },
    { text: 'byte', factor: 1 },
    { text: 'byte * 2^20', factor: 2 ** 20 },
    { text: 'GigaBytes', factor: GiB },
  );
  const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const package_ = fc.record({
    files: fc.uniqueArray(
      fc.record({
        id: words,
        href: fc.stringMatching(/^[a-zäß日 %()[\]-]{1,20}\.vhd$/),
        size: maybe(fc.maxSafeNat()),
        compression: maybe(fc.constantFrom('gzip', 'identity')),
        chunkSize: maybe(fc.nat()),
      }),
      { maxLength: 8, selector: ({ id }) => id },
    ),
    disks: fc.uniqueArray(
      fc.record({
        diskId: words,
        file: maybe(fc.nat()),
        capacity: maybe(fc.nat({ max: 4_000_000 })),
        units,
        format: maybe(fc.webUrl()),
        parentRef: maybe(words),
      }),
      { maxLength: 8, selector: ({ diskId }) => diskId },
    ),
    prefixes: fc.constantFrom(['', ''], ['', 'ovf:'], ['ovf:', 'ovf:'], ['ovf:', '']),
    between: fc.constantFrom('', '\n  ', '<!-- <Disk/> -->', '<Info>a</Info>', '<?a b?>'),
  });

  test('a package is read as it was written, in every dialect', () => {
    fc.assert(
      fc.property(package_, ({ files, disks, prefixes: [element = '', attribute = ''], between }) => {
        const tag = (name: string, attributes: Record<string, string | number | undefined>): string => {
          const present = Object.entries(attributes).filter(([, value]) => value !== undefined);
          return `<${element}${name}${present.map(([key, value]) => ` ${attribute}${key}="${escaped(String(value))}"`).join('')}/>${between}`;
        };
        const written = files.map((file) => ({ ...file, href: encodeURIComponent(file.href) }));
        const text = `<${element}Envelope xmlns:ovf="u" ${element === '' && attribute !== '' ? 'xmlns="u"' : ''}>${between}
          <${element}References>${written.map((file) => tag('File', file)).join('')}</${element}References>
          <${element}DiskSection>${between}${disks
            .map(({ file, units: { text: unit }, ...disk }) =>
              tag('Disk', {
                ...disk,
                fileRef: file === undefined || files.length === 0 ? undefined : files[file % files.length]?.id,
                capacityAllocationUnits: unit,
              }),
            )
            .join('')}</${element}DiskSection></${element}Envelope>`;
        const expected = files.map(({ chunkSize, ...file }) => ({ ...file, chunked: chunkSize !== undefined }));
        expect(read(text)).toEqual({
          files: expected,
          disks: disks.map(({ file, units: { factor }, capacity, ...disk }) => ({
            ...disk,
            file: file === undefined || files.length === 0 ? undefined : expected[file % files.length],
            capacity: capacity === undefined ? undefined : capacity * factor,
          })),
        });
      }),
    );
  });

  test('a corrupted OVF is read, or refused with a typed error that names it', () => {
    const piece = fc.constantFrom(
      '<',
      '>',
      '/',
      '"',
      '&',
      ';',
      '<!',
      '<![CDATA[',
      ']]>',
      '<?',
      '?>',
      '-->',
      '=',
      'xmlns:',
      ':',
      '\0',
      '../',
      '%',
      'é',
      '\ufeff',
      '<Disk',
      '<File',
    );
    const change = fc.record({
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      remove: fc.nat({ max: 40 }),
      insert: fc.oneof(
        piece.map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 3 }),
      ),
    });
    const check = (bytes: Uint8Array): void => {
      try {
        readOvf(bytes, 'box.ovf', () => {});
      } catch (error) {
        if (!(error instanceof VdiStreamError)) throw error;
        expect(error).toMatchObject({ code: expect.stringMatching(/^OVF_(XML|HREF)$/), member: 'box.ovf' });
        if (error.offset !== undefined) expect(error.offset >= 0 && error.offset <= bytes.length).toBe(true);
      }
    };
    fc.assert(
      fc.property(fc.constantFrom(...DOCUMENTS), fc.array(change, { minLength: 1, maxLength: 4 }), (text, changes) => {
        let bytes = Buffer.from(text);
        for (const { at, remove, insert } of changes) {
          const start = Math.floor(at * bytes.length);
          bytes = Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + remove)]);
        }
        check(bytes);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => check(bytes)));
  });
});
