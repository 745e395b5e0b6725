/** SystemError: errors in the form of the addon's, for what `node:fs` reports in its own or not at all. */

import { constants } from 'node:os';
import { messageOf } from '../errors.ts';
import { codeOf, errnoOf } from './errno.ts';

interface Where {
  /** The byte of the file. */
  readonly offset?: number | undefined;
  readonly cause?: unknown;
}

type ErrnoName = keyof typeof constants.errno;

const MEANINGS: Partial<Record<ErrnoName, string>> = {
  ENOMEM: 'Cannot allocate memory',
  ENOSPC: 'No space left on device',
  ENODATA: 'No data available',
  EOPNOTSUPP: 'Operation not supported',
};

/** One that `node:fs` has no reason to report. */
export function systemError(name: ErrnoName, operation: string, { offset, cause }: Where = {}): Error {
  const error = new Error(`${operation}: ${MEANINGS[name] ?? name}`, { cause });
  return Object.assign(error, { code: name, errno: constants.errno[name], operation, ...(offset !== undefined && { offset }) });
}

/** What `node:fs` threw, with the operation and the offset. */
export function operationError(operation: string, cause: unknown, offset?: number): Error {
  const error = new Error(`${operation}: ${messageOf(cause)}`, { cause });
  return Object.assign(error, { code: codeOf(cause), errno: errnoOf(cause), operation, ...(offset !== undefined && { offset }) });
}
