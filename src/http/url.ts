/** Addresses of web servers and headers of requests: which are taken, and what of them may be shown. */

import { VdiStreamError } from '../errors.ts';

export type HeaderFields = Readonly<Record<string, string>>;

/** A string that a source is opened with is an address and no path if it begins like this. */
export const isUrl = (text: string): boolean => /^https?:\/\//i.test(text);

/** For messages: scheme, host and path. User, query and fragment may hold secrets. */
export function redactUrl(url: string): string {
  if (!URL.canParse(url)) return 'an address that cannot be understood';
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** Throws USAGE, which shows nothing that could be a password. */
export function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !isUrl(url.href)) {
    throw new VdiStreamError('USAGE', 'the address of an image must have the form http://HOST/PATH or https://HOST/PATH');
  }
  if (hasUser(url)) {
    throw new VdiStreamError(
      'USAGE',
      `${redactUrl(text)}: other users of this host could see a name or password in an address; use a file of headers (--headers FILE)`,
    );
  }
  return url;
}

/** Where an answer of `from` sends its client. Throws HTTP_REDIRECT. */
export function redirectTarget(from: URL, location: string, status: number): URL {
  const refuse = (reason: string): never => {
    throw new VdiStreamError('HTTP_REDIRECT', `${redactUrl(from.href)} sends its clients ${reason}`, { status });
  };
  if (!URL.canParse(location, from.href)) return refuse('to an address that cannot be understood');
  const to = new URL(location, from);
  if (!isUrl(to.href)) return refuse(`to another kind of place: ${to.protocol}`);
  if (from.protocol === 'https:' && to.protocol === 'http:') return refuse('from an encrypted connection to one that is not');
  if (hasUser(to)) return refuse('to an address with a name or password in it');
  return to;
}

const hasUser = ({ username, password }: URL): boolean => username !== '' || password !== '';

/** Lower case: what a request needs for itself, so that a header of the caller would break it. */
const RESERVED = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'if-range',
  'keep-alive',
  'range',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** With names in lower case. Throws USAGE, never with a value in it. Names and values: RFC 9110, 5.1 and 5.5. */
export function checkHeaders(headers: HeaderFields): HeaderFields {
  const checked = Object.entries(headers).map(([name, value]: readonly [string, unknown]) => {
    // What stands where the name should be may be the secret itself.
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) {
      throw new VdiStreamError('USAGE', 'the name of a header may have letters, digits and hyphens, and one of them has something else');
    }
    if (RESERVED.has(name.toLowerCase())) throw new VdiStreamError('USAGE', `the header ${name} cannot be given: vdistream sets it itself`);
    if (typeof value !== 'string' || !/^[\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw new VdiStreamError('USAGE', `the value of the header ${name} has characters that no header may have`);
    }
    return [name.toLowerCase(), value] as const;
  });
  return Object.fromEntries(checked);
}
