/** Addresses: which of them are this host's own, and which belong to a private network. */

import dns from 'node:dns';
import { BlockList, isIP, isIPv6, type LookupFunction } from 'node:net';

/** `host`: loopback, link-local, or unspecified, which connects to loopback. */
type Scope = 'host' | 'private' | 'public';

/** How names become addresses, and what those are. */
export interface Network {
  readonly lookup: LookupFunction;
  scopeOf(address: string): Scope;
}

/** As node:net does it: with the `lookup` that node:dns has at the time of the call, since programs replace it. */
export const NETWORK: Network = { lookup: (hostname, options, callback) => dns.lookup(hostname, options, callback), scopeOf };

/** RFC 1122 (0/8, 127/8), RFC 3927, RFC 4291 (::, ::1, IPv4-compatible, fe80::/10). BlockList finds IPv4 also in IPv4-mapped addresses. */
const HOST = blockList(['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16'], ['::/96', 'fe80::/10']);

/** RFC 1918, RFC 6598 and RFC 4193. */
const PRIVATE = blockList(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'], ['fc00::/7']);

function blockList(ipv4: readonly string[], ipv6: readonly string[]): BlockList {
  const list = new BlockList();
  for (const [family, subnets] of [['ipv4', ipv4] as const, ['ipv6', ipv6] as const]) {
    for (const subnet of subnets) {
      const [address = '', prefix] = subnet.split('/');
      list.addSubnet(address, Number(prefix), family);
    }
  }
  return list;
}

function scopeOf(address: string): Scope {
  const [plain = ''] = address.split('%'); // without the zone
  const family = isIPv6(plain) ? 'ipv6' : 'ipv4';
  if (HOST.check(plain, family)) return 'host';
  return PRIVATE.check(plain, family) ? 'private' : 'public';
}

/** The address that the host of a URL is, if it is not a name. */
export function literalAddress({ hostname }: URL): string | undefined {
  const host = hostname.replace(/^\[|\]$/g, '');
  return isIP(host) === 0 ? undefined : host;
}

/** Refuses a name if any of its addresses is refused. The connection is made to what was checked, so the answer cannot change between. */
export const checkedLookup =
  (unchecked: LookupFunction, refusalOf: (address: string) => Error | undefined): LookupFunction =>
  (hostname, options, callback) =>
    unchecked(hostname, options, (error, found, family) => {
      const addresses = typeof found === 'string' ? [found] : (found ?? []).map(({ address }) => address);
      const [refusal] = error === null ? addresses.flatMap((address) => refusalOf(address) ?? []) : [];
      callback(refusal ?? error, found, family);
    });
