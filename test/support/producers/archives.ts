/** Archives in the dialects of tar that clouds and people use: by hand, and by the programs that are here. */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { chainTar, sampleChain, stored } from '../chains.ts';
import { noise } from '../chunks.ts';
import { fixedVhd } from '../make-vhd.mjs';
import { type Entry, manifestOf, ovfOf, sample } from '../packages.ts';
import { base256, paxHeader, TAR_END, tarHeader, tarMember, tarOf } from '../tar.ts';
import { type Image, madeImage } from './image.ts';

const { vhd, content } = sample(41);
const GNU = 'ustar  \0';
const LONG = `${'d'.repeat(60)}/${'e'.repeat(60)}/image.vhd`;
const LONG_NAME = `${'n'.repeat(150)}.vhd`;

/** An archive of the one disk, compressed as Nova does it. */
function packed(file: string, tar: () => Uint8Array, disk: { readonly content: Uint8Array } = { content }): Image {
  return madeImage({
    file: `made/archive/${file}`,
    kind: 'ova(tar.gz)',
    virtualSize: disk.content.length,
    content: () => disk.content,
    files: () => [['image.ova', gzipSync(tar(), { level: 1 })]],
  });
}

/** Members and the end of the archive, filled up to whole records of 20 blocks as tar programs do. */
function recorded(...members: readonly Uint8Array[]): Buffer {
  const tar = Buffer.concat([...members, TAR_END]);
  return Buffer.concat([tar, Buffer.alloc((10_240 - (tar.length % 10_240)) % 10_240)]);
}

const dialects = (): Image[] => [
  packed('gnu', () => recorded(tarMember({ name: 'image.vhd', magic: GNU }, vhd))),
  packed('ustar', () => recorded(tarMember({ name: './image.vhd' }, vhd))),
  packed('unix-v7', () => recorded(tarMember({ name: 'image.vhd', type: '\0', magic: '' }, vhd))),
  packed('posix', () => recorded(paxHeader({ mtime: '1700000000.123456789' }), tarMember({ name: 'image.vhd' }, vhd))),
  packed('ustar-prefix', () => recorded(tarMember({ name: LONG.slice(61), prefix: LONG.slice(0, 60) }, vhd))),
  packed('gnu-long-name', () =>
    recorded(
      tarMember({ name: '././@LongLink', type: 'L', magic: GNU }, Buffer.from(`${LONG_NAME}\0`)),
      tarMember({ name: LONG_NAME.slice(0, 100), magic: GNU }, vhd),
    ),
  ),
  packed('pax-path', () => recorded(paxHeader({ path: LONG_NAME }), tarMember({ name: 'junk.bin' }, vhd))),
  packed('pax-size-over-zero', () =>
    recorded(paxHeader({ size: String(vhd.length) }), tarHeader({ name: 'image.vhd' }), vhd, Buffer.alloc(-vhd.length & 511)),
  ),
  packed('size-in-base-256', () => recorded(tarMember({ name: 'image.vhd', magic: GNU, size: base256(BigInt(vhd.length)) }, vhd))),
  packed('negative-mtime-in-base-256', () => recorded(tarMember({ name: 'image.vhd', magic: GNU, at: { 136: base256(-1n) } }, vhd))),
  packed('sum-of-signed-bytes', () =>
    recorded(tarMember({ name: 'image.vhd', signed: true, at: { 265: Uint8Array.of(0xe9, 0xfc) } }, vhd)),
  ),
  packed('contiguous-file', () => recorded(tarMember({ name: 'image.vhd', type: '7' }, vhd))),
  packed('without-end', () => tarMember({ name: 'image.vhd' }, vhd)),
  packed('one-zero-block-at-the-end', () => Buffer.concat([tarMember({ name: 'image.vhd' }, vhd), Buffer.alloc(512)])),
];

const { vhds, content: chained } = sampleChain({ batmap: true, locators: 'bytes', parentName: 'base.vhd' });
const chain = { content: chained };
const fixed = Buffer.from(noise(200 << 10, 42));

/** How Nova, Glance and others lay an image out. */
const layouts = (): Image[] => [
  packed('nova-single', () => tarOf([['0.vhd', vhd]])),
  packed('nova-folder', () =>
    tarOf([
      ['./', Buffer.alloc(0)],
      ['./0.vhd', vhd],
    ]),
  ),
  packed('nova-chain', () => chainTar(vhds), chain),
  packed('nova-chain-order-201', () => chainTar(vhds, [2, 0, 1]), chain),
  packed('nova-chain-order-210', () => chainTar(vhds, [2, 1, 0], (rank) => `./${rank}.vhd`), chain),
  packed('any-name', () => tarOf([['7f6c1f1e-disk.vhd', vhd]])),
  packed('upper-case', () => tarOf([['IMAGE.VHD', vhd]])),
  packed('in-folders', () =>
    tarOf([
      ['export/', Buffer.alloc(0)],
      ['export/vm1/', Buffer.alloc(0)],
      ['export/vm1/image.vhd', vhd],
    ]),
  ),
  packed('long-folders', () => recorded(paxHeader({ path: LONG }), tarMember({ name: 'image.vhd' }, vhd))),
  packed('fixed-disk', () => tarOf([['image.vhd', fixedVhd(fixed, 'qem2')]]), { content: fixed }),
  packed('ovf-first', () => tarOf(ovfPackage(([ovf, manifest, disk]) => [ovf, manifest, disk]))),
  packed('ovf-manifest-last', () => tarOf(ovfPackage(([ovf, manifest, disk]) => [ovf, disk, manifest]))),
];

