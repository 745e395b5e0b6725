/** VDIs that a test has plugged into Dom0 itself, as a caller of `import --device` does. */

import { join } from 'node:path';
import { afterEach } from 'vitest';
import { answer } from '../stand-in/answer.ts';
import type { Host } from '../stand-in/host.ts';

interface Plug {
  readonly vdi: string;
  readonly vbd: string;
  /** Of the device that the toolstack reports. */
  readonly path: string;
}

/** Plugs a new VDI of 8 MiB; `config` are more parameters of vdi-create. */
type PlugNew = (sr: string, ...config: readonly string[]) => Promise<Plug>;

/** Unplugs and removes all of them after each test of the file. */
export function createPlugs(host: () => Host): PlugNew {
  const plugs: Plug[] = [];
  const xe = (...args: string[]): Promise<string> => answer(host(), args);
  afterEach(async () => {
    await host().noFaults();
    for (const { vdi, vbd } of plugs.splice(0)) {
      await host().change('vbd', vbd, { vm: host().dom0, currentlyAttached: true });
      await xe('vbd-unplug', `uuid=${vbd}`);
      await xe('vdi-destroy', `uuid=${vdi}`);
    }
  });
  return async (sr, ...config) => {
    const vdi = await xe('vdi-create', `sr-uuid=${sr}`, 'name-label=own', `virtual-size=${8 * 2 ** 20}`, ...config);
    const vbd = await xe('vbd-create', `vm-uuid=${host().dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect', 'mode=RW');
    await xe('vbd-plug', `uuid=${vbd}`);
    const plug = { vdi, vbd, path: join('/dev', await xe('vbd-param-get', `uuid=${vbd}`, 'param-name=device')) };
    plugs.push(plug);
    return plug;
  };
}
