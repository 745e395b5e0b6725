/** Archives and chains that are damaged, or made to do harm, and the code that each is to be refused with. */

import { gzipSync } from 'node:zlib';
import { chainTar, pair, sampleChain } from '../chains.ts';
import { noise } from '../chunks.ts';
import { type Entry, sample } from '../packages.ts';
import { withBytes, withHeader } from '../patch.ts';
import { base256, paxHeader, TAR_END, tarHeader, tarMember, tarOf, tarPadding } from '../tar.ts';
import { chainVhds, type Form } from '../vhd-model.ts';
import { threeLayers } from './chains.ts';
import { type Image, madeImage } from './image.ts';

const { vhd, content } = sample(51);
const other = sample(52).vhd;
const GNU = 'ustar  \0';
const gzip = (bytes: Uint8Array): Buffer => gzipSync(bytes, { level: 1 });

function hostile(file: string, code: string, kind: string, files: () => readonly Entry[], disk: Uint8Array): Image {
  return madeImage({
    file: `made/hostile/${file}`,
    kind,
    code,
    virtualSize: code === 'ok' ? disk.length : null,
    ...(code === 'ok' ? { content: () => disk } : {}),
    files,
    mayDiffer: code === 'ok',
  });
}

const stream = (file: string, code: string, bytes: () => Uint8Array): Image =>
  hostile(file, code, 'ova(tar.gz)', () => [['image.ova', bytes()]], content);

const archive = (file: string, code: string, tar: () => Uint8Array): Image => stream(file, code, () => gzip(tar()));

const single = gzip(tarOf([['image.vhd', vhd]]));

const gzips = (): Image[] => [
  stream('gzip-bad-crc', 'COMPRESSION_CHECKSUM', () =>
    withBytes(single, (bytes) => void bytes.writeUInt32LE(bytes.readUInt32LE(bytes.length - 8) ^ 1, bytes.length - 8)),
  ),
  stream('gzip-bad-length', 'COMPRESSION_CHECKSUM', () => withBytes(single, (bytes) => void bytes.writeUInt32LE(7, bytes.length - 4))),
  stream('gzip-cut-in-its-header', 'COMPRESSION_TRUNCATED', () => single.subarray(0, 10)),
  stream('gzip-cut-in-the-middle', 'COMPRESSION_TRUNCATED', () => single.subarray(0, single.length >> 1)),
  stream('gzip-method-7', 'COMPRESSION_DATA', () => withBytes(single, (bytes) => void bytes.writeUInt8(7, 2))),
  stream('gzip-of-nothing', 'SOURCE_EMPTY', () => gzip(Buffer.alloc(0))),
];

const sizes = (): Image[] => [
  archive('tar-empty', 'FORMAT_UNKNOWN', () => Buffer.alloc(10_240)),
  archive('tar-size-larger-than-the-data', 'SOURCE_TRUNCATED', () =>
    Buffer.concat([tarHeader({ name: 'image.vhd', size: vhd.length + (1 << 20) }), vhd, tarPadding(vhd.length), TAR_END]),
  ),
  archive('tar-size-negative', 'TAR_SIZE', () => Buffer.concat([tarHeader({ name: 'image.vhd', size: base256(-1n) }), vhd, TAR_END])),
  archive('tar-cut-in-the-disk', 'SOURCE_TRUNCATED', () => tarOf([['image.vhd', vhd]]).subarray(0, 100_000)),
  archive('tar-header-bad-sum', 'TAR_HEADER', () =>
    withBytes(
      tarOf([
        ['first.txt', Buffer.from('text')],
        ['image.vhd', vhd],
      ]),
      (bytes) => void bytes.writeUInt8(0x78, 1024),
    ),
  ),
  archive('tar-empty-disk', 'DISK_EMPTY', () => tarOf([['0.vhd', Buffer.alloc(0)]])),
  archive('tar-volume-of-several', 'TAR_MULTIVOLUME', () =>
    Buffer.concat([tarMember({ name: '0.vhd', type: 'M', magic: GNU }, vhd), TAR_END]),
  ),
];

