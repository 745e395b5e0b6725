/** The toolstack of a pool, through XAPI and over the network: no Dom0, no root, no addon. */

import type { ImportToolstack } from './toolstack.ts';
import type { XapiOptions } from './xapi-options.ts';
import { withSession } from './xapi-session.ts';
import { refuseTooLarge, srRecord, type WritingHost, writingHost } from './xapi-sr.ts';
import { xapiTarget } from './xapi-target.ts';
import { mapField, numberField, textField } from './xapi-values.ts';
import {
  createVdiInPool,
  destroyVdi,
  listTaggedInPool,
  setSourceInPool,
  untagInPool,
  vbdsInPool,
  vdiFactsInPool,
  vdiRecord,
  waitUntilUnplugged,
} from './xapi-vdi.ts';

/** Logs in, and out again after `use`. Throws what `withSession` does. */
export const withXapi = <T>(
  xapi: XapiOptions,
  signal: AbortSignal | undefined,
  use: (toolstack: ImportToolstack) => Promise<T>,
): Promise<T> =>
  withSession(xapi, signal, (session) => {
    const { timeout, detachTimeout = 300_000, pause = 1000 } = xapi;
    const patience = { detachTimeout, pause };
    const unplug = (vbd: string): Promise<void> => waitUntilUnplugged(session, vbd, patience);
    const hosts = new Map<string, WritingHost>();
    /** Looked up once for each SR. A transfer to a host that is gone meanwhile fails. */
    async function hostOf(sr: string, cancel?: AbortSignal): Promise<WritingHost> {
      const host = hosts.get(sr) ?? (await writingHost(session, sr, cancel));
      hosts.set(sr, host);
      return host;
    }
    return use({
      async checkHost(sr, cancel) {
        await hostOf(sr, cancel);
      },
      srType: async (sr, cancel) => textField(await srRecord(session, sr, cancel), 'type'),
      srConfig: async (sr, cancel) => mapField(await srRecord(session, sr, cancel), 'sm_config'),
      async createVdi(vdi, tag, cancel) {
        await refuseTooLarge(session, vdi, await hostOf(vdi.sr, cancel), cancel);
        return createVdiInPool(session, vdi, tag, cancel);
      },
      vdiSize: async (vdi, cancel) => numberField(await vdiRecord(session, vdi, cancel), 'virtual_size'),
      vdiFacts: (vdi, cancel) => vdiFactsInPool(session, vdi, cancel),
      destroyVdi: (vdi) => destroyVdi(session, vdi, patience),
      attach: async (vdi, cancel) => ({
        target: xapiTarget(session, vdi, { url: (await hostOf(vdi.sr, cancel)).url, timeout, pause, signal: cancel }),
        async detach() {
          for (const vbd of (await vbdsInPool(session, vdi.uuid)).ours) await unplug(vbd);
        },
      }),
      vbdsOf: (vdi) => vbdsInPool(session, vdi),
      unplug,
      setSource: (vdi, source, cancel) => setSourceInPool(session, vdi, source, cancel),
      untag: (vdi, tag) => untagInPool(session, vdi, tag),
      listTagged: (tag, sr, cancel) => listTaggedInPool(session, tag, sr, cancel),
    });
  });
