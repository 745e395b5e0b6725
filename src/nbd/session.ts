/** Session: requests to an NBD server, several at a time, and the replies, in any order. */

import type { Range } from '../disk/disk.ts';
import { rejection, VdiStreamError } from '../errors.ts';
import { type NbdExport, negotiate } from './handshake.ts';
import { type NbdLink, type NbdLinkOptions, openLink } from './link.ts';
import { COMMAND, protocolError, requestMessage } from './protocol.ts';
import { cookieOf, HEAD, type Pending, receiveReply, replyProblem, type StatusRun } from './reply.ts';
import type { NbdAddress } from './uri.ts';

export interface NbdSession {
  readonly served: NbdExport;
  /** Fills `into`. Throws NBD_IO, and what ends the session: NBD_DROPPED, NBD_PROTOCOL, CANCELLED. */
  read(into: Uint8Array, offset: number): Promise<void>;
  /** At least one run from `offset` on; the last may exceed `length`. Needs the context base:allocation. */
  status(offset: number, length: number): Promise<readonly StatusRun[]>;
  /** Resolves when the connection is closed. Ends the requests in flight. */
  close(): Promise<void>;
}

interface RequestInFlight extends Pending {
  readonly resolve: (reply: Pending) => void;
  readonly reject: (error: unknown) => void;
}

const closed = (name: string): VdiStreamError => new VdiStreamError('NBD_DROPPED', `${name}: closed`);

/** Throws NBD_CONNECT, NBD_REFUSED, NBD_TLS, NBD_PROTOCOL, NBD_DROPPED, CANCELLED. */
export async function openSession(address: NbdAddress, options: NbdLinkOptions): Promise<NbdSession> {
  const link = await openLink(address, options);
  try {
    return createSession(link, address, await negotiate(link, address));
  } catch (error) {
    link.end(closed(address.name));
    throw rejection(error, options.signal);
  }
}

function createSession(link: NbdLink, { name, exportName }: NbdAddress, served: NbdExport): NbdSession {
  const inFlight = new Map<number, RequestInFlight>();
  let lastCookie = 0;
  let ended: unknown;

  const request = (command: number, { offset, length }: Range, into?: Uint8Array): Promise<Pending> =>
    new Promise((resolve, reject) => {
      if (ended !== undefined) return reject(ended);
      const cookie = ++lastCookie;
      inFlight.set(cookie, { offset, length, into, filled: [], runs: undefined, failure: undefined, resolve, reject });
      link.expect(true);
      link.send(requestMessage({ command, cookie, offset, length }));
    });

  async function receiveAll(): Promise<never> {
    const server = { name, exportName, served, fill: link.fill };
    const head = new Uint8Array(HEAD);
    for (;;) {
      await link.fill(head);
      const cookie = cookieOf(head);
      const pending = inFlight.get(cookie);
      if (pending === undefined) throw protocolError(name, 'replied to a request that was not made');
      if (!(await receiveReply(server, head, pending))) continue;
      inFlight.delete(cookie);
      link.expect(inFlight.size > 0);
      const problem = replyProblem(server, pending);
      if (problem === undefined) pending.resolve(pending);
      else pending.reject(problem);
    }
  }

  link.expect(false);
  receiveAll().catch((error: VdiStreamError) => {
    ended = error;
    link.end(error);
    for (const { reject } of inFlight.values()) reject(error);
    inFlight.clear();
  });
  return {
    served,
    read: async (into, offset) => void (await request(COMMAND.read, { offset, length: into.length }, into)),
    status: async (offset, length) => (await request(COMMAND.blockStatus, { offset, length })).runs ?? [],
    async close() {
      if (inFlight.size > 0) link.end(closed(name));
      await link.close(requestMessage({ command: COMMAND.disconnect, cookie: 0, offset: 0, length: 0 }));
    },
  };
}
