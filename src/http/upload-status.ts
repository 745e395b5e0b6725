/** The error for the status that a server answers an upload with. */

import { type ErrorCode, VdiStreamError } from '../errors.ts';

/**
 * Those that a retry does not change, and those that it may; Nova's plugin for XenServer has the same lists (plugins/glance.py of
 * os-xenapi). Any other status is unexpected, and retried.
 */
const FINAL: ReadonlyArray<readonly [ErrorCode, readonly number[]]> = [
  ['UPLOAD_REFUSED', [400, 402, 405, 406, 409, 410, 412, 414, 415, 416, 417, 422, 423, 424, 426, 505, 510]],
  ['HTTP_AUTH', [401, 403, 407]],
  ['HTTP_NOT_FOUND', [404]],
  ['UPLOAD_LENGTH', [411, 501]],
  ['UPLOAD_TOO_LARGE', [413]],
];

interface Upload {
  /** Bytes, if they were known before the first. */
  readonly length?: number | undefined;
}

export function uploadError(name: string, status: number, { length }: Upload = {}): VdiStreamError {
  const [code] = FINAL.find(([, statuses]) => statuses.includes(status)) ?? (['HTTP_SERVER'] as const);
  const what = status < 400 ? `unexpected HTTP status ${status}` : `HTTP status ${status}`;
  // Without a body of unknown length, there is nothing to advise about lengths.
  const actual = code === 'UPLOAD_LENGTH' && length !== undefined ? 'UPLOAD_REFUSED' : code;
  return new VdiStreamError(actual, `${name}: ${what}`, { status });
}
