/**
 * The functions of the plugin. Names, order and meaning of the arguments are those of Nova's own plugin (os-xenapi:
 * os_xenapi/dom0/etc/xapi.d/plugins/glance.py); those in `ADDITIONAL` are vdistream's own.
 */

import { readFile } from 'node:fs/promises';
import { messageOf, VdiStreamError } from '../errors.ts';
import { checkHeaders, type HeaderFields } from '../http/url.ts';
import type { CacheOptions } from '../source/cache.ts';
import type { LocalCopy } from '../source/local-copy.ts';
import type { Opener } from '../source/source.ts';
import type { OnWarning } from '../warnings.ts';
import { isUuid } from '../xen/uuid.ts';
import { type Arguments, type Form, required, type Signature, wrong } from './arguments.ts';
import type { PickleValue } from './pickle-read.ts';

/** What the functions call; tests replace it. */
export interface Workers {
  /** Resolves with the uuid of the new VDI. */
  importImage(image: Opener, options: ImportJob): Promise<{ readonly vdi: string }>;
  glanceImage(id: string, where: GlanceServer): Opener;
  /** The same image, staged or cached where the call asks for that. */
  withLocalCopy(image: Opener, copy: LocalCopy): Opener;
  /** Of the package. */
  version(): string;
}

export interface ImportJob extends Work {
  /** The uuid of the storage repository. */
  readonly sr: string;
  /** name-label of the VDI. */
  readonly name: string;
  /** A folder for the layers of a chain that comes in another order than leaf first. */
  readonly staging: string | undefined;
}

interface GlanceServer {
  readonly endpoints: readonly string[];
  readonly version: 1 | 2;
  readonly headers: HeaderFields;
  /** PEM certificates to trust in addition. */
  readonly ca: string | undefined;
}

/** Context of a call. */
export interface Work {
  readonly signal: AbortSignal;
  readonly onWarning: OnWarning;
}

interface PluginFunction extends Signature {
  run(args: Arguments, work: Work): Promise<PickleValue>;
}

/** Of both downloads: the SR if `sr_path` does not name it, and how to fetch the image. `ca` is a file. */
const ADDITIONAL = ['sr_uuid', 'ca', 'staging', 'cache', 'cache_size'];
/** Of Nova's first plugin only. It ignored num_retries too: the caller retries. */
const OF_FIRST = ['auth_token', 'num_retries'];

/** The interface version that Nova asks for. */
const INTERFACE = '2.1';

export function createFunctions(workers: Workers): ReadonlyMap<string, PluginFunction> {
  async function download(args: Arguments, endpoint: string, version: 1 | 2, work: Work): Promise<PickleValue> {
    const id = required('image_id', args.text('image_id'));
    const staging = file('staging', args);
    const job = { sr: repository(args), name: `glance ${id}`, staging, ...work };
    const cache = cacheOf(args);
    const image = workers.glanceImage(id, { endpoints: [endpoint], version, headers: headersOf(args), ca: await certificates(args) });
    const { vdi } = await workers.importImage(workers.withLocalCopy(image, { cache, staging }), job);
    return replyOf(vdi, args.form);
  }

  const functions: Readonly<Record<string, PluginFunction>> = {
    download_vhd2: {
      positional: ['image_id', 'endpoint', 'uuid_stack', 'sr_path', 'extra_headers', 'api_version'],
      others: ADDITIONAL,
      async run(args, work) {
        const endpoint = required('endpoint', args.text('endpoint'));
        const version = args.integer('api_version', '1 or 2', (value) => value === 1 || value === 2);
        return download(args, endpoint, version === 2 ? 2 : 1, work);
      },
    },
    download_vhd: {
      positional: ['image_id', 'glance_host', 'glance_port', 'glance_use_ssl', 'uuid_stack', 'sr_path', 'extra_headers'],
      others: [...OF_FIRST, ...ADDITIONAL],
      run: async (args, work) => download(args, endpointOf(args), 1, work),
    },
    get_version: {
      positional: [],
      others: [],
      run: async ({ form }) => (form === 'json' ? { version: INTERFACE, vdistream: workers.version() } : INTERFACE),
    },
  };
  return new Map(Object.entries(functions));
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

function headersOf(args: Arguments): HeaderFields {
  const token = args.text('auth_token');
  return { ...args.headers('extra_headers'), ...(token === undefined ? {} : checkHeaders({ 'x-auth-token': token })) };
}

function endpointOf(args: Arguments): string {
  const host = required('glance_host', args.text('glance_host'));
  const port = required(
    'glance_port',
    args.integer('glance_port', 'a port', (value) => value > 0 && value < 65_536),
  );
  // An IPv6 address has colons, and needs brackets in a URL.
  const name = /^[0-9a-f:]*:[0-9a-f:.]*$/i.test(host) ? `[${host}]` : host;
  if (!/^([\w.-]+|\[[0-9a-f:.]+\])$/i.test(name)) throw wrong('Argument glance_host must be a host name or an address.');
  return `${args.flag('glance_use_ssl') ? 'https' : 'http'}://${name}:${port}`;
}

/** Both of its arguments or none. */
function cacheOf(args: Arguments): CacheOptions | undefined {
  const cache = file('cache', args);
  const size = args.integer('cache_size', 'a number of bytes', (bytes) => bytes > 0);
  return cache === undefined && size === undefined ? undefined : { folder: required('cache', cache), size: required('cache_size', size) };
}

/** Absolute, because the working directory of a plugin is undefined. */
function file(name: string, args: Arguments): string | undefined {
  const path = args.text(name);
  if (path !== undefined && !path.startsWith('/')) throw wrong(`Argument ${name} must be an absolute path.`);
  return path;
}

async function certificates(args: Arguments): Promise<string | undefined> {
  const path = file('ca', args);
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const reason = messageOf(cause);
    throw new VdiStreamError('USAGE', `Argument ca: ${reason}`, { cause });
  }
}
