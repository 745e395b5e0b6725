/** Upload: an HTTP PUT as a sink. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { checkOptions, checkText } from '../arguments.ts';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import type { Sink, SinkOpener } from '../sink/sink.ts';
import { createHttp, type HttpOptions, IDLE_TIMEOUT } from './client.ts';
import type { HttpAnswer } from './exchange.ts';
import { type Outgoing, outgoingBody } from './outgoing.ts';
import { uploadError } from './upload-status.ts';
import { checkHeaders, type HeaderFields, parseUrl, redactUrl } from './url.ts';

export interface UploadOptions extends HttpOptions {
  /** The statuses that mean success; 200, 201 and 204 by default. */
  readonly expected?: readonly number[] | undefined;
  /**
   * Milliseconds to wait for the response once the last byte is sent; 30 minutes by default, because a server may move the image to its
   * store before it answers.
   */
  readonly answerTimeout?: number | undefined;
}

const SUCCESS = [200, 201, 204];
const ANSWER_TIMEOUT = 30 * 60_000;

/**
 * Sends the image to `url` with one PUT: with its length if that is known, else in chunks, whose end is sent only when the image is
 * complete. Redirects are not followed, and nothing is retried. Opening throws USAGE. Writing and finishing throw HTTP_CONNECT, HTTP_TLS,
 * HTTP_AUTH, HTTP_NOT_FOUND, HTTP_SERVER, HTTP_REDIRECT, HTTP_DROPPED, UPLOAD_REFUSED, UPLOAD_TOO_LARGE, UPLOAD_LENGTH, TARGET_CONTENT
 * and CANCELLED.
 */
export function httpSink(url: string, options: UploadOptions = {}): SinkOpener {
  checkText('httpSink', 'the URL', url);
  checkOptions('httpSink', options);
  const { headers = {}, ca, connectTimeout, idleTimeout = IDLE_TIMEOUT, expected = SUCCESS, answerTimeout = ANSWER_TIMEOUT } = options;
  parseUrl(url);
  const secret = checkHeaders(headers);
  const name = redactUrl(url);
  return {
    name,
    readable: false,
    async open({ length, replace, signal }) {
      const http = createHttp({ headers, ca, connectTimeout, idleTimeout });
      const body = outgoingBody(idleTimeout, () => body.fail(stalled(name, idleTimeout)));
      const fields: HeaderFields = {
        ...(secret['content-type'] === undefined && { 'content-type': 'application/octet-stream' }),
        ...(length !== undefined && { 'content-length': String(length) }),
        // RFC 9110, 13.1.2: the server refuses with 412 if something is there.
        ...(!replace && { 'if-none-match': '*' }),
      };
      const answered = http.request(url, { method: 'PUT', headers: fields, body: body.chunks, answerTimeout, signal });
      const errorOf = (status: number): VdiStreamError =>
        status === 412 && !replace ? occupied(name) : uploadError(name, status, { length });
      return putSink(body, answered, { name, length, expected, errorOf, close: () => http.close() });
    },
  };
}

const stalled = (name: string, idleTimeout: number): VdiStreamError =>
  new VdiStreamError('HTTP_DROPPED', `${name}: the server accepted nothing for ${idleTimeout / 1000} s`);

const occupied = (name: string): VdiStreamError =>
  new VdiStreamError('TARGET_CONTENT', `${name} exists already`, { status: 412, device: name });

interface Put {
  readonly name: string;
  readonly length: number | undefined;
  readonly expected: readonly number[];
  readonly errorOf: (status: number) => VdiStreamError;
  readonly close: () => Promise<void>;
}

/** Bytes between two looks at what the server has sent. */
const PIECE = MiB;

function putSink(body: Outgoing, answered: Promise<HttpAnswer>, { name, length, expected, errorOf, close }: Put): Sink {
  let sent = 0;
  /** A refusal ends the upload early. The server may answer before `finish` only if it has every byte. */
  const early = ({ status }: HttpAnswer): VdiStreamError | undefined => {
    if (!expected.includes(status)) return errorOf(status);
    if (sent === length) return undefined;
    return new VdiStreamError('HTTP_SERVER', `${name}: HTTP status ${status} before the image was complete`, { status });
  };
  let finishing = false;
  answered.then(
    (answer) => {
      const refusal = finishing ? undefined : early(answer);
      if (refusal === undefined) body.end();
      else body.fail(refusal);
    },
    (error: unknown) => body.fail(error),
  );

  return {
    async write(bytes) {
      for (let at = 0; at < bytes.length; at += PIECE) {
        const piece = bytes.subarray(at, at + PIECE);
        sent += piece.length;
        // Lets the socket read what has arrived: a refusal ends the upload.
        await nextTurn();
        await body.send(piece);
      }
    },
    async finish() {
      finishing = true;
      try {
        body.end();
        const { status } = await answered;
        if (!expected.includes(status)) throw errorOf(status);
      } finally {
        await close();
      }
    },
    async abandon() {
      body.fail(new VdiStreamError('CANCELLED', 'cancelled'));
      await close();
    },
  };
}
