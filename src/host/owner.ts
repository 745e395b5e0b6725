/**
 * Owner: the process that a file or a disk belongs to, which may outlive it, identified so that no other process is ever taken for it.
 *
 *   boot    /proc/sys/kernel/random/boot_id   another one after each start of the machine
 *   pid     used again in time
 *   start   field 22 of /proc/PID/stat        clock ticks from the start of the machine to that of the process (proc_pid_stat(5))
 */

import { readFileSync } from 'node:fs';
import { codeOf } from './errno.ts';

export interface Owner {
  readonly boot: string;
  readonly pid: number;
  /** Clock ticks since the machine was started, decimal: they may be more than a number holds. */
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

/** `<boot>.<pid>.<start>`, for names of files and tags: [0-9a-f.-] only. */
export const ownerText = ({ boot, pid, start }: Owner): string => `${boot}.${pid}.${start}`;

const TEXT = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9]\d{0,8})\.(0|[1-9]\d{0,19})$/;

/** Undefined for what `ownerText` would not have made. */
export function parseOwner(text: string): Owner | undefined {
  const [, boot, pid, start] = TEXT.exec(text) ?? [];
  return boot === undefined || start === undefined ? undefined : { boot, pid: Number(pid), start };
}

/** Whether the process still runs. A zombie does not. A process counts as alive where that cannot be known, so that it loses nothing. */
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

/** `PID (NAME) STATE …`: the name is the process's own choice, with spaces and parentheses too, so the last parenthesis is the one that counts. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // They begin with field 3.
  const [state = '', start = ''] = [fields[0], fields[22 - 3]];
  return { state, start };
}

/** /proc can be mounted so that it hides the processes of other users (hidepid). */
function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}
