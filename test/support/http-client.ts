/** A client that the test closes, an image to ask for, and a server that says nothing. */

import { onTestFinished } from 'vitest';
import { createHttp, type Http, type HttpOptions } from '../../src/http/client.ts';
import { noise } from './chunks.ts';
import { rawServer } from './http-server.ts';

export const image = noise(300_000, 1);

export function client(options?: HttpOptions): Http {
  const http = createHttp(options);
  onTestFinished(() => http.close());
  return http;
}

/** A server whose connections are made, and then nothing more comes. */
export const silent = (): ReturnType<typeof rawServer> => rawServer(() => {});
