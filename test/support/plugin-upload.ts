/** Uploads through the plugin as a process, from a host without Xen: calls as Nova makes them, and what they leave. */

import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { expectUntouched, guestVdi, keptRecords } from './export-host.ts';
import type { Place } from './import-host.ts';
import { newPlace } from './import-host.ts';
import { type Plugin, startPlugin } from './plugin.ts';
import { ID, TOKEN } from './upload-glance.ts';

export interface UploadHost {
  readonly plugin: Plugin;
  readonly place: Place;
  /** The VDIs of a chain: the one that is exported, and two others. */
  readonly vdis: readonly string[];
}

/** Call it once in a file. What it returns is for its tests only. */
export function uploadHost(source: 'src/plugin/main.ts' | 'test/support/plugin-quick.ts'): () => UploadHost {
  let host: UploadHost | undefined;
  beforeAll(async () => {
    const place = await newPlace();
    const vdis = [await guestVdi(place), await guestVdi(place), await guestVdi(place)];
    host = { plugin: await startPlugin(source), place, vdis };
  });
  afterAll(async () => {
    await host?.plugin.end();
    await host?.place.host.stop();
  });
  return () => {
    if (host === undefined) throw new Error('the host has not started');
    return host;
  };
}

/** What the plugin finds its toolstack by. */
export const environmentFor = ({ place: { host, xe } }: UploadHost): Record<string, string> => ({
  VDISTREAM_XE: host.xe,
  VDISTREAM_INVENTORY: xe.inventory ?? '',
  VDISTREAM_LOCKS: join(host.folder, 'locks'),
  VDISTREAM_RECORDS: join(host.folder, 'records'),
});

interface NovaCall {
  readonly fn: string;
  readonly kwargs: Record<string, unknown>;
  readonly env: Record<string, string>;
}

/** As Nova calls upload_vhd2. */
export const novaUpload = (host: UploadHost, endpoint: string, more: object = {}): NovaCall => ({
  fn: 'upload_vhd2',
  kwargs: {
    vdi_uuids: host.vdis,
    image_id: ID,
    endpoint,
    sr_path: `/var/run/sr-mount/${host.place.sr}`,
    extra_headers: {
      'X-Auth-Token': TOKEN,
      'X-User-Id': null,
      'X-Tenant-Id': 'tenant',
      'X-Roles': 'admin,member',
      'X-Identity-Status': 'Confirmed',
    },
    properties: { auto_disk_config: true, os_type: 'linux' },
    api_version: 2,
    ...more,
  },
  env: environmentFor(host),
});

/** Class and message of a call that fails. Nothing is attached any more, and no record is kept. */
export async function refusedUpload(host: UploadHost, call: NovaCall): Promise<readonly [kind: string, message: string]> {
  const { reply, stderr } = await host.plugin.call(call);
  const [code, fn, kind = '', message = '', ...more] = reply?.ErrorDescription ?? [];
  expect([code, fn, more]).toEqual(['XENAPI_PLUGIN_FAILURE', call.fn, []]);
  expect(message + stderr).not.toContain(TOKEN);
  expectDetached(host);
  return [kind, message];
}

/** All VDIs are as they were, and nothing is attached. */
export function expectDetached({ place, vdis }: UploadHost): void {
  const [vdi = '', ...others] = vdis;
  expectUntouched(place, vdi, { vdis: others });
  expect(keptRecords(place)).toEqual([]);
}

/** Calls of a command so far. */
export const callsOf = async ({ place: { host } }: UploadHost, command: string): Promise<number> =>
  (await host.calls()).filter(([name]) => name === command).length;
