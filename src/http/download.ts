/** Download: an image of a web server as one unbroken stream of bytes, whatever happens to the connections that it comes through. */

import type { Chunks } from '../cursor.ts';
import { hasRemedy, throwIfCancelled, VdiStreamError } from '../errors.ts';
import type { Digest, Opener } from '../source/source.ts';
import { digestsOf, streamSource } from '../source/stream.ts';
import { createHttp, type Http, type HttpOptions, statusError } from './client.ts';
import type { HttpAnswer } from './exchange.ts';
import {
  hasRest,
  isProvable,
  type Representation,
  type ResumePoint,
  rangeError,
  representationOf,
  restHeaders,
  UNPROVABLE,
} from './range.ts';
import { createRetries, RETRIES, type Retries } from './retry.ts';
import { parseUrl, redactUrl } from './url.ts';

export interface DownloadOptions extends HttpOptions {
  /** What all bytes must hash to, where that is known beforehand. Then the rest may come from anywhere, also from another server. */
  readonly digest?: Digest | undefined;
  /** Bytes of the image, where that is known beforehand. */
  readonly length?: number | undefined;
  /** For tests: waits between two attempts, in milliseconds. */
  readonly wait?: ((milliseconds: number, signal: AbortSignal) => Promise<unknown>) | undefined;
}

/**
 * Asks the first address, then the others one after the other where one fails in a way that another server may not. Opening throws USAGE,
 * HTTP_CONNECT, HTTP_TLS, HTTP_AUTH, HTTP_NOT_FOUND, HTTP_STATUS, HTTP_SERVER, HTTP_REDIRECT, HTTP_DROPPED, CANCELLED, and HTTP_CHANGED
 * where the length is not the one that is known. Reading throws what asking again does, and HTTP_DROPPED, HTTP_RANGE or HTTP_CHANGED
 * with the byte as their offset.
 */
