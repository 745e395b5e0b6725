import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { ExtentOptions, Range } from '../../src/disk/disk.ts';
import type { Buffers, Extent } from '../../src/disk/extent.ts';
import { overlay, type Layer as Ranked } from '../../src/disk/overlay.ts';
import { type CountedBuffers, plainBuffers } from '../support/buffers.ts';
import { SECTOR, sectorBytes, shuffle } from '../support/vhd-model.ts';

type Kind = Extent['kind'];

/** A layer, sector by sector; its rank is its place in the stack. */
interface Fake {
  readonly kinds: readonly Kind[];
  /** Where extents end besides the places at which the kind changes, in sectors. */
  readonly cuts: ReadonlySet<number>;
  readonly seed: number;
  /** A read completes immediately, or after some turns of the event loop. */
  readonly late: boolean;
}

/** The stack is leaf first. */
interface Scenario {
  readonly stack: readonly Fake[];
  /** Ranks in the order of their arrival. */
  readonly order: readonly number[];
  /** The first that comes has given the whole disk before. */
  readonly given: boolean;
  /** The consumer goes away when it has so many extents. */
  readonly stopAfter: number;
}

/** Sectors of a buffer. */
const MOST = 16;

/** A set of sectors changes its form at 2 MiB; the middle of a long layer reaches across. */
const MIDDLE = 4096 - 6;

const kind = fc.constantFrom<Kind[]>('data', 'data', 'zero', 'hole', 'hole');
const runs = fc.array(fc.tuple(kind, fc.integer({ min: 1, max: 5 })), { minLength: 1, maxLength: 6 });
const expand = (found: readonly (readonly [Kind, number])[]): Kind[] => found.flatMap(([kind, count]) => new Array<Kind>(count).fill(kind));

const fake = (long: boolean): fc.Arbitrary<Fake> =>
  fc
    .record({
      front: runs,
      middle: fc.constantFrom<Kind[]>('hole', 'hole', 'zero'),
      back: runs,
      short: fc.nat(4),
      late: fc.boolean(),
      seed: fc.nat(),
    })
    .map(({ front, middle, back, short, late, seed }) => {
      const whole = [...expand(front), ...new Array<Kind>(long ? MIDDLE : 0).fill(middle), ...expand(back)];
      const kinds = short === 0 ? expand(front) : whole;
      return { kinds, cuts: new Set(shuffle([...kinds.keys()].slice(-40), seed).slice(0, 5)), seed, late };
    });

const scenarios: fc.Arbitrary<Scenario> = fc
  .record({ long: fc.boolean(), count: fc.integer({ min: 1, max: 5 }) })
  .chain(({ long, count }) =>
    fc.record({
      stack: fc.array(fake(long), { minLength: count, maxLength: count }),
      order: fc.shuffledSubarray([...Array(count).keys()], { minLength: count }),
      given: fc.boolean(),
      stopAfter: fc.nat(12),
    }),
  );

/** A layer that has given the disk already is one of a single extent. */
function fakesOf({ stack, order, given }: Scenario): Fake[] {
  const size = stack[0]?.kinds.length ?? 0;
  return stack.map((layer, rank) => (given && rank === order[0] ? { ...layer, kinds: new Array<Kind>(size).fill('data') } : layer));
}

/** The write that a layer shows in a sector; 0 is zeros, undefined lets the parent show. Where a layer ends it is zero. */
function says(layer: Fake | undefined, rank: number, sector: number): number | undefined {
  const kind = layer?.kinds[sector] ?? 'zero';
  return kind === 'hole' ? undefined : kind === 'data' ? rank + 1 : 0;
}

function contentOf(stack: readonly Fake[], size: number): Buffer {
  const shown = (sector: number): number => stack.map((layer, rank) => says(layer, rank, sector)).find((write) => write !== undefined) ?? 0;
  return Buffer.concat(Array.from({ length: size }, (_, sector) => sectorBytes(sector, shown(sector))));
}

/** `now` is the layer that is being read. */
interface Watch {
  now: number | undefined;
  readonly open: Set<number>;
  asked(rank: number, offset: number, length: number, use: readonly Range[]): void;
}

