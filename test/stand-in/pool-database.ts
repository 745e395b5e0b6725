/** The objects of a pool without hosts: as XAPI has them, with the bytes of the VDIs. */

import { randomUUID } from 'node:crypto';

export type Fields = Record<string, unknown>;

/** As XAPI reports it to a client. */
export class Refusal extends Error {
  readonly params: readonly string[];
  constructor(code: string, ...params: readonly string[]) {
    super(code);
    this.params = params;
  }
}

export const CLASSES = ['pool', 'host', 'host_metrics', 'SR', 'PBD', 'VM', 'VDI', 'VBD', 'task'] as const;
export type PoolClass = (typeof CLASSES)[number];

const NULL = 'OpaqueRef:NULL';
const BLOCK = 2 ** 21;
const GiB = 2 ** 30;

/** A disk of 2 MiB blocks; one that was never written has what an old owner left. */
export interface StoredDisk {
  readonly size: number;
  write(offset: number, bytes: Uint8Array): void;
  read(): Buffer;
  /** Bytes that were written, counted each time. */
  written: number;
}

function storedDisk(size: number, stale: number): StoredDisk {
  const blocks = new Map<number, Buffer>();
  const blockAt = (index: number): Buffer => {
    const block = blocks.get(index) ?? Buffer.alloc(BLOCK, stale);
    blocks.set(index, block);
    return block;
  };
  const disk: StoredDisk = {
    size,
    written: 0,
    write(offset, bytes) {
      for (let at = 0; at < bytes.length; ) {
        const inBlock = (offset + at) % BLOCK;
        const part = bytes.subarray(at, at + BLOCK - inBlock);
        blockAt((offset + at - inBlock) / BLOCK).set(part, inBlock);
        at += part.length;
      }
      disk.written += bytes.length;
    },
    read() {
      const all = Buffer.alloc(size, stale);
      for (const [index, block] of blocks) all.set(block.subarray(0, Math.max(0, size - index * BLOCK)), index * BLOCK);
      return all;
    },
  };
  return disk;
}

export interface SrKind {
  readonly smConfig?: Readonly<Record<string, string>>;
  readonly deviceConfig?: Readonly<Record<string, string>>;
  /** Bytes. */
  readonly physicalSize?: number;
  /** The hosts with an attached PBD; all by default. */
  readonly hosts?: readonly ('master' | 'slave')[];
}

export interface Database {
  readonly master: string;
  readonly slave: string;
  /** Control domains, and a guest. */
  readonly masterDom0: string;
  readonly slaveDom0: string;
  readonly guest: string;
  readonly objects: ReadonlyMap<PoolClass, Map<string, Fields>>;
  /** By the reference of the VDI. */
  readonly disks: Map<string, StoredDisk>;
  /** Throws HANDLE_INVALID. */
  get(kind: PoolClass, ref: unknown): Fields;
  /** Throws UUID_INVALID. */
  byUuid(kind: PoolClass, uuid: unknown): string;
  add(kind: PoolClass, fields: Fields): string;
  remove(kind: PoolClass, ref: string): void;
  /** uuid of a new SR. */
  addSr(type: string, kind?: SrKind): string;
  createVdi(fields: Fields): string;
  /** A VBD in the control domain of a host; `detach` removes it. */
  attach(vdi: string, vm: string): string;
  detach(vbd: string): void;
}

/** XAPI's own rule and the storage manager's (xen-api: ocaml/xapi/sm_fs_ops.ml; sm: drivers/LVHDSR.py, drivers/FileSR.py). */
function kindOfDisk({ type, sm_config: config }: Fields, raw: boolean): { readonly unit: number; readonly stale: number } {
  const isLvm = String(type).startsWith('lvm');
  if (type === 'equal' && JSON.stringify(config).includes('thick')) return { unit: BLOCK, stale: 0xaa };
  if (isLvm && raw) return { unit: 2 * BLOCK, stale: 0xaa };
  return { unit: raw ? 512 : BLOCK, stale: 0 };
}

