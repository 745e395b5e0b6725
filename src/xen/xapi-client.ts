/**
 * Client of XAPI: calls by JSON-RPC 2.0, each on a connection of its own, in a session on the master of the pool (XAPI's wire protocol). The
 * session and the password are in no message.
 */

import type { TLSSocket } from 'node:tls';
import { MiB } from '../bytes.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { refusalError } from './refusal.ts';
import { COMMAND_TIMEOUT } from './toolstack.ts';
import { connectTls, type Trust } from './xapi-connection.ts';

/** Milliseconds, as in XapiOptions. */
interface XapiTimes {
  readonly timeout?: number | undefined;
  readonly grace?: number | undefined;
}

/** What XAPI answers: a result, or a refusal. */
type XapiAnswer = { readonly result: unknown } | { readonly code: string; readonly params: readonly string[] };

export interface XapiCalls {
  /**
   * Throws XAPI_CONNECTION, after which the call may or may not have taken effect, and CANCELLED if the signal has fired before the call
   * starts.
   */
  ask(method: string, params: readonly unknown[], signal?: AbortSignal): Promise<XapiAnswer>;
  /** Resolves with the result. Throws the error for a refusal too. */
  call(method: string, params: readonly unknown[], signal?: AbortSignal): Promise<unknown>;
}

/** More than all VDIs of a large pool have. */
const MAX_ANSWER = 256 * MiB;
const CONNECT_TIMEOUT = 10_000;

/** `secrets` returns what no message may show. */
export function xapiCalls(url: URL, trust: Trust, times: XapiTimes, secrets: () => readonly string[]): XapiCalls {
  const { timeout = COMMAND_TIMEOUT, grace = 10_000 } = times;
  let id = 0;
  async function ask(method: string, params: readonly unknown[], signal?: AbortSignal): Promise<XapiAnswer> {
    const socket = await connectTls(url, trust, { timeout: Math.min(timeout, CONNECT_TIMEOUT), signal });
    const limit = limitTime(socket, { timeout, grace, signal });
    const body = JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params });
    const response = await post(socket, url, body)
      .catch((cause: unknown) => {
        const reason = limit.isLate() ? 'did not finish in time' : `lost the connection: ${messageOf(cause)}`;
        throw new VdiStreamError('XAPI_CONNECTION', `${url.host}: ${method} ${reason}`);
      })
      .finally(limit.end);
    return answerIn(response, `${url.host}: ${method}`);
  }
  return {
    ask,
    async call(method, params, signal) {
      const answer = await ask(method, params, signal);
      if ('result' in answer) return answer.result;
      const { code, params: details } = answer;
      throw xapiRefusal(code, without(secrets(), `${method}: ${[code, ...details].join(', ')}`));
    },
  };
}

/** The error for a code of XAPI. */
export const xapiRefusal = (code: string, message: string): VdiStreamError =>
  refusalError(code, message.slice(0, MAX_SHOWN), 'XAPI_FAILED');

const MAX_SHOWN = 500;

const without = (secrets: readonly string[], text: string): string =>
  secrets.filter((secret) => secret !== '').reduce((shown, secret) => shown.replaceAll(secret, '…'), text);

interface Limit {
  isLate(): boolean;
  end(): void;
}

interface LimitOptions {
  readonly timeout: number;
  readonly grace: number;
  readonly signal: AbortSignal | undefined;
}

/** Destroys the socket when the time is up: `grace` after a cancel, since the call may be one that changes something. */
function limitTime(socket: TLSSocket, { timeout, grace, signal }: LimitOptions): Limit {
  let late = false;
  const give = (milliseconds: number): NodeJS.Timeout =>
    setTimeout(() => {
      late = true;
      socket.destroy();
    }, milliseconds);
  let timer = give(timeout);
  const shorten = (): void => {
    clearTimeout(timer);
    timer = give(Math.min(timeout, grace));
  };
  if (signal?.aborted) shorten();
  signal?.addEventListener('abort', shorten, { once: true });
  return {
    isLate: () => late,
    end() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', shorten);
      socket.destroy();
    },
  };
}

interface HttpResponse {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** `node:http` is loaded only here: on Node 22, with it comes WebAssembly, which reserves 10 GB of the address space. */
async function post(socket: TLSSocket, url: URL, body: string): Promise<HttpResponse> {
  const { request } = await import('node:http');
  return new Promise((resolve, reject) => {
    const headers = { host: url.host, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request({ method: 'POST', path: '/jsonrpc', headers, createConnection: () => socket });
    sent.once('error', reject);
    // Without a response, or before its end.
    sent.once('close', () => reject(new Error('the host closed the connection')));
    sent.once('response', (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_ANSWER) response.destroy(new Error('the response is too long'));
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers: fields } = response;
        resolve({ status, type: fields['content-type'] ?? '', text: Buffer.concat(chunks).toString() });
      });
    });
    sent.end(body);
  });
}

/** `what`: for messages. */
function answerIn({ status, type, text }: HttpResponse, what: string): XapiAnswer {
  // As while the toolstack restarts.
  if (status === 502 || status === 503) throw new VdiStreamError('XAPI_CONNECTION', `${what}: HTTP status ${status}`, { status });
  const failed = (reason: string): VdiStreamError => new VdiStreamError('XAPI_FAILED', `${what}: ${reason}`, { status });
  if (status !== 200) throw failed(`HTTP status ${status}`);
  if (type.startsWith('text/xml')) throw failed('the host is too old: it does not support JSON-RPC');
  const answer = parsed(text);
  if (typeof answer !== 'object' || answer === null) throw failed('the response is not JSON-RPC');
  const error: unknown = Reflect.get(answer, 'error');
  if (error !== undefined && error !== null) return refusalIn(error);
  if (!('result' in answer)) throw failed('the response has no result');
  return { result: answer.result };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Hosts before XenServer 7.3 return an array, later ones an object with `message` and `data`. */
function refusalIn(error: unknown): XapiAnswer {
  const { message, data } = typeof error === 'object' && error !== null ? { message: '', data: [], ...error } : { message: '', data: [] };
  const [code = '', ...params] = Array.isArray(error) ? error : [message, ...(Array.isArray(data) ? data : [])];
  return { code: String(code), params: params.map(String) };
}
