/**
 * HTTP as a host of a pool speaks it, on one connection for one request. Not node:http: the body of a transfer has no length, which that
 * takes for no body.
 */

import type { Socket } from 'node:net';

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: BodyReader;
}

export interface BodyReader {
  /** So many bytes; undefined if the connection ends before. */
  take(count: number): Promise<Buffer | undefined>;
}

/** Undefined if the connection ends before the head does. */
export async function readRequest(socket: Socket): Promise<HttpRequest | undefined> {
  const chunks = socket[Symbol.asyncIterator]();
  let held: Buffer[] = [];
  let length = 0;
  async function more(): Promise<boolean> {
    const { done, value } = await chunks.next().catch(() => ({ done: true, value: undefined }));
    if (done) return false;
    held.push(value);
    length += value.length;
    return true;
  }
  async function take(count: number): Promise<Buffer | undefined> {
    while (length < count) if (!(await more())) return undefined;
    const all = Buffer.concat(held);
    held = [all.subarray(count)];
    length = all.length - count;
    return all.subarray(0, count);
  }
  let head = -1;
  while (head < 0) {
    if (!(await more())) return undefined;
    held = [Buffer.concat(held)];
    head = held[0]?.indexOf('\r\n\r\n') ?? -1;
  }
  const [line = '', ...fields] = String(await take(head + 4)).split('\r\n');
  const [method = '', target = ''] = line.split(' ');
  const url = new URL(target, 'https://host');
  const headers = new Map(
    fields
      .filter((field) => field !== '')
      .map((field): [string, string] => {
        const colon = field.indexOf(':');
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
      }),
  );
  return { method, path: url.pathname, query: url.searchParams, headers, body: { take } };
}

export function respond(socket: Socket, status: number, fields: Readonly<Record<string, string>>, body = ''): void {
  const lines = Object.entries({ connection: 'close', ...fields }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${status} OK\r\n${lines.join('')}\r\n${body}`);
}
