/** VDIs and their VBDs through XAPI. */

import { setTimeout as sleep } from 'node:timers/promises';
import { VdiStreamError } from '../errors.ts';
import { confirmEffect, confirmResult } from './confirm.ts';
import { isRefusedWith } from './refusal.ts';
import type { NewVdi, Vbds, VdiFacts } from './toolstack.ts';
import type { XapiSession } from './xapi-session.ts';
import {
  flagField,
  isRef,
  mapField,
  numberField,
  textField,
  textsField,
  toRecord,
  toText,
  toTexts,
  type XapiRecord,
} from './xapi-values.ts';

/** Milliseconds. */
interface Patience {
  /** Until a host gives up the VDI. */
  readonly detachTimeout: number;
  readonly pause: number;
}

export async function createVdiInPool(session: XapiSession, vdi: NewVdi, tag: string, signal?: AbortSignal): Promise<string> {
  const { sr, name, size, raw } = vdi;
  const record = {
    name_label: name,
    name_description: '',
    SR: await session.call('SR.get_by_uuid', [sr], signal),
    // Text, because older hosts accept no number of 64 bits.
    virtual_size: String(size),
    type: 'user',
    sharable: false,
    read_only: false,
    other_config: {},
    xenstore_data: {},
    sm_config: raw ? { type: 'raw' } : {},
    tags: [tag],
  };
  const creating = session.call('VDI.create', [record], signal).then((ref) => session.call('VDI.get_uuid', [ref]));
  // If another VDI has the tag as well, somebody has copied it, and which one was created is not certain.
  const find = async (): Promise<unknown> => {
    const [found, ...more] = await listTaggedInPool(session, tag);
    return more.length === 0 ? found : undefined;
  };
  return toText(await confirmResult(creating, find), 'uuid');
}

const refOf = (session: XapiSession, vdi: string, signal?: AbortSignal): Promise<unknown> => session.call('VDI.get_by_uuid', [vdi], signal);

export async function vdiRecord(session: XapiSession, vdi: string, signal?: AbortSignal): Promise<XapiRecord> {
  return toRecord(await session.call('VDI.get_record', [await refOf(session, vdi, signal)], signal), 'VDI');
}

export async function vdiFactsInPool(session: XapiSession, vdi: string, signal?: AbortSignal): Promise<VdiFacts> {
  const record = await vdiRecord(session, vdi, signal);
  const relations: string[] = [];
  if (!flagField(record, 'managed')) relations.push('it is the hidden parent of other VDIs');
  if (flagField(record, 'is_a_snapshot') || isRef(textField(record, 'snapshot_of'))) relations.push('it is a snapshot');
  if (textsField(record, 'snapshots').length > 0) relations.push('it has snapshots');
  if (mapField(record, 'sm_config').has('vhd-parent')) relations.push('it shares a parent with other VDIs (vhd-parent in sm_config)');
  return {
    sr: toText(await session.call('SR.get_uuid', [textField(record, 'SR')], signal), 'uuid'),
    name: textField(record, 'name_label'),
    type: textField(record, 'type'),
    size: numberField(record, 'virtual_size'),
    relations,
  };
}

/** XAPI has no query for a tag that all of its versions support, so this reads all VDIs of the pool. */
export async function listTaggedInPool(session: XapiSession, tag: string, sr?: string, signal?: AbortSignal): Promise<string[]> {
  const on = sr === undefined ? undefined : await session.call('SR.get_by_uuid', [sr], signal);
  const all = [...toRecord(await session.call('VDI.get_all_records', [], signal), 'VDIs').values()];
  return all
    .map((each) => toRecord(each, 'VDI'))
    .filter((record) => textsField(record, 'tags').includes(tag) && (on === undefined || textField(record, 'SR') === on))
    .map((record) => textField(record, 'uuid'));
}

export async function untagInPool(session: XapiSession, vdi: string, tag: string): Promise<void> {
  const ref = await refOf(session, vdi);
  const isUntagged = async (): Promise<boolean> => !toTexts(await session.call('VDI.get_tags', [ref]), 'tags').includes(tag);
  await confirmEffect(session.call('VDI.remove_tags', [ref, tag]), isUntagged);
}

/** The keys that xe-source.ts describes. */
export async function setSourceInPool(session: XapiSession, vdi: string, source: string, signal?: AbortSignal): Promise<void> {
  const ref = await refOf(session, vdi, signal);
  for (const [key, value] of [
    ['vdistream-source', source],
    ['vdistream-vdi', vdi],
  ]) {
    // Adding a key that is there is refused, also after a call whose response was lost.
    await session.call('VDI.remove_from_other_config', [ref, key], signal);
    await session.call('VDI.add_to_other_config', [ref, key, value], signal);
  }
}

/** Of all VMs; those of control domains are the transfer's own. */
export async function vbdsInPool(session: XapiSession, vdi: string): Promise<Vbds> {
  const ours: string[] = [];
  const others: string[] = [];
  for (const vbd of textsField(await vdiRecord(session, vdi), 'VBDs')) {
    const found = await vbdRecord(session, vbd);
    if (found === undefined) continue;
    const isOurs = await session.call('VM.get_is_control_domain', [textField(found, 'VM')]);
    (isOurs === true ? ours : others).push(textField(found, 'uuid'));
  }
  return { ours, others };
}

/** Undefined if it is gone. */
const vbdRecord = (session: XapiSession, ref: unknown): Promise<XapiRecord | undefined> =>
  session
    .call('VBD.get_record', [ref])
    .then((record) => toRecord(record, 'VBD'))
    .catch(unlessGone);

const GONE = ['HANDLE_INVALID', 'UUID_INVALID'];

function unlessGone(error: unknown): undefined {
  if (!isRefusedWith(error, GONE)) throw error;
}

/** Waits until the host has unplugged a VBD, which it does after a transfer, failed or not. Throws VBD_DETACH. */
export async function waitUntilUnplugged(session: XapiSession, vbd: string, { detachTimeout, pause }: Patience): Promise<void> {
  for (const end = performance.now() + detachTimeout; ; await sleep(pause)) {
    const ref = await session.call('VBD.get_by_uuid', [vbd]).catch(unlessGone);
    const record = ref === undefined ? undefined : await vbdRecord(session, ref);
    if (record === undefined || !flagField(record, 'currently_attached')) return;
    if (performance.now() > end) {
      throw new VdiStreamError('VBD_DETACH', `VBD ${vbd} is still plugged into a control domain after ${detachTimeout / 1000} s`);
    }
  }
}

const BUSY = ['VDI_IN_USE', 'OTHER_OPERATION_IN_PROGRESS'];

/** Succeeds if it is already gone. Tries again for a while if it is in use. */
export async function destroyVdi(session: XapiSession, vdi: string, { detachTimeout, pause }: Patience): Promise<void> {
  for (const end = performance.now() + detachTimeout; ; await sleep(pause)) {
    const ref = await refOf(session, vdi).catch(unlessGone);
    if (ref === undefined) return;
    try {
      await session.call('VDI.destroy', [ref]);
      return;
    } catch (error) {
      if (isRefusedWith(error, GONE)) return;
      const mayTryAgain = isRefusedWith(error, BUSY) || (error instanceof VdiStreamError && error.code === 'XAPI_CONNECTION');
      if (!mayTryAgain || performance.now() > end) throw error;
    }
  }
}
