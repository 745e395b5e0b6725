/** A left-over VDI of an import before a reboot: with its owner tag, and the record that proves it. */

import { randomBytes } from 'node:crypto';
import { createRecords } from '../../src/xen/record.ts';
import { answer } from '../stand-in/answer.ts';
import type { Host } from '../stand-in/host.ts';
import { toolstackOf } from './imported.ts';

const BOOT = '00000000-0000-4000-8000-000000000000';

/** Resolves with the uuid of the VDI. */
export async function deadImport(host: Host, sr: string, size = 2 ** 21, ...more: readonly string[]): Promise<string> {
  const token = randomBytes(16).toString('hex');
  const tag = `vdistream.${host.uuid}.2.${BOOT}.1.1.1.${token}`;
  const records = createRecords(toolstackOf(host).records);
  await records.add(token, { tag, sr, name: 'left', size });
  const vdi = await answer(host, ['vdi-create', `sr-uuid=${sr}`, 'name-label=left', `virtual-size=${size}`, `tags:${tag}=`, ...more]);
  await records.complete(token, vdi);
  return vdi;
}
