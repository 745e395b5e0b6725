/** What `--version` prints: versions, the platform, where the addon is, and what decompresses. It never fails: it is asked when something does. */

import { type Decoders, decoders } from '../codec/decoders.ts';
import { messageOf } from '../errors.ts';
import { loadAddon } from '../host/native.ts';
import { isNodeSupported, OLDEST_NODE, VERSION } from '../version.ts';
import type { Printed } from './output.ts';

export function versions(json: boolean): Printed {
  const facts = versionFacts();
  if (json) return { json: facts };
  const { version, node, nodeSupported, platform, addon, decoders: found } = facts;
  const rows = Object.entries(found).map(([compression, { by, from }]) => `${compression}: ${decoderText(compression, by, from)}`);
  return [
    `vdistream ${version}`,
    `node: ${node}${nodeSupported ? '' : `, not supported: vdistream needs ${OLDEST_NODE} or later`}`,
    `platform: ${platform.os} ${platform.arch}, ${platform.libc ?? 'a C library other than glibc'}`,
    `addon: ${addon.from ?? `missing: ${addon.reason}`}`,
    ...rows,
  ];
}

interface VersionFacts {
  readonly version: string;
  /** Of gzip, as in `decoders`. */
  readonly inflate: string;
  readonly from: string | undefined;
  readonly node: string;
  readonly nodeSupported: boolean;
  readonly platform: { readonly os: string; readonly arch: string; readonly libc: string | undefined };
  /** Where it is, or why it cannot be loaded. */
  readonly addon: { readonly from?: string; readonly reason?: string };
  readonly decoders: Decoders;
}

export function versionFacts(): VersionFacts {
  const found = decoders();
  const { by: inflate, from } = found.gzip;
  return {
    version: VERSION,
    inflate,
    from,
    node: process.versions.node,
    nodeSupported: isNodeSupported(),
    platform: { os: process.platform, arch: process.arch, libc: glibc() },
    addon: addonPlace(),
    decoders: found,
  };
}

function addonPlace(): VersionFacts['addon'] {
  try {
    return { from: loadAddon().from };
  } catch (error) {
    return { reason: messageOf(error) };
  }
}

const NAMES = { isal: 'ISA-L', zlib: 'the zlib in Node, called by the addon', node: 'node:zlib', program: 'the program' } as const;

function decoderText(compression: string, by: keyof typeof NAMES, from: string | undefined): string {
  if (by === 'program') return from === undefined ? `missing: no program \`${compression}\` on the PATH` : `${NAMES[by]} ${from}`;
  return from === undefined ? NAMES[by] : `${NAMES[by]}, from ${from}`;
}

/** With its version; undefined with another C library. */
function glibc(): string | undefined {
  const report: unknown = process.report?.getReport();
  const header: unknown = typeof report === 'object' && report !== null ? Reflect.get(report, 'header') : undefined;
  const version: unknown = typeof header === 'object' && header !== null ? Reflect.get(header, 'glibcVersionRuntime') : undefined;
  return typeof version === 'string' ? `glibc ${version}` : undefined;
}
