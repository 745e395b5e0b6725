import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { httpSink, type UploadOptions } from '../../src/http/upload.ts';
import type { SinkOptions } from '../../src/sink/sink.ts';
import { certificateAuthority } from '../support/certificates.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { closedPort, rawServer } from '../support/http-server.ts';
import { testWith } from '../support/needs.ts';
import { type Script, type UploadServer, uploadServer } from '../support/upload-server.ts';

const image = noise(3_000_000, 1);
const SECRET = 'gAAAAABsecret';

interface Sending extends Partial<SinkOptions>, UploadOptions {
  readonly bytes?: Uint8Array;
  readonly piece?: number;
}

/** Sends the image in pieces, each of which is overwritten once the sink has taken it. */
async function put(
  url: string,
  { bytes = image, piece = 100_000, length, replace = true, signal, ...options }: Sending = {},
): Promise<void> {
  const sink = await httpSink(url, { headers: { 'X-Auth-Token': SECRET }, ...options }).open({ length, replace, signal });
  try {
    for (let at = 0; at < bytes.length; at += piece) {
      const copy = Uint8Array.from(bytes.subarray(at, at + piece));
      await sink.write(copy);
      copy.fill(0xaa);
    }
    await sink.finish();
  } catch (error) {
    await sink.abandon();
    expect(inspect(error, { depth: 10 })).not.toContain(SECRET);
    throw error;
  }
}

const scripted = (script: Script): Promise<UploadServer> => uploadServer({ script: () => script });
const received = ({ uploads }: UploadServer, number = 0): Buffer => Buffer.concat(uploads[number]?.chunks ?? []);

