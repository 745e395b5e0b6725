/** NBD URIs: where a server is, and which of its exports is read. See https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md */

import { VdiStreamError } from '../errors.ts';

export interface NbdAddress {
  /** For messages. The part of an export name after a `?` is left out: with XAPI, it holds the reference of a session. */
  readonly name: string;
  readonly exportName: string;
  readonly place: { readonly host: string; readonly port: number } | { readonly path: string };
  /** The name that the server's certificate must have. Undefined without TLS. */
  readonly tlsName: string | undefined;
}

export const isNbdUri = (text: string): boolean => /^nbds?(?:\+unix)?:\/\//i.test(text);

/** As assigned by IANA. */
const PORT = 10_809;
/** In bytes; no string of the protocol may be longer. */
const LONGEST = 4096;
const FORM = 'nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH, with nbds for TLS';

/** Throws USAGE, never with a part of the URI in it that may be secret. */
export function parseNbdUri(uri: string): NbdAddress {
  const [, scheme = '', authority = '', path = '', query = ''] = /^([a-z+]+):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?$/i.exec(uri) ?? [];
  if (!isNbdUri(uri) || scheme === '') throw usage(`the URI of an export must have the form ${FORM}`);
  if (authority.includes('@')) throw usage('a user name in an NBD URI is not supported');
  const parameters = parametersOf(query);
  const exportName = decoded(path.slice(1));
  if (exportName.includes('\0') || Buffer.byteLength(exportName) > LONGEST) throw usage('the name of the NBD export is invalid');
  const isUnix = /\+unix$/i.test(scheme);
  const socket = parameters.get('socket') ?? '';
  if (isUnix !== (socket !== '')) throw usage(`nbd+unix needs the parameter socket, and only nbd+unix has it: ${FORM}`);
  const place = isUnix ? { path: socket } : tcpPlace(authority);
  const host = 'host' in place ? place.host : 'localhost';
  const shown = exportName.replace(/\?.*/s, '');
  return {
    name: `${scheme.toLowerCase()}://${authority}/${shown}${isUnix ? `?socket=${socket}` : ''}`,
    exportName,
    place,
    tlsName: /^nbds/i.test(scheme) ? (parameters.get('tls-hostname') ?? host) : undefined,
  };
}

const usage = (message: string): VdiStreamError => new VdiStreamError('USAGE', message);

function tcpPlace(authority: string): { readonly host: string; readonly port: number } {
  const [, address, name, digits] = /^(?:\[([\da-f:.]+(?:%25[\w.-]+)?)\]|([^:[\]]+))(?::(\d+))?$/i.exec(authority) ?? [];
  const host = decoded(address ?? name ?? '');
  const port = Number(digits ?? PORT);
  if (host === '' || port < 1 || port > 65_535) throw usage(`the URI of an export must name a host: ${FORM}`);
  return { host, port };
}

const PARAMETERS = ['socket', 'tls-hostname'];

function parametersOf(query: string): ReadonlyMap<string, string> {
  const pairs = query.split('&').filter((pair) => pair !== '');
  return new Map(
    pairs.map((pair) => {
      const [key = '', ...value] = pair.split('=');
      if (!PARAMETERS.includes(key)) {
        throw usage('an NBD URI accepts only the parameters socket and tls-hostname; write a "?" in the name of an export as %3F');
      }
      return [key, decoded(value.join('='))];
    }),
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw usage('the NBD URI has an invalid percent-encoding');
  }
}