function ovfPackage(order: (parts: readonly [Entry, Entry, Entry]) => Entry[]): Entry[] {
  const [ovf, disk]: Entry[] & [Entry, Entry] = [
    ['box.ovf', ovfOf(['image.vhd'])],
    ['image.vhd', vhd],
  ];
  return order([ovf, ['box.mf', manifestOf([ovf, disk])], disk]);
}

/** The same, packed in other ways. */
function packings(): Image[] {
  const tar = tarOf([['image.vhd', vhd]]);
  const answers = { virtualSize: content.length, content: () => content } as const;
  const third = Math.floor(tar.length / 3);
  const members = [tar.subarray(0, 1000), tar.subarray(1000, third), Buffer.alloc(0), tar.subarray(third)];
  return [
    madeImage({ file: 'made/archive/plain-tar', kind: 'tar', ...answers, files: () => [['image.ova', tar]] }),
    madeImage({
      file: 'made/archive/gzip-of-four-members',
      kind: 'ova(tar.gz)',
      ...answers,
      files: () => [['image.ova', Buffer.concat(members.map((member) => gzipSync(member)))]],
    }),
    madeImage({ file: 'made/archive/gzip-of-a-vhd', kind: 'vhd.gz', ...answers, files: () => [['image.vhd.gz', gzipSync(vhd)]] }),
  ];
}

export const producedArchives = (): Image[] => [...dialects(), ...layouts(), ...packings()];

/** An archive that a program makes of the folder that the disk is in. */
function byProgram(file: string, program: string, ...args: readonly string[]): Image {
  return {
    ...madeImage({ file: `${program}/${file}`, kind: 'ova(tar.gz)', virtualSize: content.length, content: () => content, files: () => [] }),
    async store(folder) {
      const inside = join(folder, 'inside');
      mkdirSync(inside);
      stored(inside, '0.vhd', vhd);
      execFileSync(program, args, { cwd: inside, stdio: 'pipe' });
      return [join(folder, 'image.ova')];
    },
  };
}

/** The second is the command of Nova's Dom0 plugin. */
export const archivesOfTar = (): Image[] => [
  byProgram('gnu', 'tar', '--format=gnu', '-czf', '../image.ova', '0.vhd'),
  byProgram('nova', 'tar', '-zcf', '../image.ova', '--directory=.', '.'),
  byProgram('oldgnu', 'tar', '--format=oldgnu', '-czf', '../image.ova', '0.vhd'),
  byProgram('ustar', 'tar', '--format=ustar', '-czf', '../image.ova', './0.vhd'),
  byProgram('posix', 'tar', '--format=posix', '-czf', '../image.ova', '0.vhd'),
  byProgram('v7', 'tar', '--format=v7', '-czf', '../image.ova', '0.vhd'),
];

export const archivesOfBsdtar = (): Image[] => [
  byProgram('pax', 'bsdtar', '--no-read-sparse', '-czf', '../image.ova', '0.vhd'),
  byProgram('ustar', 'bsdtar', '--format', 'ustar', '-czf', '../image.ova', './0.vhd'),
];

export const archivesOf7zip = (): Image[] => [
  byProgram('tar', '7z', 'a', '-ttar', '../image.ova', '0.vhd'),
  byProgram('pax', '7z', 'a', '-ttar', '-mm=pax', '../image.ova', '0.vhd'),
];

/** As Nova's VdiStreamStore does it: one member, made by hand, with no time and no owner. */
const TARFILE = `
import tarfile
with tarfile.open('../image.ova', 'w:gz', format=tarfile.FORMAT, compresslevel=6) as tar, open('0.vhd', 'rb') as disk:
    member = tarfile.TarInfo('0.vhd')
    member.size = disk.seek(0, 2)
    disk.seek(0)
    tar.addfile(member, disk)
`;

export const archivesOfPython = (): Image[] => [
  byProgram('tarfile-gnu', 'python3', '-c', TARFILE.replace('FORMAT', 'GNU_FORMAT')),
  byProgram('tarfile-pax', 'python3', '-c', TARFILE.replace('FORMAT', 'PAX_FORMAT')),
];
