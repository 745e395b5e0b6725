/** OVA: a tar with a VHD, written as a stream, so that no disk is ever held in memory. */

import { execFileSync } from 'node:child_process';
import { closeSync, createWriteStream, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import tar from 'tar-stream';
import { BLOCK, vhdBytes, vhdParts } from './vhd.mjs';

/** Nova's name for the disk of an image. */
export const MEMBER = '0.vhd';
/** Offset of the member's data, after one ustar header. */
export const MEMBER_OFFSET = 512;

/** @param {string} path @param {import('./vhd.mjs').Vhd} vhd */
export const writeOva = (path, vhd) => writeTar(path, [[MEMBER, vhd]]);

/** @param {string} path @param {Iterable<[name: string, vhd: import('./vhd.mjs').Vhd]>} members */
export async function writeTar(path, members) {
  const pack = tar.pack();
  const written = pipeline(pack, createWriteStream(path));
  for (const [name, vhd] of members) {
    // A fixed time, so that the image is reproducible.
    const entry = pack.entry({ name, size: vhdBytes(vhd), mode: 0o644, mtime: new Date(0) });
    await pipeline(Readable.from(vhdParts(vhd), { objectMode: true }), entry);
  }
  pack.finalize();
  await written;
}

/** Compresses like Nova, with gzip -6. @param {string} path @param {string} into */
export async function gzipFile(path, into) {
  const out = await open(into, 'w');
  execFileSync('gzip', ['-6', '-n', '-c', path], { stdio: ['ignore', out.fd, 'inherit'] });
  await out.close();
}

/**
 * The blocks of a raw disk that are not all zero, as a map for vhdParts, which reads the bytes of a block on demand.
 * @extends {Map<number, Uint8Array>}
 */
export class RawBlocks extends Map {
  #file;

  /** @param {string} path */
  constructor(path) {
    super();
    this.#file = openSync(path, 'r');
    const zero = Buffer.alloc(BLOCK);
    const count = Math.ceil(fstatSync(this.#file).size / BLOCK);
    for (let number = 0; number < count; number++) {
      const bytes = this.#read(number);
      if (!bytes.equals(zero.subarray(0, bytes.length))) this.set(number, new Uint8Array(0));
    }
  }

  /** @override @param {number} number */
  get(number) {
    return this.has(number) ? this.#read(number) : undefined;
  }

  close() {
    closeSync(this.#file);
  }

  /** @param {number} number */
  #read(number) {
    const bytes = Buffer.alloc(BLOCK);
    return bytes.subarray(0, readSync(this.#file, bytes, 0, BLOCK, number * BLOCK));
  }
}
