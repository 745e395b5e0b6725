import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bottleneckOf, partsOf } from '../../bench/bottleneck.mjs';
import { chartsOf, pageOf, withTables } from '../../bench/charts.mjs';
import { axes, type Curve, fitted } from '../../bench/growth.mjs';
import { standalone } from '../../bench/svg.mjs';
import { benchResult, ownTrial } from '../support/bench-result.ts';
import { visit } from '../support/browser.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

/** The cost of each byte grows with this power of x. */
function curve(power: number): Curve {
  const points = [1, 2, 4, 8].map((x) => ({ x, bytes: 1000, seconds: 3 + x ** power, cpu: 2 + x ** power }));
  return fitted({ name: `power ${power}`, unit: 'GiB', points, fixed: 3 }, 2);
}

const result = { ...benchResult, growth: [curve(0), curve(0.5)] };

describe('the page in Chromium', () => {
  testWith('chromium').each([
    [1200, 'light'],
    [420, 'light'],
    [420, 'dark'],
  ] as const)(
    '%d pixels wide and %s, it shows all charts, requests nothing and needs no horizontal scrolling',
    async (width, scheme) => {
      const path = join(testFolder(), 'index.html');
      writeFileSync(path, pageOf(result));
      const { complaints, requests, evaluate } = await visit(path, { width, scheme });
      expect(complaints).toEqual([]);
      expect(requests).toEqual([]);
      expect(await evaluate('document.documentElement.scrollWidth')).toBe(width);
      expect(
        await evaluate('[...document.querySelectorAll("figure svg")].filter((svg) => svg.getBoundingClientRect().width > 300).length'),
      ).toBe(chartsOf(result).length);
      // No text of a chart is cut off at its edge, and none is too small to read.
      const cut = `[...document.querySelectorAll('svg text')].filter((text) => {
      const [box, svg] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
      return box.right > svg.right + 1 || box.left < svg.left - 1 || box.height < 12;
    }).map((text) => text.textContent)`;
      expect(await evaluate(cut)).toEqual([]);
      expect(await evaluate('JSON.parse(document.getElementById("results").textContent)')).toEqual(JSON.parse(JSON.stringify(result)));
    },
    120_000,
  );

  test('has the bottleneck of each row, the limit of each chart, and the verdict of each curve', () => {
    const page = pageOf(result);
    for (const text of [
      'writing, 55 %',
      'limit: copying the allocated bytes',
      'limit: igzip to nowhere',
      'linear: slope 0.00',
      'NOT LINEAR: slope 0.50',
    ])
      expect(page).toContain(text);
    expect(page).not.toContain('<script>alert');
  });
});

test('a chart is a file of its own, with its colours', () => {
  for (const { svg } of chartsOf(result))
    expect(standalone(svg)).toMatch(/^<svg xmlns="[^"]+" viewBox="[^"]+" [^>]+><style>[^<]+<\/style>/);
});

test('the tables of a result replace those of the last one', () => {
  const page = '# Results\n\n<!-- results.json -->\n<!-- end -->\n\nEarlier runs.\n';
  const once = withTables(page, result);
  expect(withTables(once, result)).toBe(once);
  expect(once.endsWith('Earlier runs.\n')).toBe(true);
  expect(once).toContain('| vdistream, tar | 1.10 | 1.10 | 1.10 |');
  expect(() => withTables('# Results\n', result)).toThrow('no place');
});

test('the parts of a row add up to its seconds, and the largest is its bottleneck', () => {
  const parts = partsOf([ownTrial(1), ownTrial(2), ownTrial(3)]);
  if (parts === undefined) throw new Error('they have parts');
  expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBeCloseTo(2.1, 6);
  expect(bottleneckOf(parts)).toEqual({ name: 'writing', share: expect.closeTo(1.2 / 2.1, 6) });
  expect(partsOf([{ seconds: 1, cpu: 1, rss: 1 }])).toBeUndefined();
});

describe('growth', () => {
  test.each([
    [0, false],
    [0.09, false],
    [-0.09, false],
    [0.11, true],
    [-0.5, true],
  ])('of the cost for each byte with the power %d is found', (power, flagged) => {
    expect(curve(power)).toMatchObject({ slope: expect.closeTo(power, 6), cpuSlope: expect.closeTo(power, 6), flagged });
  });

  test('is undecided if a cost is lost in the noise', () => {
    const points = [1, 2].map((x) => ({ x, bytes: 1000, seconds: 3 * x, cpu: 1 }));
    expect(fitted({ name: 'noisy', unit: 'GiB', points, fixed: 4 }, 0)).toMatchObject({ slope: undefined, flagged: false });
  });

  test('is measured over the ranges that are promised', () => {
    const GIB = 2 ** 30;
    const ranges = axes({ data: GIB / 4, most: 8 * GIB }).map(({ name, steps }) => [name, steps[0]?.x, steps.at(-1)?.x]);
    expect(ranges).toEqual([
      ['allocated', 0.25, 8],
      ['virtual', 8, 2040],
      ['depth', 1, 32],
      ['block', 4, 256 * 1024],
      ['chain', 1, 16],
      ['cores', 1, 2],
    ]);
  });
});
