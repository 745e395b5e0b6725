/** Download: an image on a web server as one unbroken stream of bytes, across dropped connections. */

import { checkOptions, checkText } from '../arguments.ts';
import type { Chunks } from '../cursor.ts';
import { hasRemedy, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { RETRIES } from '../host/backoff.ts';
import type { Digest, Opener, SourceIdentity } from '../source/source.ts';
import { digestsOf, streamSource } from '../source/stream.ts';
import { createHttp, type Http, type HttpOptions, statusError } from './client.ts';
import { type EarlyEnd, earlyEndOf, type HttpAnswer } from './exchange.ts';
import {
  hasRest,
  isProvable,
  type Representation,
  type ResumePoint,
  rangeError,
  representationOf,
  restHeaders,
  UNPROVABLE,
  validatorOf,
} from './range.ts';
import { createRetries, type Retries, silenceAfter } from './retry.ts';
import { parseUrl, redactUrl } from './url.ts';

export interface DownloadOptions extends HttpOptions {
  /** Digest of the whole image, if known beforehand. With it, a download may resume from another server. */
  readonly digest?: Digest | undefined;
  /** Bytes in the image, if known beforehand. */
  readonly length?: number | undefined;
  /** For tests: replaces the pause between two attempts, in milliseconds. */
  readonly wait?: ((milliseconds: number, signal: AbortSignal) => Promise<unknown>) | undefined;
}

/**
 * Tries the first address, then the others in turn if another server could help. Opening throws USAGE, HTTP_CONNECT, HTTP_TLS, HTTP_AUTH,
 * HTTP_NOT_FOUND, HTTP_STATUS, HTTP_SERVER, HTTP_REDIRECT, HTTP_DROPPED, CANCELLED, and HTTP_CHANGED if the length differs from
 * `length`. Reading throws the errors of the requests that resume, and HTTP_DROPPED, HTTP_SHORT, HTTP_RANGE or HTTP_CHANGED with the byte offset.
 */
export function httpImage(urls: string | URL | readonly (string | URL)[], options: DownloadOptions = {}): Opener {
  const servers = [urls].flat().map((url) => (url instanceof URL ? url.href : url));
  for (const url of servers) checkText('httpImage', 'the URL', url);
  checkOptions('httpImage', options);
  const { headers, ca, connectTimeout, idleTimeout, retries = RETRIES, digest, length: knownLength, wait } = options;
  const name = redactUrl(servers[0] ?? '');
  const open: Opener['open'] = async ({ sha256, signal, onWarning, onRead }) => {
    if (servers.length === 0) throw new VdiStreamError('USAGE', 'no URL for the image');
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
    const representations = new Map<string, Representation>();
    try {
      const { length, bytes } = await download({
        http,
        idleTimeout,
        signal: stop.signal,
        retries: createRetries({ retries, wait, signal: stop.signal, onWarning }),
        digested: digestsOf(sha256, digest).length > 0,
        servers,
        representations,
        position: 0,
        length: knownLength,
        md5: undefined,
      });
      const source = streamSource(name, bytes, { sha256, signal, onRead }, { length, digest, close });
      return { ...source, identity: remoteIdentity(representations) };
    } catch (error) {
      await close();
      throw error;
    }
  };
  return {
    name,
    open,
    // Not a HEAD request: a signed URL is often valid for GET only, and some servers describe an image differently.
    async identify(options) {
      const source = await open(options);
      await source.close();
      return source.identity;
    },
  };
}

/** Of what the first server to answer has described. */
function remoteIdentity(representations: ReadonlyMap<string, Representation>): SourceIdentity | undefined {
  for (const [url, representation] of representations) {
    const { etag, length } = representation;
    const validator = validatorOf(representation);
    // The query may hold a secret, so it is left out; then only an ETag distinguishes two images that differ in it.
    if (validator === undefined || (validator !== etag && new URL(url).search !== '')) return undefined;
    return ['url', redactUrl(url), String(length), validator];
  }
  return undefined;
}

/** The state of one download. */
interface Transfer {
  readonly http: Http;
  readonly idleTimeout: number | undefined;
  readonly signal: AbortSignal;
  readonly retries: Retries;
  /** Whether the bytes are compared with a digest at the end. */
  readonly digested: boolean;
  /** URLs still worth trying, the next one first. */
  servers: readonly string[];
  /** How each server first described its image. */
  readonly representations: Map<string, Representation>;
  /** Bytes received. */
  position: number;
  /** Bytes in the image, once known. */
  length: number | undefined;
  md5: string | undefined;
}

interface Download {
  readonly length: number | undefined;
  readonly bytes: Chunks;
}

/** Resolves once the headers of the first successful response have arrived. */
async function download(transfer: Transfer): Promise<Download> {
  const first = await nextAnswer(transfer);
  return { length: transfer.length, bytes: received(transfer, first) };
}

/** All bytes: those of the first response, then those of each response that resumes it. */
async function* received(transfer: Transfer, first: HttpAnswer | undefined): Chunks {
  for (let answer = first; answer !== undefined; ) {
    const name = redactUrl(answer.url);
    let problem: VdiStreamError;
    let ending: EarlyEnd | undefined;
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
      problem = new VdiStreamError('HTTP_DROPPED', `${name}: the response ended after ${position} of ${length} bytes`);
      ending = 'closed';
    } catch (error) {
      if (!hasRemedy(error, 'source', 'again')) throw error;
      problem = error;
      ending = earlyEndOf(error);
    }
    // After the last byte, a failure does no harm.
    if (transfer.position === transfer.length) return;
    answer = await nextAnswer(transfer, { problem, ending });
  }
}

