import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, info, writeDisk } from '../../src/index.ts';
import { codeOf } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, sample, waysOf } from '../support/packages.ts';
import { roundsOf } from '../support/rounds.ts';

const vhd = sample(3).vhd;
const BODIES: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from('hello'),
  Buffer.alloc(1500, 7),
  Buffer.alloc(70_000, 1),
  vhd,
  vhd.subarray(0, 900),
];
const NAMES = [
  'readme',
  'disk.vmdk',
  'a/box.qcow2',
  'x.vhd',
  'y.avhd',
  'z.vhd.gz',
  'swap.vhd',
  'disk.raw',
  'b.img',
  'ova.xml',
  '0.vhd',
  'disk.VDI',
  'noise.mf',
];

test('write, info and check say the same of any archive, with and without --raw', async () => {
  const entry = fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...BODIES));
  const archive = fc.uniqueArray(entry, { minLength: 1, maxLength: 4, selector: ([name]) => name });
  await fc.assert(
    fc.asyncProperty(archive, fc.boolean(), async (members, raw) => {
      const entries: Entry[] = [...members];
      for (const { input, name } of waysOf(testFolder(), entries)) {
        const code = await codeOf(writeDisk(input(), 'null:', { raw, manifest: 'ignore' }));
        const { findings } = await check(input(), { raw, manifest: 'ignore' });
        const errors = findings.filter(({ severity }) => severity === 'error').map((finding) => finding.code);
        const described = await codeOf(info(input(), { raw, manifest: 'ignore' }));
        // Two disks, or one beside a disk in another format: they are described, and nothing is wrong with them.
        const isChoice = code === 'DISK_AMBIGUOUS' || code === 'CHAIN_ORDER';
        if (isChoice) continue;
        expect(described, `info, ${name}: ${entries.map(([file]) => file)}`).toBe(code);
        if (code === 'ok') expect(errors).toEqual([]);
        else expect(errors, `check, ${name}`).toContain(code);
      }
    }),
    { numRuns: roundsOf({ inSuite: 24, long: 1000 }) },
  );
});
