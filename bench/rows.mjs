/** Rows: the commands that are compared, one per row of the table, each a command line that can be repeated by hand. */

import { fileURLToPath } from 'node:url';
import { CHAIN_ROWS } from './chain-rows.mjs';
import { ours, shell, sideBySide } from './commands.mjs';
import { LIMIT_ROWS } from './limits.mjs';

const INFLATE = fileURLToPath(new URL('inflate.mjs', import.meta.url));

/**
 * @typedef {import('./images.mjs').Image} Image
 * @typedef {object} Row
 * @property {string} name
 * @property {'ours' | 'pipeline' | 'qemu' | 'limit'} kind
 * @property {'tar' | 'gzip' | 'raw'} reads  which file of the image; for a chain, the comparable form
 * @property {(image: Image) => readonly string[]} [files]  the files read instead of it
 * @property {string} [over]  name of the row that writes the same disk with less work: from one VHD, or without reading it back
 * @property {(image: Image) => Work} [work]  the minimum of work
 * @property {readonly string[]} images  names
 * @property {readonly string[]} [needs]  programs besides tar, gzip and dd
 * @property {string} [module]  a package
 * @property {number} [most]  trials
 * @property {boolean} [exact]  leaves exactly the disk of the image on the device, whatever was there before
 * @property {(image: Image, device: string) => string[]} argv
 *
 * @typedef {object} Work  as multiples of what one VHD of the same disk needs
 * @property {number} read  bytes, decompressed
 * @property {number} written  bytes for the device
 */

/** The images with one VHD. */
const SINGLE = ['realistic', 'sparse', 'empty'];
/** Not the empty disk: tar and dd write the container, which is only a table there, so the times are not comparable. */
const WITH_DATA = ['realistic', 'sparse'];
const REALISTIC = ['realistic'];

/** dd with its default blocks of 512 bytes, through the page cache, and not synced. */
const literal = (/** @type {string} */ flags) => `tar ${flags} -f "$1" "$2" | dd of="$3" conv=notrunc`;

const tuned = (/** @type {string} */ flags) =>
  `tar ${flags} -f "$1" "$2" | dd of="$3" bs=1M iflag=fullblock oflag=direct conv=notrunc,fsync`;

/** @type {readonly Row[]} */
export const ROWS = [
  { name: 'vdistream, tar', kind: 'ours', reads: 'tar', images: SINGLE, exact: true, argv: (image, device) => ours(image.tar, device) },
  {
    name: 'vdistream --zero=assume-zero, tar',
    kind: 'ours',
    reads: 'tar',
    images: SINGLE,
    argv: (image, device) => ours('--zero=assume-zero', image.tar, device),
  },
  {
    name: 'vdistream --verify, tar',
    kind: 'ours',
    reads: 'tar',
    images: ['realistic'],
    over: 'vdistream, tar',
    argv: (image, device) => ours('--verify', image.tar, device),
  },
  { name: 'vdistream, eight at the same time', kind: 'ours', reads: 'tar', images: ['eight'], argv: sideBySide },
  {
    name: 'qemu-img convert, tar',
    kind: 'qemu',
    reads: 'tar',
    images: SINGLE,
    needs: ['qemu-img'],
    argv(image, device) {
      const file = `file.driver=raw,file.offset=${image.memberOffset},file.file.driver=file,file.file.filename=${image.tar}`;
      const options = ['-n', '-W', '-m', '16', '--target-is-zero', '-t', 'none', '-O', 'raw'];
      return ['qemu-img', 'convert', ...options, '--image-opts', `driver=vpc,${file}`, device];
    },
  },
  {
    name: 'tar | dd, tuned, tar',
    kind: 'pipeline',
    reads: 'tar',
    images: WITH_DATA,
    argv: (image, device) => shell(tuned('-xO'), image.tar, image.member, device),
  },
  {
    name: 'tar | dd, literal, tar',
    kind: 'pipeline',
    reads: 'tar',
    images: REALISTIC,
    most: 2,
    argv: (image, device) => shell(literal('-xO'), image.tar, image.member, device),
  },
  {
    name: 'vdistream, tar.gz',
    kind: 'ours',
    reads: 'gzip',
    images: SINGLE,
    exact: true,
    argv: (image, device) => ours(image.gzip, device),
  },
  {
    name: 'vdistream --zero=assume-zero, tar.gz',
    kind: 'ours',
    reads: 'gzip',
    images: WITH_DATA,
    argv: (image, device) => ours('--zero=assume-zero', image.gzip, device),
  },
  {
    name: 'tar | dd, tuned, tar.gz',
    kind: 'pipeline',
    reads: 'gzip',
    images: WITH_DATA,
    argv: (image, device) => shell(tuned('-xzO'), image.gzip, image.member, device),
  },
  {
    name: 'tar | dd, literal, tar.gz',
    kind: 'pipeline',
    reads: 'gzip',
    images: REALISTIC,
    most: 2,
    argv: (image, device) => shell(literal('-xzO'), image.gzip, image.member, device),
  },
  {
    name: 'limit: dd of the raw disk',
    kind: 'limit',
    reads: 'raw',
    images: REALISTIC,
    argv: (image, device) => shell('dd if="$1" of="$2" bs=4M oflag=direct conv=notrunc,fsync', image.raw ?? '', device),
  },
  { name: 'limit: cat tar', kind: 'limit', reads: 'tar', images: REALISTIC, argv: (image) => shell('cat "$1" > /dev/null', image.tar) },
  { name: 'limit: vdistream to null:, tar', kind: 'limit', reads: 'tar', images: REALISTIC, argv: (image) => ours(image.tar, 'null:') },
  {
    name: 'limit: vdistream to null:, tar.gz',
    kind: 'limit',
    reads: 'gzip',
    images: REALISTIC,
    argv: (image) => ours(image.gzip, 'null:'),
  },
  {
    name: 'limit: node:zlib to nowhere',
    kind: 'limit',
    reads: 'gzip',
    images: REALISTIC,
    argv: (image) => [process.execPath, INFLATE, 'zlib', image.gzip],
  },
  {
    name: 'limit: zlib-sync to nowhere',
    kind: 'limit',
    reads: 'gzip',
    images: REALISTIC,
    module: 'zlib-sync',
    argv: (image) => [process.execPath, INFLATE, 'zlib-sync', image.gzip],
  },
  ...LIMIT_ROWS,
  ...CHAIN_ROWS,
];
