/** The text of progress: a line with a bar for a terminal, and a sentence for a log. */

import type { Pace } from './pace.ts';
import { clock, human, rate } from './sizes.ts';

/** Seconds without data before they are shown. */
const IDLE = 3;

const MAX_BAR = 30;
/** A shorter bar says nothing. */
const MIN_BAR = 5;

/** A line for a terminal with `columns`. The bar shrinks first, then the size is left out: speed and time are what people look at. */
export function barLine(pace: Pace, columns: number): string {
  const { phase, done, total, moved, images } = pace.progress;
  const front = images === undefined ? phase.padEnd(6) : `${images.ended}/${images.count} images`;
  const size = human(total || done);
  const end = [rate(moved, pace.seconds), ...ending(pace)].join(' | ');
  if (total === 0 && images === undefined) return fitting([`${front} ${size} | ${end}`, `${front} ${end}`], columns);
  const share = images?.share ?? Math.min(1, done / total);
  const percent = `${Math.floor(100 * share)}%`.padStart(4);
  const rest = ` ${percent} | ${size} | ${end}`;
  // The last column stays free: some terminals wrap when it is written.
  const width = Math.min(MAX_BAR, columns - 1 - front.length - 1 - rest.length);
  const withBar = width < MIN_BAR ? [] : [`${front} ${drawBar(share, width)}${rest}`];
  return fitting([...withBar, `${front}${rest}`, `${front} ${percent} | ${end}`], columns);
}

/** The first of `lines` that fits, or the last. */
const fitting = (lines: readonly string[], columns: number): string => lines.find((line) => line.length < columns) ?? lines.at(-1) ?? '';

function drawBar(share: number, width: number): string {
  const full = Math.floor(share * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

function ending({ progress, left, idle }: Pace): string[] {
  if (idle >= IDLE) return [`no data for ${Math.floor(idle)} s`];
  return progress.total > 0 ? [`${clock(left)} left`] : [];
}

/** A line for a log. */
export function logLine(pace: Pace): string {
  const { phase, done, total, moved, images } = pace.progress;
  // The length of a stream is unknown.
  const share = total > 0 ? `${Math.floor((100 * done) / total)}% of ${human(total)}` : human(done);
  const front =
    images === undefined ? `${phase} ${share}` : `${images.ended} of ${images.count} images, ${Math.floor(100 * images.share)}%`;
  return [front, `${human(moved)} of data`, rate(moved, pace.seconds), ...ending(pace)].join(', ');
}

/** The line before the first data. */
export const waitingLine = (seconds: number): string => `waiting, ${Math.floor(seconds)} s`;
