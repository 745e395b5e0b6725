/** Progress and warnings, on stderr: a bar on a terminal, a line a second elsewhere, JSON lines with --json, nothing with --quiet. */

import type { SingleBar } from 'cli-progress';
import type { OnProgress } from '../engine/progress.ts';
import type { OnWarning } from '../warnings.ts';
import { toStderr } from './output.ts';
import { createPacer, type Pace } from './pace.ts';
import { barLine, logLine, waitingLine } from './progress-line.ts';

interface Reporter {
  readonly onProgress: OnProgress;
  readonly onWarning: OnWarning;
  /** Removes the bar from the terminal, until it is drawn again. */
  clear(): void;
  /** Removes the bar from the terminal, and stops. Idempotent. */
  close(): void;
}

const LINE_EVERY = 1000;
const BAR_EVERY = 100;

/** Draws on its own clock, so that what stalls is seen too. Work that ends within the first interval prints nothing. */
export function createReporter({ json = false, quiet = false }: { readonly json?: boolean; readonly quiet?: boolean }): Reporter {
  const pacer = createPacer();
  const show = quiet ? undefined : json ? jsonLines : process.stderr.isTTY === true ? bar() : logLines;
  const started = performance.now();
  const timer = show && setInterval(() => show.draw(pacer.now(), (performance.now() - started) / 1000), show.interval);
  // A reporter that nobody closes keeps no process alive.
  timer?.unref();
  return {
    onProgress: pacer.update,
    onWarning(warning) {
      if (quiet) return;
      show?.clear?.();
      const where = warning.member === undefined ? '' : `${warning.member}: `;
      toStderr(json ? { json: { warning } } : [`vdistream: warning: ${where}${warning.message} (${warning.code})`]);
    },
    clear: () => show?.clear?.(),
    close() {
      clearInterval(timer);
      show?.clear?.();
    },
  };
}

interface Show {
  /** Milliseconds between two calls of `draw`. */
  readonly interval: number;
  /** `seconds` are those since the command began; there is no pace before the first progress. */
  draw(pace: Pace | undefined, seconds: number): void;
  /** Removes what is drawn. */
  clear?(): void;
}

const logLines: Show = {
  interval: LINE_EVERY,
  draw(pace, seconds) {
    toStderr([`vdistream: ${pace === undefined ? waitingLine(seconds) : logLine(pace)}`]);
  },
};

const jsonLines: Show = {
  interval: LINE_EVERY,
  draw(pace) {
    if (pace === undefined) return;
    const { progress, seconds, idle } = pace;
    toStderr({ json: { progress: { ...progress, seconds, idle } } });
  },
};

function bar(): Show {
  // Loaded when there is something to show: most runs on a fast device end before that.
  let library: typeof import('cli-progress') | undefined;
  let shown: SingleBar | undefined;

  function clear(): void {
    shown?.stop();
    shown = undefined;
  }

  // A second signal ends the process immediately, which would leave the terminal without cursor and line wrapping.
  process.once('exit', clear);

  function start({ SingleBar }: typeof import('cli-progress'), line: string): SingleBar {
    const format = (_options: unknown, _params: unknown, { text }: { readonly text: string }): string => text;
    const started = new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true });
    started.start(1, 0, { text: line });
    return started;
  }

  return {
    interval: BAR_EVERY,
    clear,
    draw(pace, seconds) {
      if (pace === undefined && seconds < LINE_EVERY / 1000) return;
      if (library === undefined) {
        import('cli-progress').then(
          (loaded) => {
            library = loaded.default;
          },
          () => {}, // without the library there is no bar; the work continues
        );
        return;
      }
      const line = pace === undefined ? waitingLine(seconds) : barLine(pace, process.stderr.columns || 80);
      shown ??= start(library, line);
      shown.update(0, { text: line });
    },
  };
}
