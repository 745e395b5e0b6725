/**
 * Packing an OVA: the descriptor, the disks in its order, and the manifest. DSP0243 allows the manifest after the descriptor or at the end;
 * at the end all digests are known, so the disks are read once.
 */

import { checkOptions } from '../arguments.ts';
import { checkArguments } from '../block-arguments.ts';
import { type Chunks, checkedChunks } from '../cursor.ts';
import { digester } from './manifest.ts';
import { writeOvf } from './ovf-write.ts';
import { type PackedArchive, type PackMember, packTar } from './pack.ts';

/** A VHD. */
export interface OvaDisk {
  /** Bytes of the disk. */
  readonly virtualSize: number;
  /** Bytes of the VHD. */
  readonly length: number;
  /** The VHD. Called once, after the disks before it have been read to their ends. */
  bytes(): Chunks;
}

export interface OvaOptions {
  /** What an importer will call the machine; any text. The names of the members begin with it, too. */
  readonly name: string;
  /** As in `packTar`. */
  readonly mtime: number;
}

const SHA256_DIGITS = 64;

/** Throws USAGE. */
export function packOva(disks: readonly OvaDisk[], options: OvaOptions): PackedArchive {
  checkArguments('packOva', disks);
  checkOptions('packOva', options);
  const { name, mtime } = options;
  const prefix = memberPrefix(name);
  const named = disks.map((disk, index) => ({ name: `${prefix}-disk${index + 1}.vhd`, disk }));
  const descriptor = Buffer.from(
    writeOvf(
      name,
      named.map(({ name: member, disk: { length, virtualSize } }) => ({ name: member, length, virtualSize })),
    ),
  );
  const digests = new Map<string, string>();
  const hashed = (member: PackMember): PackMember => ({
    ...member,
    async *bytes() {
      const hash = digester(['sha256']);
      for await (const chunk of checkedChunks(member.bytes())) {
        hash.update(chunk);
        yield chunk;
      }
      digests.set(member.name, hash.digests().sha256 ?? '');
    },
  });
  const members = [
    hashed({ name: `${prefix}.ovf`, length: descriptor.length, bytes: () => once(() => descriptor) }),
    ...named.map(({ name: member, disk }) => hashed({ name: member, length: disk.length, bytes: () => disk.bytes() })),
  ];
  const line = (member: string, digest: string): string => `SHA256(${member})= ${digest}\n`;
  const manifest: PackMember = {
    name: `${prefix}.mf`,
    length: members.reduce((sum, member) => sum + line(member.name, '').length + SHA256_DIGITS, 0),
    bytes: () => once(() => Buffer.from(members.map((member) => line(member.name, digests.get(member.name) ?? '')).join(''))),
  };
  return packTar([...members, manifest], { mtime });
}

async function* once(bytes: () => Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  yield bytes();
}

const MAX_PREFIX = 64;

/** Letters, digits and a few marks: what needs no encoding in an href, and what every file system accepts. */
export function memberPrefix(name: string): string {
  const plain = name
    .replace(/[^A-Za-z0-9._-]+/g, '_')
    .replace(/^[._-]+/, '')
    .slice(0, MAX_PREFIX);
  return plain === '' ? 'machine' : plain;
}
