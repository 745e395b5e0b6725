/**
 * The functions of the plugin. Names, order and meaning of the arguments are those of Nova's own plugin (os-xenapi:
 * os_xenapi/dom0/etc/xapi.d/plugins/glance.py); `sr_uuid`, `ca`, `staging`, `cache` and `cache_size` are vdistream's own.
 */

import { downloadVhd } from './download.ts';
import { serviceByHost, serviceByUrl } from './service.ts';
import { uploadVhd } from './upload.ts';
import type { PluginFunction, Workers } from './work.ts';

/** Of both downloads: the SR if `sr_path` does not name it, and how to fetch the image. `ca` is a file. */
const ADDITIONAL = ['sr_uuid', 'ca', 'staging', 'cache', 'cache_size'];
/** Of Nova's first plugin only. It ignored num_retries too: the caller retries. */
const OF_FIRST = ['auth_token', 'num_retries'];

/** The interface version that Nova asks for. */
const INTERFACE = '2.1';

export function createFunctions(workers: Workers): ReadonlyMap<string, PluginFunction> {
  const functions: Readonly<Record<string, PluginFunction>> = {
    download_vhd2: {
      positional: ['image_id', 'endpoint', 'uuid_stack', 'sr_path', 'extra_headers', 'api_version'],
      others: ADDITIONAL,
      run: async (args, work) => downloadVhd(workers, args, await serviceByUrl(args), work),
    },
    download_vhd: {
      positional: ['image_id', 'glance_host', 'glance_port', 'glance_use_ssl', 'uuid_stack', 'sr_path', 'extra_headers'],
      others: [...OF_FIRST, ...ADDITIONAL],
      run: async (args, work) => downloadVhd(workers, args, await serviceByHost(args), work),
    },
    upload_vhd2: {
      positional: ['vdi_uuids', 'image_id', 'endpoint', 'sr_path', 'extra_headers', 'properties', 'api_version'],
      others: ['ca'],
      run: async (args, work) => uploadVhd(workers, args, await serviceByUrl(args), work),
    },
    upload_vhd: {
      positional: ['vdi_uuids', 'image_id', 'glance_host', 'glance_port', 'glance_use_ssl', 'sr_path', 'extra_headers', 'properties'],
      others: [...OF_FIRST, 'ca'],
      run: async (args, work) => uploadVhd(workers, args, await serviceByHost(args), work),
    },
    get_version: {
      positional: [],
      others: [],
      run: async ({ form }) => (form === 'json' ? { version: INTERFACE, vdistream: workers.version() } : INTERFACE),
    },
  };
  return new Map(Object.entries(functions));
}