describe('an image is sent with one PUT', () => {
  test.each([10, 1000, 65_535, 65_536, 100_000, 3_000_000])(
    'in chunks, if its length is not known, from pieces of %i bytes',
    async (piece) => {
      const bytes = piece === 10 ? image.subarray(0, 2000) : image;
      const server = await uploadServer();
      await put(server.url('/a.tar.gz?sig=1'), { bytes, piece });
      expect(received(server).equals(bytes)).toBe(true);
      expect(server.uploads).toMatchObject([{ method: 'PUT', path: '/a.tar.gz?sig=1', complete: true }]);
      expect(server.uploads[0]?.headers).toMatchObject({
        'transfer-encoding': 'chunked',
        'content-type': 'application/octet-stream',
        'x-auth-token': SECRET,
      });
      expect(server.uploads[0]?.headers).not.toHaveProperty('content-length');
    },
  );

  test('with its length, if that is known', async () => {
    const server = await uploadServer();
    await put(server.url(), { length: image.length });
    expect(received(server).equals(image)).toBe(true);
    expect(server.uploads[0]?.headers['content-length']).toBe(String(image.length));
    expect(server.uploads[0]?.headers).not.toHaveProperty('transfer-encoding');
  });

  test('even if it is empty', async () => {
    const server = await uploadServer();
    await put(server.url(), { bytes: image.subarray(0, 0) });
    expect(server.uploads).toMatchObject([{ received: 0, complete: true }]);
  });

  test("with the caller's content type", async () => {
    const server = await uploadServer();
    await put(server.url(), { headers: { 'Content-Type': 'application/x-vhd' } });
    expect(server.uploads[0]?.headers['content-type']).toBe('application/x-vhd');
  });

  testWith('openssl')('over TLS, if the certificate is trusted', async () => {
    const authority = certificateAuthority(testFolder());
    const server = await uploadServer({ tls: authority.issue('IP:127.0.0.1') });
    await put(server.url(), { ca: authority.ca, piece: 1000 });
    expect(received(server).equals(image)).toBe(true);
    expect((await failure(put(server.url()))).code).toBe('HTTP_TLS');
    expect(server.uploads).toHaveLength(1);
  });

  test.each([200, 201, 204])('and %i means success', async (status) => {
    await put((await scripted({ status })).url());
  });

  test('and other statuses, if the caller says so', async () => {
    const server = await scripted({ status: 202 });
    await put(server.url(), { expected: [202] });
    expect(await failure(put(server.url(), { expected: [200] }))).toMatchObject({ code: 'HTTP_SERVER', status: 202 });
  });

  test('and the name shows neither user nor query', () => {
    expect(httpSink('https://host/a.vhd?token=x#y').name).toBe('https://host/a.vhd');
    expect(() => httpSink('https://me:pw@host/')).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(() => httpSink('https://host/', { answerTimeout: 0 })).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('what is there already', () => {
  test('is not replaced, unless the caller says so', async () => {
    const server = await uploadServer({ script: ({ headers }) => ({ status: headers['if-none-match'] === '*' ? 412 : 201 }) });
    expect(await failure(put(server.url(), { replace: false }))).toMatchObject({ code: 'TARGET_CONTENT', guard: 'content' });
    await put(server.url());
  });
});

const CLASSES: ReadonlyArray<readonly [string, boolean, readonly number[]]> = [
  ['UPLOAD_REFUSED', false, [400, 402, 405, 406, 409, 410, 412, 414, 415, 416, 417, 422, 423, 424, 426, 505, 510]],
  ['HTTP_AUTH', false, [401, 403, 407]],
  ['HTTP_NOT_FOUND', false, [404]],
  ['UPLOAD_LENGTH', false, [411, 501]],
  ['UPLOAD_TOO_LARGE', false, [413]],
  ['HTTP_SERVER', true, [202, 206, 304, 408, 429, 499, 500, 502, 503, 504, 507, 599]],
];
const ROWS = CLASSES.flatMap(([code, retryable, statuses]) => statuses.map((status) => ({ code, retryable, status })));

describe.each(ROWS)('HTTP status $status', ({ code, retryable, status }) => {
  test('after the image', async () => {
    const server = await scripted({ status });
    const error = await failure(put(server.url()));
    expect(error).toMatchObject({ code, status, retryable });
    expect(error.message).toContain(`HTTP status ${status}`);
    expect(server.uploads).toMatchObject([{ complete: true }]);
  });

  test('in the middle of the image ends the upload, which has no end then', async () => {
    const server = await scripted({ status, after: 1000 });
    const bytes = noise(20 << 20, 2);
    expect(await failure(put(server.url(), { bytes, piece: 1 << 20 }))).toMatchObject({ code, status });
    await server.uploads[0]?.closed;
    expect(server.uploads).toMatchObject([{ complete: false }]);
    expect(server.uploads[0]?.received).toBeLessThan(bytes.length);
  });
});

test('a status that only asks for a length is a refusal, if there was one', async () => {
  for (const status of [411, 501]) {
    const server = await scripted({ status });
    expect(await failure(put(server.url(), { length: image.length }))).toMatchObject({ code: 'UPLOAD_REFUSED', status });
  }
});

test('a refusal counts, even if the server closes the connection right after it, with unread data', async () => {
  for (let round = 0; round < 100; round++) {
    const server = await rawServer((socket) => {
      socket.pause();
      socket.write('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n', () => socket.destroy());
    });
    const sink = await httpSink(server.url()).open({ length: undefined, replace: true });
    const send = async (): Promise<void> => {
      for (let count = 0; count < 40; count++) await sink.write(image.subarray(0, 1 + (round % 4) * 400_000));
      await sink.finish();
    };
    expect(await failure(send())).toMatchObject({ code: 'UPLOAD_TOO_LARGE', status: 413 });
    await sink.abandon();
  }
});

describe('a server that does not do what it should', () => {
  test.each([undefined, image.length])('but says success before the image is complete is not believed (length %s)', async (length) => {
    const server = await scripted({ status: 201, after: 1000 });
    expect(await failure(put(server.url(), { length, piece: 10_000 }))).toMatchObject({ code: 'HTTP_SERVER', status: 201 });
    expect(server.uploads).toMatchObject([{ complete: false }]);
  });

  test('but answers as soon as it has all bytes is believed', async () => {
    for (let round = 0; round < 20; round++) {
      const server = await rawServer((socket, _, request) => {
        let bytes = request.length - request.indexOf('\r\n\r\n') - 4;
        const check = (): void => void (bytes === 1000 && socket.end('HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n'));
        check();
        socket.on('data', (chunk) => {
          bytes += chunk.length;
          check();
        });
      });
      const sink = await httpSink(server.url()).open({ length: 1000, replace: true });
      await sink.write(Buffer.alloc(1000, 'x'));
      if (round % 2 === 0) await server.idle();
      await sink.finish();
    }
  });

  test.each(['end', 'reset'] as const)('but closes the connection (%s) is HTTP_DROPPED, wherever it happens', async (how) => {
    for (const after of [0, 1000, 2_000_000, Number.POSITIVE_INFINITY]) {
      const server = await scripted({ how, after });
      expect(await failure(put(server.url()))).toMatchObject({ code: 'HTTP_DROPPED', retryable: true });
    }
  });

  test('but reads nothing is HTTP_DROPPED after the idle timeout', async () => {
    const server = await scripted({ how: 'silent', after: 0, stall: true });
    const error = await failure(put(server.url(), { bytes: noise(20 << 20, 2), piece: 1 << 20, idleTimeout: 200 }));
    expect(error).toMatchObject({ code: 'HTTP_DROPPED', message: expect.stringContaining('accepted nothing for 0.2 s') });
  });

  test('but never answers is HTTP_DROPPED after a timeout of its own', async () => {
    const server = await scripted({ how: 'silent' });
    expect(await failure(put(server.url(), { answerTimeout: 50 }))).toMatchObject({ code: 'HTTP_DROPPED' });
    expect(server.uploads).toMatchObject([{ complete: true }]);
  });

  test('but takes longer than the idle timeout to answer is waited for', async () => {
    const server = await uploadServer({ script: () => ({ how: 'silent' }) });
    const slow = await uploadServer({
      script: async ({ closed }) => {
        await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 2500))]);
        return {};
      },
    });
    await put(slow.url(), { idleTimeout: 1000, bytes: image.subarray(0, 1000) });
    expect(server.uploads).toEqual([]);
  });

  test.each([301, 302, 303, 307, 308])('but redirects with %i is HTTP_REDIRECT, and nothing is sent elsewhere', async (status) => {
    const other = await uploadServer();
    const server = await scripted({ status, headers: { location: other.url() } });
    expect(await failure(put(server.url()))).toMatchObject({ code: 'HTTP_REDIRECT', status });
    expect(other.uploads).toEqual([]);
  });

  test('but does not speak HTTP is HTTP_STATUS', async () => {
    const server = await rawServer((socket) => void socket.write('SSH-2.0-OpenSSH_9.2\r\n'));
    expect((await failure(put(server.url()))).code).toBe('HTTP_STATUS');
  });

  test('because nothing listens is HTTP_CONNECT', async () => {
    expect(await failure(put(`http://127.0.0.1:${closedPort()}/`))).toMatchObject({ code: 'HTTP_CONNECT', retryable: true });
  });
});