/** Names are only ever compared: nothing outside of the target is opened or written. */
const names = (): Image[] => [
  archive('name-with-dots', 'ok', () => tarOf([['../../../../0.vhd', vhd]])),
  archive('name-absolute', 'ok', () => tarOf([['/etc/0.vhd', vhd]])),
  archive('name-with-a-drive', 'ok', () => tarOf([['C:\\evil\\0.vhd', vhd]])),
  archive('symbolic-link', 'TAR_NOT_A_FILE', () =>
    Buffer.concat([tarHeader({ name: '0.vhd', type: '2', linkname: '/etc/passwd' }), TAR_END]),
  ),
  archive('hard-link', 'TAR_NOT_A_FILE', () => Buffer.concat([tarHeader({ name: '0.vhd', type: '1', linkname: '/etc/passwd' }), TAR_END])),
  archive('folder-named-like-a-disk', 'TAR_NOT_A_FILE', () => tarOf([['0.vhd/', Buffer.alloc(0)]])),
];

const extensions = (): Image[] => [
  archive('pax-record-without-newline', 'TAR_EXTENSION', () =>
    Buffer.concat([paxHeader('20 path=image.vhd...'), tarMember({ name: '0.vhd' }, vhd), TAR_END]),
  ),
  archive('pax-header-at-the-end', 'TAR_EXTENSION', () =>
    Buffer.concat([tarMember({ name: '0.vhd' }, vhd), paxHeader({ path: 'x' }), TAR_END]),
  ),
  archive('gnu-name-of-64M', 'TAR_EXTENSION', () =>
    Buffer.concat([
      tarMember({ name: '././@LongLink', type: 'L', magic: GNU }, Buffer.alloc(64 << 20, 'a')),
      tarMember({ name: '0.vhd', magic: GNU }, vhd),
      TAR_END,
    ]),
  ),
  archive('gnu-50-names', 'ok', () => {
    const name = tarMember({ name: '././@LongLink', type: 'L', magic: GNU }, Buffer.from('0.vhd\0'));
    return Buffer.concat([...Array<Buffer>(50).fill(name), tarMember({ name: 'x', magic: GNU }, vhd), TAR_END]);
  }),
  // One piece of 512 bytes of a file of 9 GiB.
  archive('gnu-sparse', 'TAR_SPARSE', () => {
    const at = { 386: '00000000000\0', 398: '00000001000\0', 483: base256(9n << 30n) };
    return Buffer.concat([tarMember({ name: 'image.vhd', type: 'S', magic: GNU, at }, noise(512, 1)), TAR_END]);
  }),
  archive('pax-sparse', 'TAR_SPARSE', () => {
    const records = {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'image.vhd',
      'GNU.sparse.realsize': '9663676416',
    };
    const map = Buffer.alloc(512);
    map.write('1\n0\n512\n');
    return Buffer.concat([
      paxHeader(records),
      tarMember({ name: 'GNUSparseFile.0/image.vhd' }, Buffer.concat([map, noise(512, 1)])),
      TAR_END,
    ]);
  }),
];

const layers = sampleChain().vhds;
const [leaf = vhd, , bottom = vhd] = layers;

