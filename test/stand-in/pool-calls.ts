/** The calls of XAPI that an import makes, as strict as the real ones: sessions, the number of parameters, states that forbid a call. */

import { randomUUID } from 'node:crypto';
import { type Database, type Fields, type PoolClass, Refusal } from './pool-database.ts';

export const USER = 'root';
export const PASSWORD = 'pass-of-the-pool';

export interface Caller {
  readonly db: Database;
  readonly sessions: Set<string>;
  /** Whether the call has reached a slave; its master has this address. */
  readonly isSlave: boolean;
  readonly masterAddress: string;
}

type Call = (db: Database, params: readonly unknown[]) => unknown;

const listOf = (fields: Fields, name: string): unknown[] => {
  const list = fields[name];
  if (!Array.isArray(list)) throw new Error(`${name} is no list`);
  return list;
};
const mapOf = (fields: Fields, name: string): Fields => {
  const map = fields[name];
  if (typeof map !== 'object' || map === null) throw new Error(`${name} is no map`);
  return map as Fields;
};

/** What xen-api's datamodel has for a new VDI, all of which a client must pass. */
const NEW_VDI: Readonly<Record<string, (value: unknown) => boolean>> = {
  name_label: (value) => typeof value === 'string',
  name_description: (value) => typeof value === 'string',
  SR: (value) => typeof value === 'string',
  virtual_size: (value) => (typeof value === 'string' ? /^\d+$/.test(value) : Number.isSafeInteger(value)),
  type: (value) => value === 'user',
  sharable: (value) => value === false,
  read_only: (value) => value === false,
  other_config: (value) => typeof value === 'object',
  xenstore_data: (value) => typeof value === 'object',
  sm_config: (value) => typeof value === 'object',
  tags: (value) => Array.isArray(value) && value.every((tag) => typeof tag === 'string'),
};
const MAX_VHD = 2040 * 2 ** 30;

function createVdi(db: Database, [record]: readonly unknown[]): string {
  if (typeof record !== 'object' || record === null) throw new Refusal('FIELD_TYPE_ERROR', 'record');
  const fields = { ...record } as Fields;
  for (const [name, holds] of Object.entries(NEW_VDI)) if (!holds(fields[name])) throw new Refusal('FIELD_TYPE_ERROR', name);
  const extra = Object.keys(fields).find((name) => !(name in NEW_VDI));
  if (extra !== undefined) throw new Refusal('FIELD_TYPE_ERROR', extra);
  const sr = db.get('SR', fields.SR);
  const size = Number(fields.virtual_size);
  const isRaw = mapOf(fields, 'sm_config').type === 'raw';
  const makesQcow2 = listOf(sr, 'PBDs').some((pbd) => 'preferred-image-formats' in mapOf(db.get('PBD', pbd), 'device_config'));
  if (size > MAX_VHD && !isRaw && !makesQcow2) throw new Refusal('SR_BACKEND_FAILURE_79', '', 'VDI Invalid size', '');
  return db.createVdi(fields);
}

function destroyVdi(db: Database, [ref]: readonly unknown[]): void {
  const vdi = db.get('VDI', ref);
  for (const vbd of listOf(vdi, 'VBDs')) {
    if (db.get('VBD', vbd).currently_attached === true) throw new Refusal('VDI_IN_USE', String(ref), 'destroy');
  }
  for (const vbd of [...listOf(vdi, 'VBDs')]) db.remove('VBD', String(vbd));
  db.remove('VDI', String(ref));
  db.disks.delete(String(ref));
}

function addToOtherConfig(db: Database, [ref, key, value]: readonly unknown[]): void {
  const config = mapOf(db.get('VDI', ref), 'other_config');
  if (String(key) in config) throw new Refusal('MAP_DUPLICATE_KEY', 'VDI', 'other_config', String(ref), String(key));
  config[String(key)] = value;
}

/** One that is pending is only marked, and removed when it ends. */
function destroyTask(db: Database, [ref]: readonly unknown[]): void {
  const task = db.get('task', ref);
  if (task.status === 'pending') task.destroyed = true;
  else db.remove('task', String(ref));
}