describe('an upload that is not finished', () => {
  test.each([undefined, image.length])('has no end, and its connection is closed (length %s)', async (length) => {
    const server = await uploadServer();
    const sink = await httpSink(server.url()).open({ length, replace: true });
    await sink.write(image.subarray(0, 1000));
    await vi.waitFor(() => expect(server.uploads).toMatchObject([{ received: 1000 }]));
    await sink.abandon();
    await server.uploads[0]?.closed;
    expect(server.uploads).toMatchObject([{ complete: false }]);
  });

  test('can be abandoned before its first byte, and while it is written', async () => {
    const server = await scripted({ how: 'silent', after: 0, stall: true });
    const sink = await httpSink(server.url()).open({ length: undefined, replace: true });
    await sink.abandon();
    const second = await httpSink(server.url()).open({ length: undefined, replace: true });
    const writing = failure(second.write(noise(20 << 20, 2)));
    await second.abandon();
    expect((await writing).code).toBe('CANCELLED');
  });

  test('is cancelled by its signal: while the server reads nothing, and while it does not answer', async () => {
    for (const script of [{ how: 'silent', after: 0, stall: true }, { how: 'silent' }] as const) {
      const stop = new AbortController();
      const server = await uploadServer({
        script: () => {
          setTimeout(() => stop.abort(new Error('enough')), 100);
          return script;
        },
      });
      const error = await failure(put(server.url(), { bytes: noise(20 << 20, 2), piece: 1 << 20, signal: stop.signal }));
      expect(error).toMatchObject({ code: 'CANCELLED', cause: { message: 'enough' } });
    }
  });
});