export function httpImage(urls: string | readonly string[], options: DownloadOptions = {}): Opener {
  const { headers, ca, connectTimeout, idleTimeout, retries = RETRIES, digest, length: knownLength, wait } = options;
  const servers = typeof urls === 'string' ? [urls] : urls;
  const name = redactUrl(servers[0] ?? '');
  return {
    name,
    async open({ sha256, signal, onWarning, onRead }) {
      if (servers.length === 0) throw new VdiStreamError('USAGE', 'there is no address to fetch the image from');
      for (const url of servers) parseUrl(url);
      throwIfCancelled(signal);
      const http = createHttp({ headers, ca, connectTimeout, idleTimeout, retries });
      const stop = new AbortController();
      const cancel = (): void => stop.abort(signal?.reason);
      signal?.addEventListener('abort', cancel);
      const close = async (): Promise<void> => {
        signal?.removeEventListener('abort', cancel);
        stop.abort();
        await http.close();
      };
      try {
        const { length, bytes } = await download({
          http,
          signal: stop.signal,
          retries: createRetries({ retries, wait, signal: stop.signal, onWarning }),
          digested: digestsOf(sha256, digest).length > 0,
          servers,
          representations: new Map(),
          position: 0,
          length: knownLength,
          md5: undefined,
        });
        return streamSource(name, bytes, { sha256, signal, onRead }, { length, digest, close });
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}

/** A download under way. */
interface Transfer {
  readonly http: Http;
  readonly signal: AbortSignal;
  readonly retries: Retries;
  /** The bytes are compared with a digest at the end. */
  readonly digested: boolean;
  /** The addresses that are worth asking; the first one is asked next. */
  servers: readonly string[];
  /** What each server said first about its image. */
  readonly representations: Map<string, Representation>;
  /** Bytes that have come. */
  position: number;
  /** Bytes of the image, once they are known. */
  length: number | undefined;
  md5: string | undefined;
}

interface Download {
  readonly length: number | undefined;
  readonly bytes: Chunks;
}

/** Resolves with the headers of the first answer that has the image. */
async function download(transfer: Transfer): Promise<Download> {
  const first = await nextAnswer(transfer);
  return { length: transfer.length, bytes: received(transfer, first) };
}

/** All bytes, from that answer and those that come after it. */
async function* received(transfer: Transfer, first: HttpAnswer | undefined): Chunks {
  for (let answer = first; answer !== undefined; ) {
    const name = redactUrl(answer.url);
    let problem: VdiStreamError;
    try {
      for await (const chunk of answer.body) {
        const { position, length } = transfer;
        if (length !== undefined && position + chunk.length > length) throw wrongLength(name, `more than ${length}`, length, position);
        transfer.position += chunk.length;
        transfer.retries.progressed();
        yield chunk;
      }
      const { position, length } = transfer;
      if (length === undefined) return;
      problem = new VdiStreamError('HTTP_DROPPED', `${name}: the answer ends after ${position} of ${length} bytes`);
    } catch (error) {
      if (!hasRemedy(error, 'source', 'again')) throw error;
      problem = error;
    }
    // What goes wrong after the last byte is of no consequence.
    if (transfer.position === transfer.length) return;
    answer = await nextAnswer(transfer, problem);
  }
}

/** The next answer that has the image from `position` on, after as many attempts as it takes; undefined where the image ends there. */
async function nextAnswer(transfer: Transfer, problem?: VdiStreamError): Promise<HttpAnswer | undefined> {
  for (let failed: unknown = problem; ; ) {
    if (failed !== undefined) await chooseServer(transfer, failed);
    try {
      return await ask(transfer, transfer.servers[0] ?? '');
    } catch (error) {
      failed = error;
    }
  }
}

/** An answer that has the image from `position` on; undefined where the image turns out to end there. */
async function ask(transfer: Transfer, url: string): Promise<HttpAnswer | undefined> {
  const { http, signal, representations, position } = transfer;
  const headers = position === 0 ? {} : restHeaders(resumePoint(transfer, url));
  const answer = await http.request(url, { headers, signal });
  try {
    if (position === 0) acceptFirst(transfer, answer);
    else if (!hasRest(answer, resumePoint(transfer, url))) {
      await answer.close();
      return undefined;
    }
  } catch (error) {
    await answer.close();
    throw error;
  }
  const representation = representationOf(answer);
  transfer.length ??= representation.length;
  if (position === 0 || !representations.has(url)) representations.set(url, representation);
  return answer;
}

/** Before the first byte has come, any image will do that has the length that is known. */
function acceptFirst(transfer: Transfer, answer: HttpAnswer): void {
  const name = redactUrl(answer.url);
  if (answer.status !== 200) throw statusError(name, answer.status);
  const { length, md5 } = representationOf(answer);
  if (transfer.length !== undefined && length !== undefined && length !== transfer.length) throw wrongLength(name, length, transfer.length);
  transfer.md5 = md5;
}

/** Chooses the server to ask next, and waits once all have failed. Throws `problem` where asking does not help, HTTP_RANGE, HTTP_DROPPED. */
async function chooseServer(transfer: Transfer, problem: unknown): Promise<void> {
  const { servers, position, digested, retries } = transfer;
  // Without a digest, the rest can only come from the server that has given the start.
  const [current = '', ...others] = position === 0 || digested ? servers : servers.slice(0, 1);
  if (hasRemedy(problem, 'source', 'elsewhere') && others.length > 0) {
    transfer.servers = others;
    return;
  }
  if (!hasRemedy(problem, 'source', 'again')) throw problem;
  transfer.servers = [...others, current];
  const name = redactUrl(current);
  if (position > 0 && !isProvable(resumePoint(transfer, current))) throw rangeError(name, position, UNPROVABLE, problem);
  await retries.failed({ problem, name, servers: transfer.servers.length, position });
}

const resumePoint = ({ position, length, md5, representations, digested }: Transfer, url: string): ResumePoint => ({
  position,
  length,
  md5,
  representation: representations.get(url),
  digested,
});

const wrongLength = (name: string, found: number | string, expected: number, offset?: number): VdiStreamError =>
  new VdiStreamError('HTTP_CHANGED', `${name}: the image has ${found} bytes, and should have ${expected}`, { offset });