/** Requests the image from `position` on until a server responds with it; undefined if the image ends there. */
async function nextAnswer(transfer: Transfer, dropped?: Failed): Promise<HttpAnswer | undefined> {
  for (let failed = dropped; ; ) {
    if (failed !== undefined) await chooseServer(transfer, failed);
    try {
      return await ask(transfer, transfer.servers[0] ?? '');
    } catch (problem) {
      failed = { problem, ending: undefined };
    }
  }
}

interface Failed {
  readonly problem: unknown;
  /** If a response ended. */
  readonly ending: EarlyEnd | undefined;
}

/** One such request. */
async function ask(transfer: Transfer, url: string): Promise<HttpAnswer | undefined> {
  const { http, signal, representations, position, idleTimeout, retries } = transfer;
  const headers = position === 0 ? {} : restHeaders(resumePoint(transfer, url));
  const answer = await http.request(url, { headers, signal, bodyTimeout: silenceAfter(retries.endings, idleTimeout) });
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

/** Before the first byte, any image of the expected length is accepted. */
function acceptFirst(transfer: Transfer, answer: HttpAnswer): void {
  const name = redactUrl(answer.url);
  if (answer.status !== 200) throw statusError(name, answer.status);
  const { length, md5 } = representationOf(answer);
  if (transfer.length !== undefined && length !== undefined && length !== transfer.length) throw wrongLength(name, length, transfer.length);
  transfer.md5 = md5;
}

/** Chooses the next server, and pauses once all have failed. Throws `problem` if a retry cannot help, HTTP_RANGE, HTTP_SHORT and HTTP_DROPPED. */
async function chooseServer(transfer: Transfer, { problem, ending }: Failed): Promise<void> {
  const { servers, position, length, digested, retries } = transfer;
  // Without a digest, only the server that sent the start can send the rest.
  const [current = '', ...others] = position === 0 || digested ? servers : servers.slice(0, 1);
  if (hasRemedy(problem, 'source', 'elsewhere') && others.length > 0) {
    transfer.servers = others;
    return;
  }
  if (!hasRemedy(problem, 'source', 'again')) throw problem;
  transfer.servers = [...others, current];
  const name = redactUrl(current);
  if (position > 0 && !isProvable(resumePoint(transfer, current))) throw rangeError(name, position, UNPROVABLE, problem);
  await retries.failed({ problem, name, servers: transfer.servers.length, position, length, ending });
}

const resumePoint = ({ position, length, md5, representations, digested }: Transfer, url: string): ResumePoint => ({
  position,
  length,
  md5,
  representation: representations.get(url),
  digested,
});

const wrongLength = (name: string, found: number | string, expected: number, offset?: number): VdiStreamError =>
  new VdiStreamError('HTTP_CHANGED', `${name}: the image has ${found} bytes, expected ${expected}`, { offset });
