/**
 * Owner: the process that a file or a disk belongs to. It is identified so that no later process can be mistaken for it.
 *
 *   boot    /proc/sys/kernel/random/boot_id   changes on each boot
 *   pid     reused in time
 *   start   field 22 of /proc/PID/stat        clock ticks from boot to the start of the process (proc_pid_stat(5))
 */

import { readFileSync } from 'node:fs';
import { codeOf } from './errno.ts';

export interface Owner {
  readonly boot: string;
  readonly pid: number;
  /** Clock ticks since boot, as decimal text, since they may exceed the range of a number. */
  readonly start: string;
}

let self: Owner | undefined;

/** This process. */
export function thisOwner(): Owner {
  self ??= {
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    pid: process.pid,
    start: parseStat(readFileSync('/proc/self/stat', 'latin1')).start,
  };
  return self;
}

/** `<boot>.<pid>.<start>`, for file names and tags; only [0-9a-f.-]. */
export const ownerText = ({ boot, pid, start }: Owner): string => `${boot}.${pid}.${start}`;

const TEXT = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9]\d{0,8})\.(0|[1-9]\d{0,19})$/;

/** Undefined for text that `ownerText` does not produce. */
export function parseOwner(text: string): Owner | undefined {
  const [, boot, pid, start] = TEXT.exec(text) ?? [];
  return boot === undefined || start === undefined ? undefined : { boot, pid: Number(pid), start };
}

/** Whether the process still runs; a zombie does not. If in doubt it counts as alive, so that nothing of it is removed. */
export function isAlive({ boot, pid, start }: Owner): boolean {
  if (boot !== thisOwner().boot) return false;
  let found: ProcessStat;
  try {
    found = parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return isThere(pid);
  }
  return found.start === start && found.state !== 'Z' && found.state !== 'X';
}

interface ProcessStat {
  readonly state: string;
  readonly start: string;
}

/** Parses `PID (NAME) STATE …`. The name may contain spaces and parentheses, so it ends at the last parenthesis. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // The first one is field 3.
  const [state = '', start = ''] = [fields[0], fields[22 - 3]];
  return { state, start };
}

/** Whether the process exists, even if /proc hides it (mount option hidepid). */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}
