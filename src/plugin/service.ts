/** Where the image service is, and how to log in there, from the arguments of a call. */

import { readFile } from 'node:fs/promises';
import { messageOf, VdiStreamError } from '../errors.ts';
import { checkHeaders, type HeaderFields } from '../http/url.ts';
import { type Arguments, required, wrong } from './arguments.ts';
import type { GlanceAccess } from './work.ts';

/** From `endpoint` and `api_version`. */
export async function serviceByUrl(args: Arguments): Promise<GlanceAccess> {
  const endpoint = required('endpoint', args.text('endpoint'));
  const version = args.integer('api_version', '1 or 2', (value) => value === 1 || value === 2);
  return serviceAt(endpoint, version === 2 ? 2 : 1, args);
}

/** From `glance_host`, `glance_port` and `glance_use_ssl`. */
export async function serviceByHost(args: Arguments): Promise<GlanceAccess> {
  const host = required('glance_host', args.text('glance_host'));
  const port = required(
    'glance_port',
    args.integer('glance_port', 'a port', (value) => value > 0 && value < 65_536),
  );
  // An IPv6 address has colons, and needs brackets in a URL.
  const name = /^[0-9a-f:]*:[0-9a-f:.]*$/i.test(host) ? `[${host}]` : host;
  if (!/^([\w.-]+|\[[0-9a-f:.]+\])$/i.test(name)) throw wrong('Argument glance_host must be a host name or an address.');
  return serviceAt(`${args.flag('glance_use_ssl') ? 'https' : 'http'}://${name}:${port}`, 1, args);
}

async function serviceAt(endpoint: string, version: 1 | 2, args: Arguments): Promise<GlanceAccess> {
  return { endpoints: [endpoint], version, headers: headersOf(args), ca: await certificates(args) };
}

function headersOf(args: Arguments): HeaderFields {
  const token = args.text('auth_token');
  return { ...args.headers('extra_headers'), ...(token === undefined ? {} : checkHeaders({ 'x-auth-token': token })) };
}

async function certificates(args: Arguments): Promise<string | undefined> {
  const path = args.file('ca');
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const reason = messageOf(cause);
    throw new VdiStreamError('USAGE', `Argument ca: ${reason}`, { cause });
  }
}
