/**
 * Range: the rest of an image, asked for after a drop, and whether it belongs to what came before (RFC 9110, 8.8, 13.1.5 and 14).
 *
 *   Range: bytes=N-            from byte N to the end
 *   If-Range: VALIDATOR        only if the image is still that one; otherwise the whole of it, as 200
 *   206  Content-Range: bytes N-E/TOTAL      the rest; TOTAL may be `*`
 *   416  Content-Range: bytes * /TOTAL       (without the space) there is nothing at N
 */

import { VdiStreamError } from '../errors.ts';
import { statusError } from './client.ts';
import type { HttpAnswer } from './exchange.ts';
import { redactUrl } from './url.ts';

/** What an answer says about the whole image: its metadata as a representation (RFC 9110, 8). */
export interface Representation {
  readonly etag: string | undefined;
  readonly modified: string | undefined;
  readonly date: string | undefined;
  /** Of all bytes; Glance sends it with the parts as well, and no ETag. */
  readonly md5: string | undefined;
  /** Bytes. */
  readonly length: number | undefined;
}

/** Where an image is resumed, and what is known of the one that its start belongs to. */
export interface ResumePoint {
  /** Bytes that are there; the rest begins here. */
  readonly position: number;
  readonly length: number | undefined;
  readonly md5: string | undefined;
  /** What the server that is asked said first, if it was asked before. ETags and dates of different servers cannot be compared. */
  readonly representation: Representation | undefined;
  /** The bytes are compared with a digest at the end, so that no proof is needed here. */
  readonly digested: boolean;
}

export function representationOf({ status, headers }: HttpAnswer): Representation {
  const length = status === 200 ? wholeNumber(headers['content-length']) : contentRange(headers['content-range']).total;
  return { etag: headers.etag, modified: headers['last-modified'], date: headers.date, md5: headers['content-md5'], length };
}

/**
 * For If-Range: a strong ETag, else the date of the last change, if the answer was made at least a second later (RFC 9110, 8.8.2.2): an
 * image that is changed twice within a second keeps its date.
 */
function validatorOf({ etag, modified, date }: Representation): string | undefined {
  if (etag !== undefined && /^"[\x21\x23-\x7e]*"$/.test(etag)) return etag;
  const age = Date.parse(date ?? '') - Date.parse(modified ?? '');
  return age >= 1000 ? modified : undefined;
}

/** Whether there is any way to know that the rest of an image belongs to its start. */
export const isProvable = ({ representation, md5, digested }: ResumePoint): boolean =>
  digested || md5 !== undefined || (representation !== undefined && validatorOf(representation) !== undefined);

export function restHeaders({ position, representation }: ResumePoint): Readonly<Record<string, string>> {
  const validator = representation === undefined ? undefined : validatorOf(representation);
  return { range: `bytes=${position}-`, ...(validator === undefined ? {} : { 'if-range': validator }) };
}

/**
 * Whether the answer has the rest; false where the image ends at `position`, which an answer without a length left open. Throws
 * HTTP_CHANGED, HTTP_RANGE, or what the status says.
 */
export function hasRest(answer: HttpAnswer, resume: ResumePoint): boolean {
  const { position, length, md5, representation: before, digested } = resume;
  const { status, headers } = answer;
  const name = redactUrl(answer.url);
  const now = representationOf(answer);
  if (![200, 206, 416].includes(status)) throw statusError(name, status);
  const pairs = [
    [length, now.length],
    [md5, now.md5],
    [before?.etag, now.etag],
    [before?.modified, now.modified],
  ];
  if (pairs.some(([first, second]) => first !== undefined && second !== undefined && first !== second)) throw changed(name, position);
  if (status === 200) throw rangeError(name, position, 'the server gives only the whole image again');
  if (status === 416) {
    if (length !== undefined || now.length !== position) throw changed(name, position);
  } else {
    if (contentRange(headers['content-range']).start !== position) {
      throw rangeError(name, position, 'the server gives another part of the image');
    }
    // It may be less than all of the rest.
    if (length === undefined && now.length === undefined) {
      throw rangeError(name, position, 'the server does not tell where its image ends');
    }
  }
  const proven = digested || now.md5 !== undefined || restHeaders(resume)['if-range'] !== undefined;
  if (!proven) throw rangeError(name, position, UNPROVABLE);
  return status === 206;
}

export const UNPROVABLE = 'nothing that the server says can tell whether its image is still the same';

export const rangeError = (name: string, offset: number, reason: string, cause?: unknown): VdiStreamError =>
  new VdiStreamError('HTTP_RANGE', `${name}: the connection was lost, and ${reason}`, { offset, cause });

const changed = (name: string, offset: number): VdiStreamError =>
  new VdiStreamError('HTTP_CHANGED', `${name}: the connection was lost, and the server now has another image`, { offset });

/** RFC 9110, 14.4. */
function contentRange(field: string | undefined): { readonly start: number | undefined; readonly total: number | undefined } {
  const [, start, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/i.exec(field ?? '') ?? [];
  return { start: wholeNumber(start), total: wholeNumber(total) };
}

function wholeNumber(digits: string | undefined): number | undefined {
  const number = digits === undefined || !/^\d+$/.test(digits) ? Number.NaN : Number(digits);
  return Number.isSafeInteger(number) ? number : undefined;
}
