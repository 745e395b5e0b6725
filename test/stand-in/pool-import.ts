/**
 * `PUT /import_raw_vdi` of a host, with `format=raw&chunked=true`: attaches the VDI, answers 200, and writes the records one after another
 * (xen-api: ocaml/xapi/import_raw_vdi.ml, ocaml/vhd-tool/src/chunked.ml).
 */

import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { endTask } from './pool-calls.ts';
import { type Database, Refusal, type StoredDisk } from './pool-database.ts';
import { type HttpRequest, respond } from './pool-http.ts';

/** What goes wrong with a transfer. */
export interface TransferFault {
  /** After so many bytes of data. */
  readonly after?: number;
  /** `error`: the 500 that comes in the body. `reset`: the connection. */
  readonly how?: 'error' | 'reset';
  /** Nothing more is read until this resolves. */
  readonly until?: Promise<void>;
  /** The end mark has come, and then the sync fails. */
  readonly syncFails?: boolean;
  /** The host answers with this status, before anything else. */
  readonly status?: number;
  readonly location?: string;
}

export interface Detaching {
  /** Milliseconds after the transfer; never if undefined. */
  readonly delay: number | undefined;
}

interface ImportContext {
  readonly db: Database;
  readonly sessions: ReadonlySet<string>;
  /** The control domain of this host. */
  readonly dom0: string;
  readonly fault: TransferFault;
  readonly detaching: Detaching;
  /** What a client did that no host accepts. */
  readonly wrong: string[];
}

const HEADER = 12;
const MAX_LENGTH = 2 ** 31 - 1;

export async function importRawVdi(socket: Socket, { query, headers, body }: HttpRequest, context: ImportContext): Promise<void> {
  const { db, sessions, dom0, fault, wrong } = context;
  const refuse = (status: number, why: string): void => {
    wrong.push(why);
    respond(socket, status, {});
    socket.destroySoon();
  };
  if (!sessions.has(query.get('session_id') ?? '')) return refuse(401, 'a transfer without a session');
  if (headers.has('transfer-encoding')) return refuse(404, 'a transfer coding');
  if (query.get('format') !== 'raw' || query.get('chunked') !== 'true') return refuse(404, 'another format');
  if (fault.status !== undefined) {
    respond(socket, fault.status, fault.location === undefined ? {} : { location: fault.location });
    // A client that sends a body now would send it twice.
    if ((await body.take(1)) !== undefined) wrong.push('a body after a redirect');
    socket.end();
    return;
  }
  const task = query.get('task_id') ?? '';
  db.get('task', task);
  const vdi = query.get('vdi') ?? '';
  const disk = db.disks.get(vdi);
  if (disk === undefined) return refuse(500, 'a VDI that does not exist');
  const vbd = db.attach(vdi, dom0);
  respond(socket, 200, { 'task-id': task });
  try {
    await receive(body, disk, fault, wrong);
    if (fault.syncFails) throw new Refusal('VDI_IO_ERROR', 'Device I/O errors', 'fsync failed');
    endTask(db, task, { status: 'success', progress: 1 });
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal('INTERNAL_ERROR', String(error));
    endTask(db, task, { status: 'failure', error_info: [refusal.message, ...refusal.params] });
    if (fault.how !== 'reset' && socket.writable) socket.write('HTTP/1.1 500 Internal Error\r\n\r\n');
  }
  // What has not been read is lost.
  if (fault.how === 'reset') socket.destroy();
  else socket.destroySoon();
  await detachLater(context, vbd);
}

async function detachLater({ db, detaching: { delay } }: ImportContext, vbd: string): Promise<void> {
  if (delay === undefined) return;
  await sleep(delay);
  db.detach(vbd);
}

async function receive(body: HttpRequest['body'], disk: StoredDisk, fault: TransferFault, wrong: string[]): Promise<void> {
  const cut = new Refusal('VDI_IO_ERROR', 'Device I/O errors', 'End_of_file');
  for (let received = 0; ; ) {
    const header = await body.take(HEADER);
    if (header === undefined) throw cut;
    const offset = Number(header.readBigUInt64LE(0));
    const length = header.readUInt32LE(8);
    if (offset === 0 && length === 0) return;
    const problem = recordProblem(offset, length, disk.size);
    if (problem !== undefined) {
      wrong.push(problem);
      throw new Refusal('VDI_IO_ERROR', 'Device I/O errors');
    }
    const bytes = await body.take(length);
    if (bytes === undefined) throw cut;
    disk.write(offset, bytes);
    received += length;
    if (received < (fault.after ?? Number.POSITIVE_INFINITY)) continue;
    await fault.until;
    if (fault.how !== undefined) throw new Refusal('VDI_IO_ERROR', 'Device I/O errors');
  }
}

function recordProblem(offset: number, length: number, size: number): string | undefined {
  if (length === 0) return 'an empty record';
  if (length > MAX_LENGTH) return 'a length that is negative on the host';
  if (offset % 512 !== 0 || length % 512 !== 0) return 'a record that is not aligned';
  return offset + length > size ? 'a record past the end of the VDI' : undefined;
}