const noWatch = (): Watch => ({ now: undefined, open: new Set(), asked: () => {} });

function layerOf(layer: Fake, rank: number, watch: Watch): Ranked {
  const { kinds, cuts, seed, late } = layer;
  const starts = [...kinds.keys()].filter((at) => kinds[at] !== kinds[at - 1] || cuts.has(at) || (kinds[at] === 'data' && at % MOST === 0));
  const pieces = starts.map((start, index) => ({ start, end: starts[index + 1] ?? kinds.length, kind: kinds[start] ?? 'hole' }));

  async function read({ offset, length }: Range, buffers: Buffers): Promise<Extent> {
    const lease = await buffers.acquire();
    const bytes = lease.bytes.subarray(0, length);
    const fill = (): void => {
      for (let at = 0; at < length; at += SECTOR) bytes.set(sectorBytes((offset + at) / SECTOR, rank + 1), at);
    };
    const ready = late ? new Promise<void>((resolve) => setImmediate(resolve)).then(fill) : Promise.resolve().then(fill);
    return { kind: 'data', offset, length, bytes, ready, release: () => lease.release() };
  }

  async function* extents(buffers: Buffers, { wanted }: ExtentOptions): AsyncGenerator<Extent> {
    watch.open.add(rank);
    watch.now = rank;
    try {
      for (const { start, end, kind } of shuffle(pieces, seed)) {
        const [offset, length] = [start * SECTOR, (end - start) * SECTOR];
        const use = wanted?.(offset, length) ?? [];
        watch.asked(rank, offset, length, use);
        if (kind !== 'data') yield { kind, offset, length };
        // A consumer that reads only what it needs yields holes elsewhere, which mean nothing; others yield everything.
        else for (const range of late || use.length === 0 ? use : [{ offset, length }]) yield await read(range, buffers);
      }
    } finally {
      watch.open.delete(rank);
    }
  }

  return { rank, virtualSize: kinds.length * SECTOR, extents };
}

function flatten(scenario: Scenario, stack: readonly Fake[], buffers: CountedBuffers, watch: Watch): AsyncGenerator<Extent> {
  const size = (stack[0]?.kinds.length ?? 0) * SECTOR;
  const [first, ...rest] = scenario.order;
  async function* arriving(): AsyncGenerator<Ranked> {
    for (const rank of scenario.given ? rest : scenario.order) {
      const layer = stack[rank];
      if (layer !== undefined) yield layerOf(layer, rank, watch);
    }
    watch.now = undefined;
  }
  return overlay(arriving(), buffers, { size, given: scenario.given ? first : undefined });
}

