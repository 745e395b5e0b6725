/** Download: an image of a web server as one unbroken stream of bytes, whatever happens to the connections that it comes through. */

import { setTimeout as sleep } from 'node:timers/promises';
import { MiB } from '../bytes.ts';
import type { Chunks } from '../cursor.ts';
import { hasRemedy, throwIfCancelled, VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import type { Digest, Opener } from '../source/source.ts';
import { digestsOf, streamSource } from '../source/stream.ts';
import type { OnWarning, Warning } from '../warnings.ts';
import { createHttp, type Http, type HttpAnswer, type HttpOptions, nameOf, statusError } from './client.ts';
import { type Facts, factsOf, hasRest, isProvable, type Progress, rangeError, restHeaders, UNPROVABLE } from './range.ts';
import { parseUrl } from './url.ts';

export interface DownloadOptions extends HttpOptions {
  /** What all bytes must hash to, where that is known before. The rest may then come from anywhere, also from another server. */
  readonly digest?: Digest | undefined;
  /** Bytes of the image, where that is known before. */
  readonly length?: number | undefined;
  /** For tests: waits between two attempts, in milliseconds. */
  readonly wait?: ((milliseconds: number, signal: AbortSignal) => Promise<unknown>) | undefined;
}

/** Milliseconds to wait once all servers have failed for the `round`th time, from 1 on: as Nova waits between its own attempts. */
export const pauseAfter = (round: number): number => Math.min(500 * 2 ** (round - 1), 15_000);

/** `pause` in milliseconds; `offset` is the byte that it goes on with. */
export const retryWarning = ({ message }: VdiStreamError, pause: number, offset?: number): Warning => ({
  code: 'HTTP_RETRY',
  message: `${message}; asking again${pause === 0 ? '' : ` in ${pause / 1000} s`}`,
  ...(offset === undefined ? {} : { offset }),
});

/**
 * Drops that are borne with whatever they bring, and beyond that one for each MiB that has come: a server that gives a byte a connection
 * makes progress each time, and would keep us for ever. An image of any size gets through a line that holds for a MiB at a time.
 */
const DROPS = 100;

/**
 * Asks the first address, then the others in turn where one fails in a way that another server may mend. Opening throws USAGE,
 * HTTP_CONNECT, HTTP_TLS, HTTP_AUTH, HTTP_NOT_FOUND, HTTP_STATUS, HTTP_SERVER, HTTP_REDIRECT, HTTP_DROPPED, CANCELLED, and HTTP_CHANGED
 * where the length is not the one that is known. Reading throws what asking again does, and HTTP_DROPPED, HTTP_RANGE or HTTP_CHANGED
 * with the byte as their offset.
 */
export function httpImage(urls: string | readonly string[], options: DownloadOptions = {}): Opener {
  const all = typeof urls === 'string' ? [urls] : urls;
  const name = nameOf(all[0] ?? '');
  return {
    name,
    async open(sourceOptions) {
      const { signal } = sourceOptions;
      if (all.length === 0) throw new VdiStreamError('USAGE', 'there is no address to fetch the image from');
      for (const url of all) parseUrl(url);
      throwIfCancelled(signal);
      const http = createHttp(options);
      const stop = new AbortController();
      const cancel = (): void => stop.abort(signal?.reason);
      signal?.addEventListener('abort', cancel);
      const close = async (): Promise<void> => {
        signal?.removeEventListener('abort', cancel);
        stop.abort();
        await http.close();
      };
      try {
        const digested = digestsOf(sourceOptions.sha256, options.digest).length > 0;
        const { length, bytes } = await download(all, http, {
          ...options,
          digested,
          signal: stop.signal,
          onWarning: sourceOptions.onWarning,
        });
        return streamSource(name, bytes, sourceOptions, { length, digest: options.digest, close });
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}

interface Task extends DownloadOptions {
  readonly onWarning: OnWarning | undefined;
  readonly digested: boolean;
  readonly signal: AbortSignal;
}

interface Download {
  readonly length: number | undefined;
  readonly bytes: Chunks;
}

/** Resolves with the headers of the first answer that has the image. */
async function download(urls: readonly string[], http: Http, task: Task): Promise<Download> {
  const { retries = 5, wait = (time, signal) => sleep(time, undefined, { signal }), digested, signal, onWarning: warn } = task;
  /** The addresses that are worth asking; the first one is the one that is asked. */
  let servers = [...urls];
  const said = new Map<string, Facts>();
  let { length } = task;
  let md5: string | undefined;
  let position = 0;
  /** In a row, without a byte of progress. */
  let failures = 0;
  let drops = 0;

  const progress = (url: string): Progress => ({ position, length, md5, server: said.get(url), digested });

  /** An answer that goes on at `position`; undefined where the image turns out to end there. */
  async function ask(url: string): Promise<HttpAnswer | undefined> {
    const headers = position === 0 ? {} : restHeaders(progress(url));
    const answer = await http.request(url, { headers, signal });
    try {
      if (position === 0) begin(answer);
      else if (!hasRest(answer, progress(url))) {
        await answer.close();
        return undefined;
      }
    } catch (error) {
      await answer.close();
      throw error;
    }
    const facts = factsOf(answer);
    length ??= facts.length;
    if (position === 0 || !said.has(url)) said.set(url, facts);
    return answer;
  }

  /** As long as nobody has a byte of it, any image will do that has the length that was told. */
  function begin(answer: HttpAnswer): void {
    const name = nameOf(answer.url);
    if (answer.status !== 200) throw statusError(name, answer.status);
    const facts = factsOf(answer);
    if (length !== undefined && facts.length !== undefined && facts.length !== length) throw wrongLength(name, facts.length, length);
    ({ md5 } = facts);
  }

  async function next(problem?: VdiStreamError): Promise<HttpAnswer | undefined> {
    for (let failed: unknown = problem; ; ) {
      if (failed !== undefined) await mend(failed);
      try {
        return await ask(servers[0] ?? '');
      } catch (error) {
        failed = error;
      }
    }
  }

  /** Chooses who is asked next, and waits once all have failed. Throws what cannot be mended. */
  async function mend(problem: unknown): Promise<void> {
    if (!(problem instanceof VdiStreamError)) throw problem;
    const [current = '', ...others] = position === 0 || digested ? servers : servers.slice(0, 1);
    if (hasRemedy(problem, 'source', 'elsewhere') && others.length > 0) {
      servers = others;
      return;
    }
    if (!hasRemedy(problem, 'source', 'again')) throw problem;
    servers = [...others, current];
    const name = nameOf(current);
    const tries = retries + 1;
    if (position > 0 && !isProvable(progress(current))) throw rangeError(name, position, UNPROVABLE, problem);
    if (++failures >= tries * servers.length) throw position === 0 ? problem : lost(name, `${failures} times in a row`, problem);
    if (position > 0 && ++drops > DROPS + position / MiB) throw lost(name, `${drops} times`, problem);
    const pause = failures % servers.length > 0 ? 0 : pauseAfter(failures / servers.length);
    warn?.(retryWarning(problem, pause, position));
    if (pause > 0) await orCancelled(wait(pause, signal), signal);
  }

  const lost = (name: string, often: string, cause: VdiStreamError): VdiStreamError =>
    new VdiStreamError('HTTP_DROPPED', `${name}: the connection was lost ${often}`, { offset: position, cause });

  async function* bytes(first: HttpAnswer | undefined): Chunks {
    for (let answer = first; answer !== undefined; ) {
      const name = nameOf(answer.url);
      let problem: VdiStreamError;
      try {
        for await (const chunk of answer.body) {
          if (length !== undefined && position + chunk.length > length) throw wrongLength(name, `more than ${length}`, length, position);
          position += chunk.length;
          failures = 0;
          yield chunk;
        }
        if (length === undefined) return;
        problem = new VdiStreamError('HTTP_DROPPED', `${name}: the answer ends after ${position} of ${length} bytes`);
      } catch (error) {
        if (!hasRemedy(error, 'source', 'again')) throw error;
        problem = error;
      }
      // What goes wrong behind the last byte is of no consequence.
      if (position === length) return;
      answer = await next(problem);
    }
  }

  const first = await next();
  return { length, bytes: bytes(first) };
}

const wrongLength = (name: string, found: number | string, expected: number, offset?: number): VdiStreamError =>
  new VdiStreamError('HTTP_CHANGED', `${name}: the image has ${found} bytes, and should have ${expected}`, { offset });
