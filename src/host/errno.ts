/** Errno: system errors, from Node and from the addon, whose errors have `errno`, `operation` and `offset`. */

import { constants } from 'node:os';
import { type ErrorCode, messageOf, VdiStreamError } from '../errors.ts';

/** The `code` of a Node system error, such as `ENOENT`; empty for anything else. */
export const codeOf = (cause: unknown): string => (cause instanceof Error && 'code' in cause ? String(cause.code) : '');

/** The errno of a Node system error, as a positive number. */
export function errnoOf(cause: unknown): number | undefined {
  if (!(cause instanceof Error) || !('errno' in cause) || typeof cause.errno !== 'number') return undefined;
  return Math.abs(cause.errno);
}

/** Whether `cause` is a system error with one of these names. The addon reports its number on this system, `node:fs` its name too. */
export function isErrno(cause: unknown, ...names: ReadonlyArray<keyof typeof constants.errno>): boolean {
  const [code, errno] = [codeOf(cause), errnoOf(cause)];
  return names.some((name) => code === name || errno === constants.errno[name]);
}

/** THREADS or MEMORY if the addon could not do its work at all for want of them. */
export function hostError(cause: unknown): VdiStreamError | undefined {
  const operation: unknown = cause instanceof Error ? Reflect.get(cause, 'operation') : undefined;
  if (operation === 'thread') return new VdiStreamError('THREADS', 'cannot start a thread', { errno: errnoOf(cause), cause });
  if (operation === 'allocate') return new VdiStreamError('MEMORY', 'cannot allocate buffers', { errno: errnoOf(cause), cause });
  return undefined;
}

/** Awaits `work`, and turns its error into a `hostError` if it is one. */
export const orHostError = <T>(work: Promise<T>): Promise<T> => work.catch((cause: unknown) => Promise.reject(hostError(cause) ?? cause));

/** `cause` if it is typed; otherwise a VdiStreamError with `code`, TARGET_FULL for ENOSPC, or a `hostError`, with the errno and offset from the addon. */
export function ioError(code: ErrorCode, path: string, cause: unknown): VdiStreamError {
  if (cause instanceof VdiStreamError) return cause;
  const ofHost = hostError(cause);
  if (ofHost !== undefined) return ofHost;
  const reason = messageOf(cause);
  const offset = cause instanceof Error && 'offset' in cause && typeof cause.offset === 'number' ? cause.offset : undefined;
  const where = { device: path, errno: errnoOf(cause), offset, cause };
  return new VdiStreamError(isErrno(cause, 'ENOSPC') ? 'TARGET_FULL' : code, `${path}: ${reason}`, where);
}

/** Awaits `work`, and turns its error into an `ioError`. */
export async function guarded<T>(code: ErrorCode, path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw ioError(code, path, cause);
  }
}

/** Each address of a host fails for its own reason, and Node's AggregateError has no message. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return cause.errors.map(reasonOf).join('; ');
  return messageOf(cause);
}