/** What is in the archive is not one disk, or no disk. */
const members = (): Image[] => [
  archive('two-of-one-name', 'DISK_DUPLICATE', () =>
    tarOf([
      ['0.vhd', vhd],
      ['0.vhd', vhd],
    ]),
  ),
  archive('two-disks', 'DISK_AMBIGUOUS', () =>
    tarOf([
      ['image.vhd', vhd],
      ['data.vhd', other],
    ]),
  ),
  archive('numbered-but-no-chain', 'CHAIN_TYPE', () => chainTar([vhd, other])),
  archive('chain-with-a-gap', 'CHAIN_GAP', () =>
    tarOf([
      ['0.vhd', leaf],
      ['2.vhd', bottom],
    ]),
  ),
  archive('chain-without-its-parents', 'VHD_DIFFERENCING', () => tarOf([['0.vhd', leaf]])),
  archive('chain-over-a-foreign-parent', 'CHAIN_PARENT', () => chainTar([pair().vhds[0] ?? vhd, other])),
  archive('vhdx-named-vhd', 'FORMAT_OTHER', () => tarOf([['0.vhd', Buffer.concat([Buffer.from('vhdxfile'), Buffer.alloc(65_528)])]])),
  archive('qcow2-named-vhd', 'FORMAT_OTHER', () =>
    tarOf([['image.vhd', Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), Buffer.alloc(65_528)])]]),
  ),
];

const stack = threeLayers('dynamic', 64 << 10);
const disk = stack.content();

/** The same chain for all of them. */
function layersOf(form: Partial<Form> = {}): [Buffer, Buffer, Buffer] {
  const [first, second, third] = chainVhds(stack.layers, [{ seed: 61, locators: 'bytes', ...form }]);
  if (!first || !second || !third) throw new Error('three layers make three files');
  return [first, second, third];
}

const chain = (file: string, code: string, vhds: () => readonly Buffer[]): Image =>
  hostile(`chain-${file}`, code, 'vhd', () => vhds().map((bytes, rank): Entry => [`layer-${rank}.vhd`, bytes]), disk);

/** The unique id in a footer, and of the parent in a header. */
const idOf = (bytes: Buffer): Buffer => bytes.subarray(68, 84);
const withParent = (bytes: Buffer, id: Buffer): Buffer => withHeader(bytes, (header) => void header.set(id, 40));
const withName = (name: Buffer): Buffer => withHeader(layersOf()[0], (header) => void header.fill(0, 64, 576).set(name, 64));

const chains = (): Image[] => [
  chain('without-its-base', 'VHD_DIFFERENCING', () => layersOf().slice(0, 2)),
  chain('over-another-parent', 'CHAIN_PARENT', () => {
    const [first, second, third] = layersOf();
    return [withParent(first, Buffer.alloc(16, 0x99)), second, third];
  }),
  chain('of-itself', 'CHAIN_LOOP', () => {
    const [first] = layersOf();
    return [withParent(first, idOf(first))];
  }),
  chain('in-a-circle', 'CHAIN_LOOP', () => {
    const [first, second] = layersOf();
    return [first, withParent(second, idOf(first))];
  }),
  // Nothing that a parent's name says is opened.
  ...['..\\..\\..\\..\\etc\\passwd', '/etc/passwd', 'C:\\Windows\\System32\\config\\SAM', '/dev/zero'].map((parentName, index) =>
    chain(`parent-name-${index}`, 'VHD_DIFFERENCING', () => layersOf({ parentName }).slice(0, 1)),
  ),
  chain('parent-name-of-512-bytes', 'VHD_DIFFERENCING', () => [withName(Buffer.alloc(512, 'a'))]),
  chain('parent-name-of-broken-utf16', 'VHD_DIFFERENCING', () => [withName(Buffer.from('d800d800dc00', 'hex'))]),
  chain('locator-past-the-end', 'ok', () => {
    const [first, ...others] = layersOf();
    return [withHeader(first, (header) => void header.writeBigUInt64BE(2n ** 40n, 576 + 16)), ...others];
  }),
  chain('locator-of-an-unknown-code', 'ok', () => {
    const [first, ...others] = layersOf();
    return [withHeader(first, (header) => void header.write('Zzzz', 576, 'latin1')), ...others];
  }),
];

export const hostileArchives = (): Image[] => [...gzips(), ...sizes(), ...names(), ...extensions(), ...members(), ...chains()];
