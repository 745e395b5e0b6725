import fc from 'fast-check';
import { expect, test } from 'vitest';
import { chains, imageOf, recipes } from '../../fuzz/image.ts';
import { chainSize } from '../../fuzz/seeds.ts';
import { ERRORS } from '../../src/errors.ts';
import { type CheckResult, check, createPool, type ErrorCode, type SourceInput, VdiStreamError, writeDisk } from '../../src/index.ts';
import { WARNINGS } from '../../src/warnings.ts';
import { stored } from '../support/chains.ts';
import { chunkSizes, reusing } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { roundsOf } from '../support/rounds.ts';

/** What writing an image refuses though nothing is wrong with it: the caller has to say more. */
const ASKS: readonly ErrorCode[] = ['DISK_AMBIGUOUS', 'CHAIN_ORDER', 'CHAIN_SIZE'];

const pool = createPool({ count: 4, size: 16_384 });

/** The code of the error; undefined where the image can be written. `virtualSize` is what a caller would pass who has read the check. */
async function refusal(input: SourceInput, virtualSize: number): Promise<ErrorCode | undefined> {
  try {
    await writeDisk(input, 'null:', { pool, virtualSize });
    return undefined;
  } catch (error) {
    if (error instanceof VdiStreamError) return error.code;
    throw error;
  }
}

interface Image {
  readonly bytes: Buffer;
  readonly [fc.toStringMethod]: () => string;
}

/** What holds for every result, whatever was checked. */
function sane({ ok, findings, disks }: CheckResult): void {
  expect(ok).toBe(findings.every(({ severity }) => severity === 'warning'));
  for (const { severity, code, message, advice, offset } of findings) {
    expect(Object.keys(severity === 'error' ? ERRORS : WARNINGS)).toContain(code);
    expect(message).not.toBe('');
    expect(typeof advice).toBe(severity === 'error' ? 'string' : 'undefined');
    if (offset !== undefined) expect(Number.isSafeInteger(offset) && offset >= 0, `${code} at ${offset}`).toBe(true);
  }
  if (ok) expect(disks).not.toEqual([]);
}

/** A counterexample of a megabyte is useless to a reader; how it was made is not. */
const cooked = (where: 'vhd' | 'tar' | 'pack'): fc.Arbitrary<Image> =>
  recipes(where).map((recipe) => ({ bytes: imageOf(recipe), [fc.toStringMethod]: () => JSON.stringify(recipe) }));

test.each([
  ['VHD', cooked('vhd')],
  ['tar', cooked('tar')],
  ['gzip', cooked('pack')],
  ['chain', chains.map((bytes): Image => ({ bytes, [fc.toStringMethod]: () => `a chain of ${bytes.length} bytes` }))],
] as const)('whatever is corrupted in a %s, check terminates and calls no image good that cannot be written', async (_, images) => {
  const folder = testFolder();
  await fc.assert(
    fc.asyncProperty(images, chunkSizes, async ({ bytes }, sizes) => {
      const path = stored(folder, 'image', bytes);
      for (const input of [(): SourceInput => path, (): SourceInput => reusing(bytes, sizes)]) {
        const result = await check(input());
        sane(result);
        const [disk, ...others] = result.disks;
        const code = await refusal(input(), others.length > 0 || disk === undefined ? chainSize : disk.virtualSize);
        if (code !== undefined && !ASKS.includes(code)) expect(result.ok, `writing says ${code}`).toBe(false);
      }
    }),
    { numRuns: roundsOf({ inSuite: 100, long: 5000 }) },
  );
});