export function createDatabase(addresses: { readonly master: string; readonly slave: string }): Database {
  const objects = new Map(CLASSES.map((kind) => [kind, new Map<string, Fields>()]));
  const disks = new Map<string, StoredDisk>();
  const table = (kind: PoolClass): Map<string, Fields> => objects.get(kind) ?? new Map();
  const add = (kind: PoolClass, fields: Fields): string => {
    const ref = `OpaqueRef:${randomUUID()}`;
    table(kind).set(ref, { uuid: randomUUID(), ...fields });
    return ref;
  };
  const get = (kind: PoolClass, ref: unknown): Fields => {
    const found = table(kind).get(String(ref));
    if (found === undefined) throw new Refusal('HANDLE_INVALID', kind, String(ref));
    return found;
  };
  const addHost = (address: string): string =>
    add('host', { address, enabled: true, metrics: add('host_metrics', { live: true }), name_label: address });
  const [master, slave] = [addHost(addresses.master), addHost(addresses.slave)];
  const [masterDom0, slaveDom0] = [master, slave].map((host) => add('VM', { is_control_domain: true, resident_on: host }));
  const guest = add('VM', { is_control_domain: false, resident_on: master });
  add('pool', { master });
  const listIn = (fields: Fields, name: string): unknown[] => {
    const list = fields[name];
    return Array.isArray(list) ? list : [];
  };

  return {
    master,
    slave,
    masterDom0: masterDom0 ?? '',
    slaveDom0: slaveDom0 ?? '',
    guest,
    objects,
    disks,
    get,
    add,
    byUuid(kind, uuid) {
      const [ref] = [...table(kind)].find(([, fields]) => fields.uuid === uuid) ?? [];
      if (ref === undefined) throw new Refusal('UUID_INVALID', kind, String(uuid));
      return ref;
    },
    remove: (kind, ref) => void table(kind).delete(ref),
    addSr(
      type,
      { smConfig = type.startsWith('lvm') ? { use_vhd: 'true' } : {}, deviceConfig = {}, physicalSize = 4096 * GiB, hosts } = {},
    ) {
      const PBDs: string[] = [];
      const sr = add('SR', {
        type,
        sm_config: smConfig,
        physical_size: physicalSize,
        physical_utilisation: '0',
        shared: true,
        PBDs,
        VDIs: [],
      });
      for (const [name, host] of [['master', master] as const, ['slave', slave] as const]) {
        const attached = hosts?.includes(name) ?? true;
        PBDs.push(add('PBD', { SR: sr, host, currently_attached: attached, device_config: deviceConfig }));
      }
      return String(get('SR', sr).uuid);
    },
    createVdi(fields) {
      const sr = get('SR', fields.SR);
      const { type: raw } = { type: '', ...(fields.sm_config as object) };
      const { unit, stale } = kindOfDisk(sr, raw === 'raw');
      const size = Math.ceil(Number(fields.virtual_size) / unit) * unit;
      const ref = add('VDI', {
        ...fields,
        // A 64-bit number is one in JSON-RPC.
        virtual_size: size,
        managed: true,
        is_a_snapshot: false,
        snapshot_of: NULL,
        snapshots: [],
        VBDs: [],
      });
      listIn(sr, 'VDIs').push(ref);
      disks.set(ref, storedDisk(size, stale));
      return ref;
    },
    attach(vdi, vm) {
      const vbd = add('VBD', { VDI: vdi, VM: vm, currently_attached: true, mode: 'RW' });
      listIn(get('VDI', vdi), 'VBDs').push(vbd);
      return vbd;
    },
    detach(vbd) {
      const fields = table('VBD').get(vbd);
      if (fields === undefined) return;
      const vdi = table('VDI').get(String(fields.VDI));
      if (vdi !== undefined) vdi.VBDs = listIn(vdi, 'VBDs').filter((each) => each !== vbd);
      table('VBD').delete(vbd);
    },
  };
}
