import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { createJob } from '../../src/engine/job.ts';
import { openSource } from '../../src/engine/open.ts';
import { writeTo } from '../../src/engine/write.ts';
import { createPool } from '../../src/host/pool.ts';
import { createStages, type LoopClock, type StageTimes } from '../../src/host/stages.ts';
import { isLate, onlyDisk } from '../../src/image/chain.ts';
import { writeDisk } from '../../src/index.ts';
import { timedSource } from '../../src/source/timed.ts';
import { noise } from '../support/chunks.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { memoryTarget } from '../support/memory-target.ts';
import { tarOf } from '../support/tar.ts';

const MIB = 1 << 20;
const BLOCKS = 6;
const vhd = dynamicVhd({
  size: 32 * MIB,
  blocks: new Map(Array.from({ length: BLOCKS }, (_, block) => [2 * block, noise(2 * MIB, block)])),
});
const archive = tarOf([['0.vhd', vhd]]);

/** Time that passes only where the test says so, while the event loop is idle. In seconds. */
function fakeTime(): { readonly clock: LoopClock; pass(seconds: number, mayPass?: () => boolean): Promise<void>; passed(): number } {
  let now = 0;
  return {
    clock: { now: () => now, idle: () => now },
    async pass(seconds, mayPass = () => true) {
      if (seconds === 0) return;
      do await new Promise((resolve) => setImmediate(resolve));
      while (!mayPass());
      now += seconds * 1000;
    },
    passed: () => now / 1000,
  };
}

interface Slow {
  /** Seconds for a chunk of the source, of 64 KiB. */
  readonly chunk?: number;
  readonly write?: number;
  readonly sync?: number;
}

/** Writes the image from a stream to memory, and checks what must hold for the times of any write. */
async function timed(image: Uint8Array, { chunk = 0, write = 0, sync = 0 }: Slow): Promise<StageTimes> {
  const { clock, pass, passed } = fakeTime();
  const stages = createStages(clock);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < image.length; at += 65_536) {
      await pass(chunk);
      yield image.subarray(at, at + 65_536);
    }
  }
  // A write ends only once nothing else can go on: the next extent waits for its buffer, or there is none.
  let isBlocked = false;
  const buffers = createPool({ count: 2, size: 2 * MIB });
  const pool = {
    ...buffers,
    get free() {
      return buffers.free;
    },
    async acquire(signal?: AbortSignal) {
      isBlocked = buffers.free === 0;
      const lease = await buffers.acquire(signal);
      isBlocked = false;
      return lease;
    },
  };
  const job = { ...createJob({ pool }), stages };
  const sources = [timedSource(await openSource(chunks()), stages)];
  const options = { choice: {}, single: true, warn: job.warn, stages };
  const chosen = await onlyDisk(sources, { image: options, anyParent: false });
  if (isLate(chosen)) throw new Error('the leaf is not late');
  const memory = memoryTarget({ size: chosen.virtualSize, readsZero: true });
  const target = {
    ...memory,
    async write(bytes: Uint8Array, offset: number) {
      await pass(write, () => isBlocked);
      await memory.write(bytes, offset);
    },
    sync: () => pass(sync),
  };
  const { stages: times, bytesWritten } = await writeTo(
    { name: 'memory', open: async () => target },
    {
      ...chosen,
      async *extents(into, how) {
        try {
          return yield* chosen.extents(into, how);
        } finally {
          isBlocked = true;
        }
      },
    },
    sources,
    {},
    job,
  );
  expect(bytesWritten).toBe(BLOCKS * 2 * MIB);
  const total = Object.values(times).reduce((sum, { waiting }) => sum + waiting, 0);
  expect(total).toBeLessThanOrEqual(passed() + 1e-6);
  for (const { busy, waiting } of Object.values(times)) expect(Math.min(busy, waiting, passed() - busy + 1e-6)).toBeGreaterThanOrEqual(0);
  return times;
}

/** The stage that the pipeline waited for longest. */
const slowest = (times: StageTimes): string | undefined => Object.entries(times).sort(([, a], [, b]) => b.waiting - a.waiting)[0]?.[0];

describe.each([
  ['a tar', archive],
  ['a tar.gz', gzipSync(archive, { level: 1 })],
])('in %s from a stream,', (_name, image) => {
  test('a slow source is waited for, and nothing else is', async () => {
    const times = await timed(image, { chunk: 1 });
    const { read, ...others } = times;
    expect(read.waiting).toBeCloseTo(Math.ceil(image.length / 65_536), 3);
    expect(Object.values(others).map(({ waiting }) => waiting)).toEqual([0, 0, 0, 0, 0, 0, 0]);
  });

  test('a slow target is waited for by who needs a buffer', async () => {
    const times = await timed(image, { write: 1 });
    expect(slowest(times)).toBe('wait');
    expect(times.write.busy).toBeCloseTo(BLOCKS, 3);
    // Only the last writes are waited for themselves.
    expect(times.wait.waiting + times.write.waiting).toBeCloseTo(BLOCKS, 3);
    expect(times.read.waiting).toBe(0);
  });

  test('a slow medium is waited for at the end', async () => {
    const times = await timed(image, { sync: 9 });
    expect(times.sync).toEqual({ busy: 9, waiting: 9 });
    expect(slowest(times)).toBe('sync');
  });
});

test('the waits of all stages, and the work of the main thread, fit into the seconds of the call', async () => {
  const { seconds, stages } = await writeDisk(
    (async function* () {
      yield gzipSync(archive);
    })(),
    'null:',
  );
  const waits = Object.values(stages).reduce((sum, { waiting }) => sum + waiting, 0);
  expect(waits + stages.tar.busy + stages.decode.busy + stages.scan.busy).toBeLessThanOrEqual(seconds);
  expect(Object.keys(stages)).toEqual(['read', 'inflate', 'tar', 'decode', 'scan', 'wait', 'write', 'sync']);
  expect([stages.decode, stages.inflate, stages.scan].every(({ busy }) => busy > 0)).toBe(true);
});
