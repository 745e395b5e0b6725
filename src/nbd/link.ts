/** Link: a connection to an NBD server, plain or, from `secure` on, with TLS. */

import { connect, isIP, type Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { trustedCertificates } from '../host/certificates.ts';
import { reasonOf } from '../host/errno.ts';
import { createInbox } from './inbox.ts';
import type { NbdAddress } from './uri.ts';

export interface NbdLink {
  /** Fills `into` with the next bytes. Throws NBD_DROPPED, CANCELLED, or the error of `end`. */
  fill(into: Uint8Array): Promise<void>;
  send(bytes: Uint8Array): void;
  /** Whether the server must send something: then its silence ends the link. */
  expect(answer: boolean): void;
  /** Encrypts the connection. Throws NBD_TLS, NBD_PROTOCOL, CANCELLED. */
  secure(tlsName: string): Promise<void>;
  /** Closes the connection immediately. */
  end(error: VdiStreamError): void;
  /** Sends `last`, and resolves when the connection is closed. */
  close(last: Uint8Array): Promise<void>;
}

export interface NbdLinkOptions {
  /** PEM certificates to trust in addition to Node's own. */
  readonly ca: string | undefined;
  /** Milliseconds allowed for connecting, and for the TLS handshake. */
  readonly connectTimeout: number;
  /** Milliseconds to wait for the next byte of an answer. */
  readonly idleTimeout: number;
  /** Ends the link whenever it fires. */
  readonly signal: AbortSignal;
}

type LinkPhase = 'connect' | 'tls' | 'open';

/** The error of each phase, and how it begins. */
const FAILURES = {
  connect: { code: 'NBD_CONNECT', what: 'cannot connect' },
  tls: { code: 'NBD_TLS', what: 'TLS failed' },
  open: { code: 'NBD_DROPPED', what: 'the connection was lost' },
} as const;

/** Throws USAGE, NBD_CONNECT, CANCELLED. */
export async function openLink({ name, place }: NbdAddress, options: NbdLinkOptions): Promise<NbdLink> {
  const { connectTimeout, signal } = options;
  const ca = await trustedCertificates(options.ca);
  throwIfCancelled(signal);
  const plain = connect({ ...place, noDelay: true });
  let inbox = createInbox();
  let phase: LinkPhase = 'connect';
  let socket = plain;
  let fail = (_: VdiStreamError): void => {};
  const broken = new Promise<never>((_, reject) => {
    fail = reject;
  });
  broken.catch(() => {}); // whoever fills or waits gets the error

  function end(error: VdiStreamError): void {
    fail(error);
    inbox.end(error);
    socket.destroy();
    plain.destroy();
  }

  const failed = (reason: string, cause?: unknown): void =>
    end(new VdiStreamError(FAILURES[phase].code, `${name}: ${FAILURES[phase].what}: ${reason}`, { cause }));
  const cancel = (): void => end(new VdiStreamError('CANCELLED', 'cancelled', { cause: signal.reason }));
  signal.addEventListener('abort', cancel, { once: true });
  const closed = new Promise<void>((resolve) => plain.once('close', () => resolve()));
  void closed.then(() => signal.removeEventListener('abort', cancel));

  function watch(watched: Socket): void {
    watched.on('data', (chunk: Buffer) => inbox.push(chunk));
    watched.on('error', (cause) => failed(reasonOf(cause), cause));
    watched.on('close', () => failed('the server closed it'));
    watched.on('timeout', () => failed(`the server sent nothing for ${(watched.timeout ?? 0) / 1000} s`));
  }

  /** Waits until the handshake of TCP or TLS ends with this event. */
  async function reached(event: string): Promise<void> {
    const late = setTimeout(() => failed(`no connection within ${connectTimeout / 1000} s`), connectTimeout);
    const happened = new Promise<void>((resolve) => socket.once(event, () => resolve()));
    await Promise.race([happened, broken]).finally(() => clearTimeout(late));
    phase = 'open';
  }

  watch(plain);
  await reached('connect');
  return {
    fill: (into) => inbox.fill(into),
    send: (bytes) => void socket.write(bytes),
    expect: (answer) => void socket.setTimeout(answer ? options.idleTimeout : 0),
    async secure(tlsName) {
      const tls = await import('node:tls');
      // Anybody on the way could have put them there.
      if (inbox.held > 0) throw new VdiStreamError('NBD_PROTOCOL', `${name}: the server sent unencrypted bytes after it agreed to TLS`);
      phase = 'tls';
      plain.setTimeout(0).removeAllListeners('data');
      inbox = createInbox();
      socket = tls.connect({ socket: plain, ...verification(tlsName, ca) });
      watch(socket);
      await reached('secureConnect');
    },
    end,
    async close(last) {
      socket.setTimeout(connectTimeout);
      socket.end(last, () => end(new VdiStreamError('NBD_DROPPED', `${name}: closed`)));
      await closed;
    },
  };
}

/** It is on by default, but an environment variable could turn it off. An address is no name for the server (RFC 6066, 3). */
const verification = (tlsName: string, ca: readonly string[] | undefined): ConnectionOptions => ({
  host: tlsName,
  ...(isIP(tlsName) === 0 && { servername: tlsName }),
  ...(ca !== undefined && { ca: [...ca] }),
  rejectUnauthorized: true,
});
