import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseMap, splitMinimal } from '../../src/xen/xe-output.ts';

describe('the values of a list', () => {
  test('come back as they were, whatever they hold', () => {
    const escaped = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll(',', '\\,');
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, unit: fc.constantFrom('a', ',', '\\', ' ', '"') }), { minLength: 1 }), (values) => {
        expect(splitMinimal(values.map(escaped).join(','))).toEqual(values);
      }),
    );
  });

  test('are none for a list without any', () => {
    expect(splitMinimal('')).toEqual([]);
  });
});

test('a map is read back from the pairs that it is printed as', () => {
  expect(parseMap('use_vhd: true; allocation: thick; devserial: scsi-3600:01')).toEqual(
    new Map([
      ['use_vhd', 'true'],
      ['allocation', 'thick'],
      ['devserial', 'scsi-3600:01'],
    ]),
  );
  expect(parseMap('')).toEqual(new Map());
});
