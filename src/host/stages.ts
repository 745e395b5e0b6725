/**
 * Stages: where the time of one call goes. Stages report when work begins and ends; between two such moments, the time in which the event
 * loop was idle is what the pipeline waited, and the rest is work of the main thread. The clock is read when a stage begins or ends to have
 * work under way, never for what overlaps.
 */

import type { Chunks } from '../cursor.ts';

type StageName = 'read' | 'inflate' | 'tar' | 'decode' | 'scan' | 'wait' | 'write' | 'sync';

/** Seconds. */
export interface StageTime {
  /** The stage had work under way: calls in flight, or the main thread in its code. Work that overlaps counts once. */
  readonly busy: number;
  /** The pipeline stood still until the stage delivered. Each moment counts for one stage only. */
  readonly waiting: number;
}

export type StageTimes = Readonly<Record<StageName, StageTime>>;

export interface Stages {
  /** The stage has work under way until `work` settles. Returns `work`. */
  during<T>(stage: StageName, work: Promise<T>): Promise<T>;
  /** Work of the main thread. */
  run<T>(stage: StageName, call: () => T): T;
}

/** For calls that do not report times. */
export const untimed: Stages = { during: (_stage, work) => work, run: (_stage, call) => call() };

export interface StageClock extends Stages {
  /** So far. */
  times(): StageTimes;
}

/** In milliseconds. */
export interface LoopClock {
  /** Since any fixed moment. */
  now(): number;
  /** For how long the event loop has been idle. */
  idle(): number;
}

function loopClock(): LoopClock {
  const { nodeTiming } = performance;
  return { now: () => performance.now(), idle: () => nodeTiming.idleTime };
}

/** Their work is in other threads, in the kernel, or elsewhere. */
const OUTSIDE = ['read', 'inflate', 'write', 'sync'] as const;

const zeros = (): Record<StageName, number> => ({ read: 0, inflate: 0, tar: 0, decode: 0, scan: 0, wait: 0, write: 0, sync: 0 });

/** The chunks, with each request for one as work of the stage. */
export const timedChunks = (stages: Stages, stage: StageName, chunks: Chunks): Chunks => ({
  [Symbol.asyncIterator]() {
    const iterator = chunks[Symbol.asyncIterator]();
    return {
      next: () => stages.during(stage, iterator.next()),
      async return() {
        await iterator.return?.();
        return { done: true, value: undefined };
      },
    };
  },
});

/** Begins now. */
export function createStages(clock: LoopClock = loopClock()): StageClock {
  const underWay = zeros();
  const busy = zeros();
  const waiting = zeros();
  let lastNow = clock.now();
  let lastIdle = clock.idle();

  function account(): void {
    const now = clock.now();
    const loopIdle = clock.idle();
    const passed = now - lastNow;
    const idle = Math.min(Math.max(loopIdle - lastIdle, 0), passed);
    lastNow = now;
    lastIdle = loopIdle;
    for (const stage of OUTSIDE) if (underWay[stage] > 0) busy[stage] += passed;
    busy[mainStage(underWay)] += passed - idle;
    const stage = waitedFor(underWay);
    if (stage !== undefined) waiting[stage] += idle;
  }

  function begin(stage: StageName): void {
    if (underWay[stage] === 0) account();
    underWay[stage]++;
  }

  function end(stage: StageName): void {
    if (underWay[stage] === 1) account();
    underWay[stage]--;
  }

  const ends: Readonly<Record<StageName, () => void>> = {
    read: () => end('read'),
    inflate: () => end('inflate'),
    tar: () => end('tar'),
    decode: () => end('decode'),
    scan: () => end('scan'),
    wait: () => end('wait'),
    write: () => end('write'),
    sync: () => end('sync'),
  };

  return {
    during(stage, work) {
      begin(stage);
      const settle = ends[stage];
      work.then(settle, settle);
      return work;
    },
    run(stage, call) {
      begin(stage);
      try {
        return call();
      } finally {
        end(stage);
      }
    },
    times() {
      account();
      return timesOf(busy, waiting);
    },
  };
}

type EachStage = Readonly<Record<StageName, number>>;

/** Whatever the main thread does besides is passing on what was decoded. */
function mainStage({ scan, tar }: EachStage): StageName {
  if (scan > 0) return 'scan';
  return tar > 0 ? 'tar' : 'decode';
}

/** The stage that an idle event loop waits for, if any. Bytes that have not arrived keep every later stage waiting. */
function waitedFor({ read, inflate, wait, write, sync }: EachStage): StageName | undefined {
  if (sync > 0) return 'sync';
  if (wait > 0 && (write > 0 || read + inflate === 0)) return 'wait';
  if (read > 0) return 'read';
  if (inflate > 0) return 'inflate';
  return write > 0 ? 'write' : undefined;
}

/** From milliseconds. */
function timesOf(busy: EachStage, waiting: EachStage): StageTimes {
  const time = (stage: StageName): StageTime => ({ busy: busy[stage] / 1000, waiting: waiting[stage] / 1000 });
  return {
    read: time('read'),
    inflate: time('inflate'),
    tar: time('tar'),
    decode: time('decode'),
    scan: time('scan'),
    wait: time('wait'),
    write: time('write'),
    sync: time('sync'),
  };
}
