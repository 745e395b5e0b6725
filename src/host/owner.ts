/**
 * Owner: the process that a file or a disk belongs to. It is identified so that no later process, and none of another container, can be
 * mistaken for it.
 *
 *   boot         /proc/sys/kernel/random/boot_id   changes on each boot; all containers of a host share it
 *   namespace    /proc/self/ns/pid                 inode number of the pid namespace (pid_namespaces(7))
 *   pid          in that namespace                 reused in time
 *   start        field 22 of /proc/PID/stat        clock ticks from boot to the start of the process (proc_pid_stat(5))
 *
 * Without /proc, as on macOS and Windows, only the pid identifies it: a later process may be mistaken for it, and then counts as alive.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { codeOf } from './errno.ts';

export interface Owner {
  readonly boot: string;
  /** As decimal text; absent from the older form. */
  readonly namespace?: string;
  readonly pid: number;
  /** Clock ticks since boot, as decimal text, since they may exceed the range of a number. */
  readonly start: string;
}

let self: Required<Owner> | undefined;

/** This process. */
export function thisOwner(): Required<Owner> {
  self ??= fromProc() ?? { boot: NO_BOOT, namespace: '1', pid: process.pid, start: '0' };
  return self;
}

/** In the place of a boot that is not known. */
const NO_BOOT = '00000000-0000-0000-0000-000000000000';

/** Undefined without /proc. */
function fromProc(): Required<Owner> | undefined {
  try {
    return {
      boot: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
      namespace: namespaceOf('self'),
      pid: process.pid,
      start: parseStat(readFileSync('/proc/self/stat', 'latin1')).start,
    };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** `pid:[4026531836]` is the link. */
const namespaceOf = (process: string): string => readlinkSync(`/proc/${process}/ns/pid`).replace(/\D+/g, '');

/** `2.<boot>.<namespace>.<pid>.<start>`, for file names and tags; only [0-9a-f.-]. The 2 is the version of this form. */
export const ownerText = ({ boot, namespace, pid, start }: Required<Owner>): string => `2.${boot}.${namespace}.${pid}.${start}`;

const BOOT = '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})';
/** The older form has neither version nor namespace. */
const TEXT = new RegExp(`^(?:2\\.${BOOT}\\.([1-9]\\d{0,9})|${BOOT})\\.([1-9]\\d{0,8})\\.(0|[1-9]\\d{0,19})$`);

/** Undefined for text that `ownerText`, in this version or an older one, does not produce. */
export function parseOwner(text: string): Owner | undefined {
  const [, current, namespace, older, pid, start] = TEXT.exec(text) ?? [];
  const boot = current ?? older;
  if (boot === undefined || start === undefined) return undefined;
  return { boot, ...(namespace !== undefined && { namespace }), pid: Number(pid), start };
}

/**
 * Whether the process still runs; a zombie does not. If in doubt it counts as alive, so that nothing of it is removed: a container cannot see
 * the processes of the host and of other containers, and the older form does not say which pid was counted in which namespace.
 */
export function isAlive({ boot, namespace, pid, start }: Owner): boolean {
  const here = thisOwner();
  if (boot !== here.boot) return boot === NO_BOOT || here.boot === NO_BOOT;
  if (boot === NO_BOOT) return isThere(pid);
  if (namespace === undefined || !isProcOfThisNamespace()) return true;
  return namespace === here.namespace ? isRunning(pid, start) : isRunningElsewhere(namespace, pid, start);
}

/** Whether /proc has the pids of this process's namespace. Some containers mount that of the host. */
const isProcOfThisNamespace = (): boolean => readlinkSync('/proc/self') === String(process.pid);

function isRunning(pid: number, start: string): boolean {
  try {
    return isSame(String(pid), start);
  } catch {
    return isThere(pid);
  }
}

/** Of the initial namespace, in which all processes are visible (linux/proc_ns.h: PROC_PID_INIT_INO). */
const INITIAL = String(0xeffffffc);

/** Whether the process with this pid in another namespace still runs. Only the initial namespace is certain that it does not. */
function isRunningElsewhere(namespace: string, pid: number, start: string): boolean {
  if (thisOwner().namespace !== INITIAL) return true;
  return readdirSync('/proc').some((process) => {
    if (!/^\d+$/.test(process)) return false;
    try {
      const status = readFileSync(`/proc/${process}/status`, 'latin1');
      // One pid for each namespace that the process is in: first the pid here, last its own.
      const pids = /^NSpid:\t(.*)$/m.exec(status)?.[1]?.split('\t');
      if (pids === undefined) return namespaceOf(process) === namespace; // before Linux 4.1
      if (pids.length === 1 || Number(pids.at(-1)) !== pid) return false;
      return namespaceOf(process) === namespace && isSame(process, start);
    } catch (error) {
      // It runs, but this user may not look at its namespace; any other error means that it has just ended.
      return ['EACCES', 'EPERM'].includes(codeOf(error));
    }
  });
}

interface ProcessStat {
  readonly state: string;
  readonly start: string;
}

/** Whether the process in /proc runs, and started then. In another time namespace, the clock may be a different one (time_namespaces(7)). */
function isSame(process: string, expected: string): boolean {
  const { state, start } = parseStat(readFileSync(`/proc/${process}/stat`, 'latin1'));
  return state !== 'Z' && state !== 'X' && (start === expected || timeOf(process) !== timeOf('self'));
}

/** Undefined for a process that this user may not look at, and on a kernel without time namespaces. */
function timeOf(process: string): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/ns/time`);
  } catch {
    return undefined;
  }
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
