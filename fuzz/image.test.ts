import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, test } from 'vitest';
import { campaign, limit } from './campaign.ts';
import { chains, expectHandled, imageOf, recipes, usages } from './image.ts';

const folder = mkdtempSync(join(tmpdir(), 'vdistream-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ['vhd', 'a VHD with changed footers, header, table or blocks', 0.35],
  ['tar', 'a tar with changed headers and members', 0.25],
  ['pack', 'a changed gzip', 0.2],
] as const)(
  '%s, %s: reads it or fails with a typed error, writes nothing outside the disk, and releases every buffer',
  async (where, _, share) => {
    const inputs = fc.record({ recipe: recipes(where), usage: usages });
    await campaign(where, share, inputs, ({ recipe, usage }) => expectHandled(imageOf(recipe), usage, folder));
  },
  limit(1),
);

test(
  'a chain with one corrupted layer, in any order, is read or fails with a typed error, and every buffer is released',
  async () => {
    const inputs = fc.record({ bytes: chains, usage: usages });
    await campaign('chain', 0.2, inputs, ({ bytes, usage }) => expectHandled(bytes, usage, folder));
  },
  limit(1),
);
