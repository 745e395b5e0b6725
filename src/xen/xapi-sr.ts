/** Storage repositories through XAPI: what they are, and which host can write to them. */

import { GiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import type { NewVdi } from './toolstack.ts';
import { urlOfHost, type XapiSession } from './xapi-session.ts';
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
import { isLvm } from './zero-rule.ts';

export async function srRecord(session: XapiSession, sr: string, signal?: AbortSignal): Promise<XapiRecord> {
  const ref = await session.call('SR.get_by_uuid', [sr], signal);
  return toRecord(await session.call('SR.get_record', [ref], signal), 'SR');
}

export interface WritingHost {
  readonly url: URL;
  /** The configuration of its PBD. */
  readonly deviceConfig: ReadonlyMap<string, string>;
}

/**
 * A host that is alive and enabled, and has the SR attached: the master if it is one, since its certificate is known to be trusted. Throws
 * SR_UNAVAILABLE.
 */
export async function writingHost(session: XapiSession, sr: string, signal?: AbortSignal): Promise<WritingHost> {
  const master = await masterOf(session, signal);
  const pbds: XapiRecord[] = [];
  for (const ref of textsField(await srRecord(session, sr, signal), 'PBDs')) {
    const pbd = toRecord(await session.call('PBD.get_record', [ref], signal), 'PBD');
    if (flagField(pbd, 'currently_attached')) pbds.push(pbd);
  }
  const isOfMaster = (pbd: XapiRecord): boolean => textField(pbd, 'host') === master;
  for (const pbd of [...pbds.filter(isOfMaster), ...pbds.filter((each) => !isOfMaster(each))]) {
    const host = toRecord(await session.call('host.get_record', [textField(pbd, 'host')], signal), 'host');
    if (!flagField(host, 'enabled') || !(await isLive(session, host, signal))) continue;
    const url = isOfMaster(pbd) ? session.url : urlOfHost(textField(host, 'address'), session.url);
    return { url, deviceConfig: mapField(pbd, 'device_config') };
  }
  throw new VdiStreamError('SR_UNAVAILABLE', `SR ${sr} is attached to no host of the pool that is alive and enabled`);
}

async function masterOf(session: XapiSession, signal: AbortSignal | undefined): Promise<string> {
  const [pool] = toTexts(await session.call('pool.get_all', [], signal), 'pool');
  return toText(await session.call('pool.get_master', [pool], signal), 'master');
}

async function isLive(session: XapiSession, host: XapiRecord, signal: AbortSignal | undefined): Promise<boolean> {
  const metrics = textField(host, 'metrics');
  if (!isRef(metrics)) return false;
  return flagField(toRecord(await session.call('host_metrics.get_record', [metrics], signal), 'host_metrics'), 'live');
}

/** Of a VHD (sm: MAX_VHD_SIZE in drivers/vhdutil.py). */
const LARGEST_VHD = 2040 * GiB;

/** Types that keep disks as VHDs. On the LVM ones, the limit is that of raw VDIs too (sm: drivers/LVHDSR.py). */
const VHD_TYPES: readonly string[] = ['ext', 'nfs', 'file', 'smb', 'cifs', 'xfs', 'cephfs', 'glusterfs', 'moosefs'];

/** Throws SR_FULL or VDI_SIZE if a VDI is certain not to fit on the SR, as a host has it; otherwise XAPI decides. */
export async function refuseTooLarge(
  session: XapiSession,
  { sr, size, raw }: NewVdi,
  { deviceConfig }: WritingHost,
  signal?: AbortSignal,
): Promise<void> {
  const record = await srRecord(session, sr, signal);
  const type = textField(record, 'type').toLowerCase();
  if (size > LARGEST_VHD && (isLvm(type) || (VHD_TYPES.includes(type) && !raw))) {
    // XCP-ng: the formats that new disks may have, in the order of preference.
    if (!(deviceConfig.get('preferred-image-formats') ?? '').includes('qcow2')) {
      throw new VdiStreamError('VDI_SIZE', `a disk of SR ${sr} has at most ${LARGEST_VHD} bytes, but the image needs ${size}`);
    }
  }
  if (!isLvm(type) || mapField(record, 'sm_config').get('allocation') === 'thin') return;
  const [total, used] = [numberField(record, 'physical_size'), numberField(record, 'physical_utilisation')];
  if (total > 0 && used >= 0 && size > total - used) {
    throw new VdiStreamError('SR_FULL', `SR ${sr} has ${Math.max(0, total - used)} bytes free, but the image needs ${size}`);
  }
}
