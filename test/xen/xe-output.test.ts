import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseMap, splitMinimal } from '../../src/xen/xe-output.ts';

describe('the values of a list', () => {
  test('are read back unchanged, whatever they hold', () => {
    const escaped = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll(',', '\\,');
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, unit: fc.constantFrom('a', ',', '\\', ' ', '"') }), { minLength: 1 }), (values) => {
        expect(splitMinimal(values.map(escaped).join(','))).toEqual(values);
      }),
    );
  });

  test('are empty for an empty list', () => {
    expect(splitMinimal('')).toEqual([]);
  });
});

test('a map is read back from its printed pairs', () => {
  expect(parseMap('use_vhd: true; allocation: thick; devserial: scsi-3600:01')).toEqual(
    new Map([
      ['use_vhd', 'true'],
      ['allocation', 'thick'],
      ['devserial', 'scsi-3600:01'],
    ]),
  );
  expect(parseMap('')).toEqual(new Map());
});