test('layers in any order make the disk of the model, and every extent correctly reports whether it overwrites', async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      const stack = fakesOf(scenario);
      const size = stack[0]?.kinds.length ?? 0;
      const first = scenario.given ? scenario.order[0] : undefined;
      /** The rank that has given a sector last. */
      const givenBy = new Array<number | undefined>(size).fill(first);
      const content = Buffer.alloc(size * SECTOR, 0xaa);
      if (first !== undefined) for (let sector = 0; sector < size; sector++) content.set(sectorBytes(sector, first + 1), sector * SECTOR);
      const come: number[] = first === undefined ? [] : [first];
      const watch: Watch = {
        ...noWatch(),
        asked(rank, offset, length, use) {
          if (!come.includes(rank)) come.push(rank);
          const nearer = come.filter((other) => other < rank);
          const open = (sector: number): boolean => nearer.every((other) => says(stack[other], other, sector) === undefined);
          const asked = Array.from({ length: length / SECTOR }, (_, index) => offset / SECTOR + index);
          const useful = use.flatMap((range) =>
            asked.filter((sector) => sector >= range.offset / SECTOR && sector < (range.offset + range.length) / SECTOR),
          );
          expect(useful, `what of ${offset}+${length} of layer ${rank} is of use`).toEqual(
            asked.filter((sector) => sector < size && open(sector)),
          );
        },
      };
      const buffers = plainBuffers(MOST * SECTOR, 4);
      const held: Extent[] = [];
      const settle = async (extent: Extent | undefined): Promise<void> => {
        if (extent?.kind === 'data') {
          await extent.ready;
          content.set(extent.bytes, extent.offset);
          extent.release();
        } else if (extent !== undefined) content.fill(0, extent.offset, extent.offset + extent.length);
      };

      for await (const extent of flatten(scenario, stack, buffers, watch)) {
        const { kind, offset, length, overwrites = false } = extent;
        expect([offset % SECTOR, length % SECTOR, length > 0, offset + length <= size * SECTOR]).toEqual([0, 0, true, true]);
        if (kind === 'hole') expect([watch.now, overwrites], 'holes come last').toEqual([undefined, false]);
        const [from, to] = [offset / SECTOR, (offset + length) / SECTOR];
        const { now = Number.POSITIVE_INFINITY } = watch;
        const right = givenBy.slice(from, to).every((before) => (overwrites ? before !== undefined && before > now : before === undefined));
        expect(right, `${kind} ${from}-${to} of layer ${now} ${overwrites ? 'overwrites' : 'is the first there'}`).toBe(true);
        givenBy.fill(now, from, to);
        // As the pump does: one after the other where they overlap.
        held.push(extent);
        if (overwrites || held.length > 2) for (const each of held.splice(0)) await settle(each);
      }
      for (const each of held) await settle(each);
      expect(givenBy).not.toContain(undefined);
      expect(content.equals(contentOf(stack, size)), 'the disk').toBe(true);
      expect([buffers.held, watch.open.size]).toEqual([0, 0]);
    }),
    { numRuns: 400 },
  );
});

test('a consumer that stops early leaves every buffer released and every layer closed', async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, async (scenario) => {
      const watch = noWatch();
      const buffers = plainBuffers(MOST * SECTOR, 16);
      const extents = flatten(scenario, fakesOf(scenario), buffers, watch);
      const taken: Extent[] = [];
      while (taken.length < scenario.stopAfter) {
        const next = await extents.next();
        if (next.done) break;
        taken.push(next.value);
      }
      await extents.return(undefined);
      expect(watch.open.size).toBe(0);
      for (const extent of taken) if (extent.kind === 'data') extent.release();
      await vi.waitFor(() => expect(buffers.held).toBe(0), { interval: 1 });
    }),
    { numRuns: 300 },
  );
});

describe('a range that a layer cannot read', () => {
  const layer = (kinds: Kind[]): Fake => ({ kinds, cuts: new Set(), seed: 1, late: false });

  /** A leaf, and a parent whose every read fails. */
  async function* failing(leaf: Kind[]): AsyncGenerator<Ranked> {
    yield layerOf(layer(leaf), 0, noWatch());
    const parent = layerOf(layer(new Array<Kind>(leaf.length).fill('data')), 1, noWatch());
    async function* extents(buffers: Buffers): AsyncGenerator<Extent> {
      const { bytes, release } = await buffers.acquire();
      const length = leaf.length * SECTOR;
      yield { kind: 'data', offset: 0, length, bytes: bytes.subarray(0, length), ready: Promise.reject(new Error('unreadable')), release };
    }
    yield { ...parent, extents };
  }

  test.each<[string, Kind[], number]>([
    ['is reported with each of its pieces', ['hole', 'data', 'hole', 'zero', 'hole'], 3],
    ['is not reported where a layer above covers all of it', ['data', 'data', 'zero', 'zero', 'data'], 0],
  ])('%s, and its buffer is released', async (_, leaf, pieces) => {
    const [buffers, failures] = [plainBuffers(MOST * SECTOR, 4), [] as unknown[]];
    for await (const extent of overlay(failing(leaf), buffers, { size: leaf.length * SECTOR })) {
      if (extent.kind !== 'data') continue;
      await extent.ready.catch((error) => failures.push(error));
      extent.release();
    }
    expect(failures.length).toBe(pieces);
    await vi.waitFor(() => expect(buffers.held).toBe(0), { interval: 1 });
  });
});
