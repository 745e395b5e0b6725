/** Progress and warnings, on stderr: a bar on a terminal, a line a second elsewhere, JSON lines with --json, nothing with --quiet. */

import type { SingleBar } from 'cli-progress';
import type { OnProgress, Progress } from '../engine/progress.ts';
import type { OnWarning } from '../warnings.ts';
import { toStderr } from './output.ts';
import { clock, human, rate } from './sizes.ts';

interface Reporter {
  readonly onProgress: OnProgress;
  readonly onWarning: OnWarning;
  /** Removes the bar from the terminal. Idempotent. */
  close(): void;
}

const LINE_EVERY = 1000;
const BAR_EVERY = 100;

export function createReporter({ json = false, quiet = false }: { readonly json?: boolean; readonly quiet?: boolean }): Reporter {
  const terminal = process.stderr.isTTY === true;
  const show = quiet ? undefined : json ? jsonLines() : terminal ? bar() : lines();
  return {
    onProgress: (progress) => show?.update(progress),
    onWarning(warning) {
      if (quiet) return;
      show?.close();
      const where = warning.member === undefined ? '' : `${warning.member}: `;
      toStderr(json ? { json: { warning } } : [`vdistream: warning: ${where}${warning.message} (${warning.code})`]);
    },
    close: () => show?.close(),
  };
}

interface Show {
  update(progress: Progress): void;
  close(): void;
}

/** Speed and time left of the current phase, from the data moved: holes cost no time and would distort both. */
function pace(): (progress: Progress) => { seconds: number; left: number } {
  let phase = '';
  let started = 0;
  return (progress) => {
    if (progress.phase !== phase) {
      phase = progress.phase;
      started = performance.now();
    }
    const seconds = (performance.now() - started) / 1000;
    const left = progress.moved > 0 ? (seconds * (progress.toMove - progress.moved)) / progress.moved : Number.POSITIVE_INFINITY;
    return { seconds, left: Math.max(0, left) };
  };
}

/** True once every `interval` ms, and not before the first interval is over: short work prints nothing. */
function every(interval: number): () => boolean {
  let next = performance.now() + interval;
  return () => {
    const now = performance.now();
    if (now < next) return false;
    next = now + interval;
    return true;
  };
}

/** The length of a stream is unknown. */
const share = ({ done, total }: Progress): string =>
  total > 0 ? `${Math.floor((100 * done) / total)}% of ${human(total)}` : `${human(done)}`;

function lines(): Show {
  const isDue = every(LINE_EVERY);
  const paceOf = pace();
  return {
    update(progress) {
      const { seconds, left } = paceOf(progress);
      if (!isDue()) return;
      const timeLeft = progress.total > 0 ? `, ${clock(left)} left` : '';
      toStderr([
        `vdistream: ${progress.phase} ${share(progress)}, ${human(progress.moved)} of data, ${rate(progress.moved, seconds)}${timeLeft}`,
      ]);
    },
    close() {},
  };
}

function jsonLines(): Show {
  const isDue = every(LINE_EVERY);
  const paceOf = pace();
  return {
    update(progress) {
      const { seconds } = paceOf(progress);
      if (isDue()) toStderr({ json: { progress: { ...progress, seconds } } });
    },
    close() {},
  };
}

function bar(): Show {
  const isDue = every(BAR_EVERY);
  const paceOf = pace();
  // Loaded when there is something to show: most runs on a fast device end before that.
  let library: typeof import('cli-progress') | undefined;
  let shown: { readonly phase: string; readonly bar: SingleBar } | undefined;

  function close(): void {
    shown?.bar.stop();
    shown = undefined;
  }

  // A second signal ends the process immediately, which would leave the terminal without cursor and line wrapping.
  process.once('exit', close);

  function start({ SingleBar, Presets }: typeof import('cli-progress'), progress: Progress): SingleBar {
    const withTotal = `{bar} {percentage}% | {size} | {speed} | {left} left`;
    const format = `${progress.phase.padEnd(6)} ${progress.total > 0 ? withTotal : '{size} | {speed}'}`;
    const started = new SingleBar(
      { format, stream: process.stderr, clearOnComplete: true, hideCursor: true, barsize: 30 },
      Presets.shades_classic,
    );
    started.start(Math.max(1, progress.total), 0, { size: human(progress.total || progress.done), speed: '', left: '--:--' });
    return started;
  }

  return {
    update(progress) {
      const { seconds, left } = paceOf(progress);
      if (!isDue()) return;
      if (library === undefined) {
        import('cli-progress').then(
          (loaded) => {
            library = loaded.default;
          },
          () => {}, // without the library there is no bar; the work continues
        );
        return;
      }
      if (shown?.phase !== progress.phase) {
        close();
        shown = { phase: progress.phase, bar: start(library, progress) };
      }
      const size = human(progress.total || progress.done);
      shown.bar.update(progress.done, { size, speed: rate(progress.moved, seconds), left: clock(left) });
    },
    close,
  };
}
