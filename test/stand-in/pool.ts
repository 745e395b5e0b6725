/**
 * A pool without Xen, reached over the network as a real one is: a master and a slave that speak HTTPS, calls by JSON-RPC, and the receiver of
 * disks. Strict, and made to fail at any call.
 */

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { type Certificate, certificateAuthority } from '../support/certificates.ts';
import { answerCall, PASSWORD, USER } from './pool-calls.ts';
import { createDatabase, type Database, Refusal } from './pool-database.ts';
import { type BodyReader, readRequest, respond } from './pool-http.ts';
import { importRawVdi, type TransferFault } from './pool-import.ts';

/** `fail`: refused with `code`. `lost`: it takes effect, and then the connection is closed. `hang`: no response, and no effect. */
export interface CallFault {
  readonly method: string;
  readonly how: 'fail' | 'lost' | 'hang';
  readonly code?: string;
  /** How many calls; 1 by default. */
  readonly times?: number;
}

export interface Pool {
  readonly db: Database;
  readonly master: string;
  readonly slave: string;
  readonly credentials: { readonly user: string; readonly password: string };
  /** A session that a caller has opened, who closes it. */
  openSession(): string;
  hasSession(session: string): boolean;
  /** PEM of the authority of both hosts. */
  readonly ca: string;
  /** The methods of all calls, and `PUT` with its host. */
  readonly calls: string[];
  /** What a client did that no host accepts. */
  readonly wrong: readonly string[];
  fault(fault: CallFault): void;
  /** Of the transfers from now on. */
  transfer(fault: TransferFault): void;
  /** Milliseconds from the end of a transfer to the detach; never if undefined. */
  detachAfter(delay: number | undefined): void;
  /** Resolves when that method is called. */
  called(method: string): Promise<void>;
  /** Of a VDI, by its uuid. */
  bytesOf(vdi: string): Buffer;
  /** Forgets all faults. */
  heal(): void;
  /** What a client has left behind: everything but the SRs, the hosts and the sessions of callers. */
  left(): { readonly vdis: number; readonly vbds: number; readonly tasks: number; readonly sessions: number; readonly connections: number };
  stop(): Promise<void>;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

const MASTER = '127.0.0.1';
const SLAVE = '127.0.0.2';

export async function startPool(folder: string): Promise<Pool> {
  const authority = certificateAuthority(folder);
  const db = createDatabase({ master: MASTER, slave: SLAVE });
  const sessions = new Set<string>();
  const callers = new Set<string>();
  const calls: string[] = [];
  const wrong: string[] = [];
  const faults: Array<{ fault: CallFault; times: number }> = [];
  const waiting: Array<{ method: string; resolve: () => void }> = [];
  const open = new Set<Socket>();
  /** Also those whose TLS handshake has not ended, or never does. */
  const connections = new Set<Socket>();
  const detaching: { delay: number | undefined } = { delay: 0 };
  let transferFault: TransferFault = {};

  const note = (method: string): void => {
    calls.push(method);
    for (const each of waiting) if (each.method === method) each.resolve();
  };
  function takeFault(method: string): CallFault | undefined {
    const found = faults.find((each) => each.times > 0 && each.fault.method === method);
    if (found !== undefined) found.times--;
    return found?.fault;
  }

  async function call(socket: Socket, text: string, rest: BodyReader, isSlave: boolean): Promise<void> {
    const { id, method, params, jsonrpc } = JSON.parse(text);
    if (jsonrpc !== '2.0' || !Array.isArray(params)) wrong.push('a call that is not JSON-RPC 2.0');
    note(method);
    const fault = takeFault(method);
    if (fault?.how === 'hang') {
      await rest.take(1); // until the client gives up
      return void socket.destroy();
    }
    const answer = (): object => {
      try {
        if (fault?.how === 'fail') throw new Refusal(fault.code ?? 'INTERNAL_ERROR', 'as the test says');
        return { result: answerCall({ db, sessions, isSlave, masterAddress: MASTER }, method, params) };
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        return { error: { code: 1, message: error.message, data: error.params } };
      }
    };
    const body = JSON.stringify({ jsonrpc: '2.0', id, ...answer() });
    if (fault?.how === 'lost') return void socket.destroy();
    respond(socket, 200, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }, body);
    socket.end();
  }

  async function serve(socket: TLSSocket, isSlave: boolean): Promise<void> {
    const request = await readRequest(socket);
    if (request === undefined) return void socket.destroy();
    if (request.method === 'POST' && request.path === '/jsonrpc') {
      const body = await request.body.take(Number(request.headers.get('content-length')));
      return body === undefined ? void socket.destroy() : call(socket, String(body), request.body, isSlave);
    }
    if (request.method === 'PUT' && request.path === '/import_raw_vdi') {
      note(isSlave ? 'PUT slave' : 'PUT master');
      const fault = transferFault;
      // A redirect is answered once; the other host has no fault.
      if (fault.location !== undefined) transferFault = {};
      return importRawVdi(socket, request, { db, sessions, dom0: isSlave ? db.slaveDom0 : db.masterDom0, fault, detaching, wrong });
    }
    wrong.push(`${request.method} ${request.path}`);
    respond(socket, 404, {});
    socket.end();
  }

  async function listen(certificate: Certificate, { host, port }: Address): Promise<Server> {
    const server = createServer({ ...certificate, allowHalfOpen: true }, (socket) => {
      open.add(socket);
      socket.on('error', () => {}).once('close', () => open.delete(socket));
      void serve(socket, host === SLAVE).catch((error) => {
        wrong.push(String(error));
        socket.destroy();
      });
    });
    server.on('connection', (connection: Socket) => {
      connections.add(connection);
      connection.once('close', () => connections.delete(connection));
    });
    server.listen(port, host);
    await once(server, 'listening');
    return server;
  }

  const master = await listen(authority.issue(`IP:${MASTER}`), { host: MASTER, port: 0 });
  const { port } = master.address() as AddressInfo;
  const slave = await listen(authority.issue(`IP:${SLAVE}`), { host: SLAVE, port });
  const count = (kind: 'VDI' | 'VBD' | 'task'): number => db.objects.get(kind)?.size ?? 0;
  return {
    db,
    master: `https://${MASTER}:${port}`,
    slave: `https://${SLAVE}:${port}`,
    credentials: { user: USER, password: PASSWORD },
    openSession() {
      const session = `OpaqueRef:${randomUUID()}`;
      sessions.add(session);
      callers.add(session);
      return session;
    },
    hasSession: (session) => sessions.has(session),
    ca: authority.ca,
    calls,
    wrong,
    fault: (fault) => void faults.push({ fault, times: fault.times ?? 1 }),
    transfer(fault) {
      transferFault = fault;
    },
    detachAfter(delay) {
      detaching.delay = delay;
    },
    called: (method) => new Promise((resolve) => waiting.push({ method, resolve })),
    bytesOf: (vdi) => db.disks.get(db.byUuid('VDI', vdi))?.read() ?? Buffer.alloc(0),
    heal() {
      faults.length = 0;
      transferFault = {};
      detaching.delay = 0;
    },
    left: () => ({
      vdis: count('VDI'),
      vbds: count('VBD'),
      tasks: count('task'),
      sessions: [...sessions].filter((session) => !callers.has(session)).length,
      connections: open.size,
    }),
    async stop() {
      for (const server of [master, slave]) {
        const closed = once(server, 'close');
        server.close();
        for (const socket of [...open, ...connections]) socket.destroy();
        await closed;
      }
    },
  };
}
