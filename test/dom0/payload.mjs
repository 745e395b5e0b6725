/** Payload: the tar for the guest, with vdistream as installed, the tests, and images with known disks. */

import { execFileSync } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';

const MIB = 1 << 20;
const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * An image, and what its disk must be.
 * @typedef {object} Image
 * @property {string} path  in the guest
 * @property {number} size  of its disk, bytes
 * @property {string} sha256  of its disk, as qemu-img sees it
 */

/**
 * Which tests the guest runs.
 * @typedef {object} Selection
 * @property {readonly string[]} only  those with one of these texts in their names
 * @property {readonly string[]} finished  but not these, by name
 */

/** What must be built first, as a sentence, or undefined. */
export function missing() {
  if (!existsSync(join(root, 'dist/cli/main.js'))) return 'vdistream is not built yet: npm run build:ts';
  if (!existsSync(join(root, 'build/Release/vdistream.node'))) return 'the native addon is not built yet: npm run build:native';
  return undefined;
}

/**
 * Creates the tar and returns its path.
 * @param {string} folder
 * @param {Selection} selection
 */
export function makePayload(folder, selection) {
  const staged = join(folder, 'payload');
  mkdirSync(join(staged, 'images'), { recursive: true });
  compileXe(join(staged, 'xe'));
  compileGuest(join(staged, 'guest'));
  writeFileSync(join(staged, 'run.json'), JSON.stringify({ ...selection, images: makeImages(join(staged, 'images'), folder) }));
  const tar = join(folder, 'payload.tar');
  const product = ['package.json', 'dist', 'build/Release/vdistream.node', ...runtimePackages(), 'test/dom0', 'test/stand-in'];
  execFileSync('tar', ['-c', '-f', tar, '-C', root, ...product, '-C', staged, 'run.json', 'images', 'xe', 'guest']);
  rmSync(staged, { recursive: true });
  return tar;
}

/** Folders of the packages that vdistream depends on. */
function runtimePackages() {
  /** @type {{ packages: Record<string, { dev?: boolean }> }} */
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(lock.packages).flatMap(([path, { dev }]) => (path !== '' && !dev && existsSync(join(root, path)) ? [path] : []));
}

/** The client of the stand-in toolstack; static, because the guest does not have the host's libraries. @param {string} path */
function compileXe(path) {
  execFileSync('g++', ['-std=c++17', '-O1', '-static', '-o', path, join(root, 'test/stand-in/xe.cc')]);
}

/** The kernel of a guest that does nothing. @param {string} path */
function compileGuest(path) {
  const options = ['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=none,-Ttext-segment=0x100000'];
  execFileSync('g++', [...options, '-o', path, join(root, 'test/dom0/guest.S')]);
}

/** Pseudo-random bytes, the same in each run. @param {number} length @param {number} seed */
function noise(length, seed) {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, 'dom0'), Buffer.alloc(16, seed)).update(Buffer.alloc(length));
}

/** @param {string} images @param {string} folder  for what does not stay */
function makeImages(images, folder) {
  // Blocks out of order. One is half zero, so that there are zeros within data. The last is empty, and extends beyond the disk.
  const half = Buffer.concat([noise(MIB, 5), Buffer.alloc(MIB)]);
  const blocks = new Map([1, 4, 10].map((block) => [block, noise(2 * MIB, block)])).set(5, half);
  writeFileSync(join(images, 'patchy.vhd'), dynamicVhd({ size: 23 * MIB, blocks, order: [10, 1, 5, 4] }));
  execFileSync('tar', ['-c', '-z', '-f', join(images, 'patchy.tar.gz'), '-C', images, 'patchy.vhd']);

  writeFileSync(join(images, 'full.vhd'), fixedVhd(noise(16 * MIB, 7)));

  const raw = join(folder, 'qemu.raw');
  writeFileSync(raw, Buffer.concat([noise(3 * MIB, 3), Buffer.alloc(12 * MIB), noise(MIB, 4)]));
  const options = ['-f', 'raw', '-O', 'vpc', '-o', 'subformat=dynamic,force_size=on'];
  execFileSync('qemu-img', ['convert', ...options, raw, join(images, 'qemu.vhd')]);

  /** @param {string} name @param {string} [disk]  the same disk, where qemu-img can read it @returns {Image} */
  const image = (name, disk = name) => ({ path: `/work/images/${name}`, ...diskOf(join(images, disk), join(folder, 'disk.raw')) });
  return { patchy: image('patchy.vhd'), archive: image('patchy.tar.gz', 'patchy.vhd'), full: image('full.vhd'), qemu: image('qemu.vhd') };
}

/** @typedef {ReturnType<typeof makeImages>} Images */

/** Size and digest of a VHD's disk, as decoded by qemu-img. @param {string} vhd @param {string} raw */
function diskOf(vhd, raw) {
  // Use the size field; for unknown creators, qemu would use the geometry.
  const source = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${vhd.replaceAll(',', ',,')}`;
  execFileSync('qemu-img', ['convert', '--image-opts', source, '-O', 'raw', raw]);
  const bytes = readFileSync(raw);
  rmSync(raw);
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}
