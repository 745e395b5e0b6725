/**
 * What a person, a log or a program is told while the work goes on, on stderr: a bar on a terminal, a line a second
 * elsewhere, JSON lines with --json, nothing with --quiet.
 */

import type { SingleBar } from 'cli-progress';
import type { OnProgress, Progress } from '../engine/progress.ts';
import type { OnWarning } from '../warnings.ts';
import { clock, human, rate } from './sizes.ts';

export interface Reporter {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly progress: OnProgress;
  readonly warn: OnWarning;
  /** Leaves the terminal clean. Idempotent. */
  close(): void;
}

const LINE_EVERY = 1000;
const BAR_EVERY = 100;

export function reporter({ json = false, quiet = false }: { json?: boolean | undefined; quiet?: boolean | undefined }): Reporter {
  const terminal = process.stderr.isTTY === true;
  const show = quiet ? undefined : json ? jsonLines() : terminal ? bar() : lines();
  return {
    json,
    quiet,
    progress: (progress) => show?.update(progress),
    warn(warning) {
      if (quiet) return;
      show?.close();
      const where = warning.member === undefined ? '' : `${warning.member}: `;
      process.stderr.write(
        json ? `${JSON.stringify({ warning })}\n` : `vdistream: warning: ${where}${warning.message} (${warning.code})\n`,
      );
    },
    close: () => show?.close(),
  };
}

interface Show {
  update(progress: Progress): void;
  close(): void;
}

/** Speed and time left of the running phase, from the data moved: holes cost nothing and would make both lie. */
function pace(): (progress: Progress) => { seconds: number; left: number } {
  let phase = '';
  let started = 0;
  return (progress) => {
    if (progress.phase !== phase) {
      phase = progress.phase;
      started = Date.now();
    }
    const seconds = (Date.now() - started) / 1000;
    const left = progress.moved > 0 ? (seconds * (progress.toMove - progress.moved)) / progress.moved : Number.POSITIVE_INFINITY;
    return { seconds, left: Math.max(0, left) };
  };
}

/** Lets one update through every `interval` ms, and the first after that time: short work stays silent. */
function every(interval: number): () => boolean {
  let next = Date.now() + interval;
  return () => {
    const now = Date.now();
    if (now < next) return false;
    next = now + interval;
    return true;
  };
}

/** A stream does not say how long it is. */
const share = ({ done, total }: Progress): string =>
  total > 0 ? `${Math.floor((100 * done) / total)}% of ${human(total)}` : `${human(done)}`;

function lines(): Show {
  const due = every(LINE_EVERY);
  const of = pace();
  return {
    update(progress) {
      const { seconds, left } = of(progress);
      if (!due()) return;
      process.stderr.write(
        `vdistream: ${progress.phase} ${share(progress)}, ${human(progress.moved)} of data, ${rate(progress.moved, seconds)}${progress.total > 0 ? `, ${clock(left)} left` : ''}\n`,
      );
    },
    close() {},
  };
}

function jsonLines(): Show {
  const due = every(LINE_EVERY);
  const of = pace();
  return {
    update(progress) {
      const { seconds } = of(progress);
      if (due()) process.stderr.write(`${JSON.stringify({ progress: { ...progress, seconds } })}\n`);
    },
    close() {},
  };
}

function bar(): Show {
  const due = every(BAR_EVERY);
  const of = pace();
  // Loaded when there is something to show: most runs on a fast device are over before that.
  let library: typeof import('cli-progress') | undefined;
  let shown: { readonly phase: string; readonly bar: SingleBar } | undefined;

  function close(): void {
    shown?.bar.stop();
    shown = undefined;
  }

  // A second signal ends the process where it stands, and would leave the terminal without cursor and line wrapping.
  process.once('exit', close);

  function start({ SingleBar, Presets }: typeof import('cli-progress'), progress: Progress): SingleBar {
    const known = `{bar} {percentage}% | {size} | {speed} | {left} left`;
    const format = `${progress.phase.padEnd(6)} ${progress.total > 0 ? known : '{size} | {speed}'}`;
    const made = new SingleBar(
      { format, stream: process.stderr, clearOnComplete: true, hideCursor: true, barsize: 30 },
      Presets.shades_classic,
    );
    made.start(Math.max(1, progress.total), 0, { size: human(progress.total || progress.done), speed: '', left: '--:--' });
    return made;
  }

  return {
    update(progress) {
      const { seconds, left } = of(progress);
      if (!due()) return;
      if (library === undefined) {
        import('cli-progress').then(
          (loaded) => {
            library = loaded.default;
          },
          () => {}, // then there is no bar, which is no reason to end the work
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
