/**
 * Range: requests the rest of an image after a drop, and checks that it belongs to the start (RFC 9110, 8.8, 13.1.5 and 14).
 *
 *   Range: bytes=N-            from byte N to the end
 *   If-Range: VALIDATOR        only if the image is unchanged; otherwise all of it, with status 200
 *   206  Content-Range: bytes N-E/TOTAL      the rest; TOTAL may be `*`
 *   416  Content-Range: bytes * /TOTAL       (without the space) the image ends at or before N
 */

import { VdiStreamError } from '../errors.ts';
import { statusError } from './client.ts';
import type { HttpAnswer } from './exchange.ts';
import { shortError } from './retry.ts';
import { redactUrl } from './url.ts';

/** How a response describes the whole image: its representation metadata (RFC 9110, 8). */
export interface Representation {
  readonly etag: string | undefined;
  readonly modified: string | undefined;
  readonly date: string | undefined;
  /** Of the whole image; Glance sends it even with a part, and sends no ETag. */
  readonly md5: string | undefined;
  /** Bytes. */
  readonly length: number | undefined;
}

/** Where a download resumes, and what identifies the image its start belongs to. */
export interface ResumePoint {
  /** Bytes received; the rest begins here. */
  readonly position: number;
  readonly length: number | undefined;
  readonly md5: string | undefined;
  /** How this server first described the image, if it did. ETags and dates of different servers are not comparable. */
  readonly representation: Representation | undefined;
  /** A digest is compared at the end, so no proof is needed here. */
  readonly digested: boolean;
}

export function representationOf({ status, headers }: HttpAnswer): Representation {
  const length = status === 200 ? wholeNumber(headers['content-length']) : contentRange(headers['content-range']).total;
  return { etag: headers.etag, modified: headers['last-modified'], date: headers.date, md5: headers['content-md5'], length };
}

/**
 * For If-Range: a strong ETag, else Last-Modified if the response's Date is at least a second later (RFC 9110, 8.8.2.2): two changes
 * within one second share a date.
 */
export function validatorOf({ etag, modified, date }: Representation): string | undefined {
  if (etag !== undefined && /^"[\x21\x23-\x7e]*"$/.test(etag)) return etag;
  const age = Date.parse(date ?? '') - Date.parse(modified ?? '');
  return age >= 1000 ? modified : undefined;
}

/** Whether anything can prove that the rest of the image belongs to its start. */
export const isProvable = ({ representation, md5, digested }: ResumePoint): boolean =>
  digested || md5 !== undefined || (representation !== undefined && validatorOf(representation) !== undefined);

export function restHeaders({ position, representation }: ResumePoint): Readonly<Record<string, string>> {
  const validator = representation === undefined ? undefined : validatorOf(representation);
  return { range: `bytes=${position}-`, ...(validator === undefined ? {} : { 'if-range': validator }) };
}

/**
 * True if the response holds the rest; false if the image ends at `position`, which can happen if its length was unknown. Throws
 * HTTP_CHANGED, HTTP_SHORT, HTTP_RANGE, or the error for the status.
 */
export function hasRest(answer: HttpAnswer, resume: ResumePoint): boolean {
  const { position, length, md5, representation: before, digested } = resume;
  const { status, headers } = answer;
  const name = redactUrl(answer.url);
  const now = representationOf(answer);
  if (![200, 206, 416].includes(status)) throw statusError(name, status);
  const differs = <T>(first: T | undefined, second: T | undefined): boolean =>
    first !== undefined && second !== undefined && first !== second;
  if (differs(md5, now.md5) || differs(before?.etag, now.etag) || differs(before?.modified, now.modified)) throw changed(name, position);
  if (length !== undefined && now.length !== undefined && length !== now.length) {
    if (status === 416 && now.length === position) throw shortError(name, { has: position, announced: length });
    throw changed(name, position, `: it has ${now.length} bytes, and had ${length}`);
  }
  if (status === 200) throw rangeError(name, position, 'the server sends only the whole image again');
  if (status === 416) {
    if (length !== undefined || now.length !== position) throw changed(name, position);
  } else {
    if (contentRange(headers['content-range']).start !== position) {
      throw rangeError(name, position, 'the server sends a different part of the image');
    }
    // A 206 may hold less than the rest.
    if (length === undefined && now.length === undefined) {
      throw rangeError(name, position, 'the server does not report the length of the image');
    }
  }
  const proven = digested || now.md5 !== undefined || restHeaders(resume)['if-range'] !== undefined;
  if (!proven) throw rangeError(name, position, UNPROVABLE);
  return status === 206;
}

export const UNPROVABLE = 'the server sends nothing that proves the image has not changed';

export const rangeError = (name: string, offset: number, reason: string, cause?: unknown): VdiStreamError =>
  new VdiStreamError('HTTP_RANGE', `${name}: the connection was lost, and ${reason}`, { offset, cause });

const changed = (name: string, offset: number, how = ''): VdiStreamError =>
  new VdiStreamError('HTTP_CHANGED', `${name}: the connection was lost, and the image on the server has changed${how}`, { offset });

/** RFC 9110, 14.4. */
function contentRange(field: string | undefined): { readonly start: number | undefined; readonly total: number | undefined } {
  const [, start, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/i.exec(field ?? '') ?? [];
  return { start: wholeNumber(start), total: wholeNumber(total) };
}

function wholeNumber(digits: string | undefined): number | undefined {
  const number = digits === undefined || !/^\d+$/.test(digits) ? Number.NaN : Number(digits);
  return Number.isSafeInteger(number) ? number : undefined;
}
