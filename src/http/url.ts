/** URLs and request headers: which are accepted, and how much of them messages may show. */

import { VdiStreamError } from '../errors.ts';

export type HeaderFields = Readonly<Record<string, string>>;

/** Whether a source is a URL rather than a path. */
export const isUrl = (text: string): boolean => /^https?:\/\//i.test(text);

/** Throws USAGE for a URL where there must be a path: no file is called so by mistake. `accepted` says what can be passed. */
export function refuseScheme(text: string, accepted: string): void {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return;
  throw new VdiStreamError('USAGE', `${redactUrl(text)} is a URL, but ${accepted}; for a file with this name, use ./`);
}

/**
 * For messages: scheme, host and path only. User, query and fragment may hold secrets, and so may an encoded query: the URI of an NBD export
 * has that of XAPI's name for it, with the reference of a session.
 */
export function redactUrl(url: string): string {
  if (!URL.canParse(url)) return 'an invalid URL';
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname.replace(/%3f.*/is, '')}`;
}

/** A word of a command line, with each secret that it may hold left out: of a URL all but what `redactUrl` shows, of a header the value. */
export const redactWord = (word: string): string =>
  word.replace(/[a-z][a-z0-9+.-]*:\/\/.*/is, redactUrl).replace(/^((?:--?[\w-]+=)?[\w-]+:\s).*/s, '$1…');

/** Throws USAGE, never with a password in it. */
export function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !isUrl(url.href)) {
    throw new VdiStreamError('USAGE', 'the URL of an image must have the form http://HOST/PATH or https://HOST/PATH');
  }
  if (hasUser(url)) {
    throw new VdiStreamError(
      'USAGE',
      `${redactUrl(text)}: a user name or password in a URL is visible to other users of this host; put it into the headers`,
    );
  }
  return url;
}

/** The URL that `from` redirects to. Throws HTTP_REDIRECT. */
export function redirectTarget(from: URL, location: string, status: number): URL {
  const refuse = (reason: string): never => {
    throw new VdiStreamError('HTTP_REDIRECT', `${redactUrl(from.href)} redirects ${reason}`, { status });
  };
  if (!URL.canParse(location, from.href)) return refuse('to an invalid URL');
  const to = new URL(location, from);
  if (!isUrl(to.href)) return refuse(`to an unsupported scheme: ${to.protocol}`);
  if (from.protocol === 'https:' && to.protocol === 'http:') return refuse('from https to http');
  if (hasUser(to)) return refuse('to a URL with a user name or password');
  return to;
}

const hasUser = ({ username, password }: URL): boolean => username !== '' || password !== '';

/** Headers that the client sets itself; the caller's would break the request. */
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

/** Returns them with names in lower case. Throws USAGE, never with a value in it. Syntax: RFC 9110, 5.1 and 5.5. */
export function checkHeaders(headers: HeaderFields): HeaderFields {
  const checked = Object.entries(headers).map(([name, value]: readonly [string, unknown]) => {
    // Not shown: the secret may be in the place of the name.
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) {
      throw new VdiStreamError('USAGE', 'a header name has a character other than letters, digits and hyphens');
    }
    if (RESERVED.has(name.toLowerCase())) throw new VdiStreamError('USAGE', `the header ${name} cannot be set: vdistream sets it itself`);
    if (typeof value !== 'string' || !/^[\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw new VdiStreamError('USAGE', `the value of the header ${name} has a character that is not allowed in headers`);
    }
    return [name.toLowerCase(), value] as const;
  });
  return Object.fromEntries(checked);
}
