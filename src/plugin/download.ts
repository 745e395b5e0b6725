/** Download: from the image service to a new VDI. */

import { redactUrl } from '../http/url.ts';
import type { CacheOptions } from '../source/cache.ts';
import { isUuid } from '../xen/uuid.ts';
import { type Arguments, type Form, required, wrong } from './arguments.ts';
import type { PickleValue } from './pickle-read.ts';
import type { GlanceAccess, Work, Workers } from './work.ts';

export async function downloadVhd(workers: Workers, args: Arguments, where: GlanceAccess, work: Work): Promise<PickleValue> {
  const { signal, onWarning, log } = work;
  const id = required('image_id', args.text('image_id'));
  const sr = repository(args);
  const staging = args.file('staging');
  const cache = cacheOf(args);
  const image = workers.withLocalCopy(workers.glanceImage(id, where), { cache, staging });
  log.start({ image: id, sr, endpoint: redactUrl(where.endpoints[0]) });
  const { vdi, bytesRead } = await workers.importImage(image, { sr, name: `glance ${id}`, staging, signal, onWarning });
  log.add({ vdi, bytes: bytesRead });
  return replyOf(vdi, args.form);
}

/** The uuid is the one xapi chose, none of `uuid_stack`: the caller relies on the reply. */
const replyOf = (vdi: string, form: Form): PickleValue => (form === 'flat' ? [{ vdi_type: 'os', vdi_uuid: vdi }] : { root: { uuid: vdi } });

/** `sr_path` ends with the uuid of the SR, unless its mount point was renamed. */
function repository(args: Arguments): string {
  const uuid = args.text('sr_uuid')?.toLowerCase();
  if (uuid !== undefined) {
    if (!isUuid(uuid)) throw wrong('Argument sr_uuid must be the uuid of a storage repository.');
    return uuid;
  }
  const path = required('sr_path', args.text('sr_path')).toLowerCase();
  const last = path.split('/').findLast((part) => part !== '') ?? '';
  if (!isUuid(last)) throw wrong('Argument sr_path does not end with the uuid of a storage repository. Pass the uuid as sr_uuid.');
  return last;
}

/** Both of its arguments or none. */
function cacheOf(args: Arguments): CacheOptions | undefined {
  const cache = args.file('cache');
  const size = args.integer('cache_size', 'a number of bytes', (bytes) => bytes > 0);
  return cache === undefined && size === undefined ? undefined : { folder: required('cache', cache), size: required('cache_size', size) };
}
