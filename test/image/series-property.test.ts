/** Any archive of disks and chains: each is read as what it is, in its place, or the archive is refused. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { type Entry, sample } from '../support/packages.ts';
import { type DiskContent, EVERY_FORM, expectSeries, FORMS, layersOf, readSeries, twoLayers } from '../support/series.ts';
import { shuffle } from '../support/vhd-model.ts';

interface Part {
  readonly kind: 'dynamic' | 'fixed' | 'raw' | 'chain' | 'numbered' | 'text';
  readonly seed: number;
  readonly reversed: boolean;
}

const parts = fc.array(
  fc.record<Part>({
    kind: fc.constantFrom<Part['kind'][]>('dynamic', 'fixed', 'raw', 'chain', 'numbered', 'text'),
    seed: fc.integer({ min: 1, max: 20 }),
    reversed: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
);

interface Made {
  readonly entries: readonly Entry[];
  readonly disk?: DiskContent;
}

/** The members of a part, and the disk that they are. No two disks have one unique ID. */
function made({ kind, seed, reversed }: Part, index: number): Made {
  const { vhd, content } = sample(index + 1);
  const name = `disk-${index}`;
  const single = (suffix: string, body: Uint8Array): Made => ({
    entries: [[`${name}.${suffix}`, body]],
    disk: [`${name}.${suffix}`, content],
  });
  if (kind === 'text') return { entries: [[`${name}.txt`, Buffer.from('text')]] };
  if (kind === 'dynamic') return single('vhd', vhd);
  if (kind === 'fixed') return single('vhd', fixedVhd(content, undefined, { id: 200 + index }));
  if (kind === 'raw') return single('raw', content);
  const chain = twoLayers(1000 * (index + 1) + seed);
  const names = kind === 'numbered' ? [`${name}/0.vhd`, `${name}/1.vhd`] : [`${name}.vhd`, `${name}-base.vhd`];
  const entries = layersOf(chain).map((body, rank): Entry => [names[rank] ?? '', body]);
  // A numbered leaf has to come first in a stream.
  return { entries: reversed && kind === 'chain' ? entries.reverse() : entries, disk: [names[0], chain.content] };
}

const disksOf = (all: readonly Made[]): DiskContent[] => all.flatMap(({ disk }) => (disk === undefined ? [] : [disk]));
const membersOf = (all: readonly Made[]): Entry[] => all.flatMap(({ entries }) => entries);

test('an archive is read as the disks that are in it, in their order, wherever it comes from', async () => {
  const property = fc.asyncProperty(parts, fc.constantFrom(...EVERY_FORM), async (found, form) => {
    const all = found.map(made);
    fc.pre(disksOf(all).length > 0);
    const read = await readSeries(FORMS[form](membersOf(all)));
    expectSeries(read, disksOf(all));
    expect(read.ignored).toHaveLength(found.filter(({ kind }) => kind === 'text').length);
  });
  await fc.assert(property, { numRuns: 40 });
});

test('an archive whose members are in any order is read as its disks, or refused with a typed error', async () => {
  const property = fc.asyncProperty(parts, fc.nat(), fc.constantFrom(...EVERY_FORM), async (found, seed, form) => {
    const all = found.map(made);
    fc.pre(disksOf(all).length > 0);
    try {
      const { disks } = await readSeries(FORMS[form](shuffle(membersOf(all), seed)));
      const sorted = (list: readonly DiskContent[]): DiskContent[] =>
        [...list].sort(([one = ''], [other = '']) => one.localeCompare(other));
      expectSeries({ disks: sorted(disks), ignored: [], warnings: [] }, sorted(disksOf(all)));
    } catch (error) {
      if (!(error instanceof VdiStreamError)) throw error;
      // A file can be looked through, so any order can be read.
      expect(form === 'file' ? 'a file' : error.code, error.message).toMatch(/^(?:DISK_ORDER|CHAIN_ORDER|DISK_AMBIGUOUS)$/);
    }
  });
  await fc.assert(property, { numRuns: 40 });
});
