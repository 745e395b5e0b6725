/** Real block devices for tests: loop devices over files in a folder of their own, filled with what was there before. */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface LoopDevice {
  readonly path: string;
  readonly size: number;
  /** Bytes of the device, bypassing every cache. */
  read(offset: number, length: number): Buffer;
  /** Changes the bytes, also bypassing every cache. */
  write(offset: number, bytes: Uint8Array): void;
  sha256(length: number): string;
  /** Whether all of [start, end) holds `value`. */
  holds(value: number, start: number, end: number): boolean;
  detach(): void;
}

export interface LoopOptions {
  readonly size: number;
  readonly sector?: 512 | 4096;
  /** The byte that the device is full of; a sparse device without it. */
  readonly fill?: number;
  readonly readOnly?: boolean;
  /** Whether it may have partitions. */
  readonly parts?: boolean;
}

/** Memory where there is enough, so that a thousand small devices cost no disk. */
function roomyFolder(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    if (bavail * bsize > 4 * 2 ** 30) return '/dev/shm';
  } catch {
    // no such file system here
  }
  return tmpdir();
}

export function loopDevice({ size, sector = 512, fill, readOnly = false, parts = false }: LoopOptions): LoopDevice {
  const folder = mkdtempSync(join(roomyFolder(), 'vdistream-loop-'));
  const backing = join(folder, 'backing');
  const file = openSync(backing, 'w+');
  ftruncateSync(file, size);
  if (fill !== undefined) {
    const chunk = Buffer.alloc(Math.min(size, 1 << 20), fill);
    for (let at = 0; at < size; at += chunk.length) writeSync(file, chunk, 0, Math.min(chunk.length, size - at), at);
  }
  closeSync(file);
  const options = [
    '--find',
    '--show',
    '--sector-size',
    String(sector),
    ...(readOnly ? ['--read-only'] : []),
    ...(parts ? ['--partscan'] : []),
  ];
  const attached = spawnSync('losetup', [...options, backing], { encoding: 'utf8' });
  const path = attached.stdout.trim();
  if (attached.status !== 0) {
    rmSync(folder, { recursive: true });
    throw new Error(`losetup: ${attached.stderr}`);
  }

  const read = (offset: number, length: number): Buffer => {
    // The backing file, not the device: a write that only reached the device's page cache does not count.
    const reader = openSync(backing, 'r');
    const bytes = Buffer.alloc(length);
    readSync(reader, bytes, 0, length, offset);
    closeSync(reader);
    return bytes;
  };
  return {
    path,
    size,
    read,
    write(offset, bytes) {
      const writer = openSync(backing, 'r+');
      writeSync(writer, bytes, 0, bytes.length, offset);
      closeSync(writer);
    },
    sha256(length) {
      const hash = createHash('sha256');
      for (let at = 0; at < length; at += 1 << 24) hash.update(read(at, Math.min(1 << 24, length - at)));
      return hash.digest('hex');
    },
    holds(value, start, end) {
      for (let at = start; at < end; at += 1 << 20) {
        const length = Math.min(1 << 20, end - at);
        if (!read(at, length).equals(Buffer.alloc(length, value))) return false;
      }
      return true;
    },
    detach() {
      execFileSync('losetup', ['--detach', path]);
      rmSync(folder, { recursive: true });
    },
  };
}

/** Creates a device, uses it, and always removes it. */
export async function withLoop<T>(options: LoopOptions, use: (device: LoopDevice) => Promise<T>): Promise<T> {
  const device = loopDevice(options);
  try {
    return await use(device);
  } finally {
    device.detach();
  }
}
