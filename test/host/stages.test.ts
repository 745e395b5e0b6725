import { describe, expect, test } from 'vitest';
import { createStages, type LoopClock, type StageTimes } from '../../src/host/stages.ts';
import { withResolvers } from '../support/with-resolvers.ts';

/** A clock that moves only when it is moved, in seconds. */
function fakeClock(): { readonly clock: LoopClock; idle(seconds: number): void; work(seconds: number): void } {
  let [now, idle] = [5000, 100];
  return {
    clock: { now: () => now, idle: () => idle },
    idle(seconds) {
      now += seconds * 1000;
      idle += seconds * 1000;
    },
    work(seconds) {
      now += seconds * 1000;
    },
  };
}

/** The times that are not zero, as `busy/waiting`. */
const shown = (times: StageTimes): Record<string, string> =>
  Object.fromEntries(
    Object.entries(times)
      .filter(([, { busy, waiting }]) => busy + waiting > 0)
      .map(([stage, { busy, waiting }]) => [stage, `${busy}/${waiting}`]),
  );

describe('an idle event loop waits for', () => {
  test('the bytes of the source, whatever else is under way', async () => {
    const { clock, idle } = fakeClock();
    const stages = createStages(clock);
    const [read, write] = [withResolvers(), withResolvers()];
    const work = [stages.during('write', write.promise), stages.during('read', read.promise)];
    idle(3);
    read.resolve();
    await work[1];
    idle(1);
    write.resolve();
    await work[0];
    idle(7);
    expect(shown(stages.times())).toEqual({ read: '3/3', write: '4/1' });
  });

  test('a free buffer while the writes have them, and for the source while the reads do', async () => {
    const { clock, idle } = fakeClock();
    const stages = createStages(clock);
    const [wait, read, write] = [withResolvers(), withResolvers(), withResolvers()];
    const waited = stages.during('wait', wait.promise);
    const readWork = stages.during('read', read.promise);
    idle(1);
    const written = stages.during('write', write.promise);
    idle(4);
    for (const { resolve } of [wait, read, write]) resolve();
    await Promise.all([waited, readWork, written]);
    expect(shown(stages.times())).toEqual({ wait: '0/4', read: '5/1', write: '4/0' });
  });

  test('sync, and nothing that has ended, even with an error', async () => {
    const { clock, idle } = fakeClock();
    const stages = createStages(clock);
    await expect(stages.during('read', Promise.reject(new Error('gone')))).rejects.toThrow('gone');
    idle(2);
    const { promise, resolve } = withResolvers();
    const synced = stages.during(
      'sync',
      promise.then(() => 'on the medium'),
    );
    idle(1);
    resolve();
    expect(await synced).toBe('on the medium');
    expect(shown(stages.times())).toEqual({ sync: '1/1' });
  });
});

test('work that overlaps counts once, and time of the main thread is no wait', async () => {
  const { clock, idle, work } = fakeClock();
  const stages = createStages(clock);
  const [first, second] = [withResolvers(), withResolvers()];
  const both = [stages.during('inflate', first.promise), stages.during('inflate', second.promise)];
  idle(1);
  work(2);
  first.resolve();
  await both[0];
  stages.run('scan', () => work(5));
  idle(1);
  second.resolve();
  await both[1];
  expect(shown(stages.times())).toEqual({ inflate: '9/2', decode: '2/0', scan: '5/0' });
});

test('the main thread works for the tar while a member is looked for, and a call that throws has ended', async () => {
  const { clock, work } = fakeClock();
  const stages = createStages(clock);
  const { promise, resolve } = withResolvers();
  const member = stages.during('tar', promise);
  work(2);
  resolve();
  await member;
  const broken = (): never => {
    work(1);
    throw new RangeError('no such grain');
  };
  expect(() => stages.run('scan', broken)).toThrow(RangeError);
  work(4);
  expect(shown(stages.times())).toEqual({ tar: '2/0', scan: '1/0', decode: '4/0' });
});