export function endTask(db: Database, ref: string, outcome: Fields): void {
  const task = db.objects.get('task')?.get(ref);
  if (task === undefined || task.status !== 'pending') return;
  Object.assign(task, outcome);
  if (task.destroyed === true) db.remove('task', ref);
}

const getter = (kind: PoolClass, field: string): [number, Call] => [1, (db, [ref]) => db.get(kind, ref)[field]];
const record = (kind: PoolClass): [number, Call] => [1, (db, [ref]) => db.get(kind, ref)];
const lookup = (kind: PoolClass): [number, Call] => [1, (db, [uuid]) => db.byUuid(kind, uuid)];
const all = (kind: PoolClass): [number, Call] => [0, (db) => Object.fromEntries(db.objects.get(kind) ?? [])];

/** With the number of parameters after the session. */
const CALLS: Readonly<Record<string, readonly [number, Call]>> = {
  'pool.get_all': [0, (db) => [...(db.objects.get('pool')?.keys() ?? [])]],
  'pool.get_all_records': all('pool'),
  'pool.get_master': getter('pool', 'master'),
  'host.get_record': record('host'),
  'host.get_all_records': all('host'),
  'host_metrics.get_record': record('host_metrics'),
  'SR.get_by_uuid': lookup('SR'),
  'SR.get_record': record('SR'),
  'SR.get_uuid': getter('SR', 'uuid'),
  'PBD.get_record': record('PBD'),
  'VM.get_is_control_domain': getter('VM', 'is_control_domain'),
  'VBD.get_by_uuid': lookup('VBD'),
  'VBD.get_record': record('VBD'),
  'VDI.create': [1, createVdi],
  'VDI.destroy': [1, destroyVdi],
  'VDI.get_by_uuid': lookup('VDI'),
  'VDI.get_uuid': getter('VDI', 'uuid'),
  'VDI.get_record': record('VDI'),
  'VDI.get_all_records': all('VDI'),
  'VDI.get_tags': getter('VDI', 'tags'),
  'VDI.remove_tags': [
    2,
    (db, [ref, tag]) => {
      const vdi = db.get('VDI', ref);
      vdi.tags = listOf(vdi, 'tags').filter((each) => each !== tag);
    },
  ],
  'VDI.add_to_other_config': [3, addToOtherConfig],
  'VDI.remove_from_other_config': [2, (db, [ref, key]) => void delete mapOf(db.get('VDI', ref), 'other_config')[String(key)]],
  'task.create': [
    2,
    (db, [label, description]) =>
      db.add('task', { name_label: label, name_description: description, status: 'pending', progress: 0, error_info: [] }),
  ],
  'task.get_record': record('task'),
  'task.set_progress': [2, (db, [ref, value]) => void Object.assign(db.get('task', ref), { progress: value })],
  'task.set_status': [2, (db, [ref, value]) => void Object.assign(db.get('task', ref), { status: value })],
  // It does not stop an import.
  'task.cancel': [1, (db, [ref]) => void db.get('task', ref)],
  'task.destroy': [1, destroyTask],
};

/** The result of a call. Throws a Refusal. */
export function answerCall({ db, sessions, isSlave, masterAddress }: Caller, method: string, params: readonly unknown[]): unknown {
  if (isSlave) throw new Refusal('HOST_IS_SLAVE', masterAddress);
  if (method === 'session.login_with_password') {
    if (params.length < 2 || params.length > 4) throw new Refusal('MESSAGE_PARAMETER_COUNT_MISMATCH', method);
    if (params[0] !== USER || params[1] !== PASSWORD) throw new Refusal('SESSION_AUTHENTICATION_FAILED', String(params[0]), 'wrong');
    const session = `OpaqueRef:${randomUUID()}`;
    sessions.add(session);
    return session;
  }
  const [session, ...rest] = params;
  if (!sessions.has(String(session))) throw new Refusal('SESSION_INVALID', String(session));
  if (method === 'session.logout') {
    sessions.delete(String(session));
    return '';
  }
  const [count, call] = CALLS[method] ?? [];
  if (call === undefined) throw new Refusal('MESSAGE_METHOD_UNKNOWN', method);
  if (rest.length !== count) throw new Refusal('MESSAGE_PARAMETER_COUNT_MISMATCH', method, String(count), String(rest.length));
  return call(db, rest) ?? '';
}
