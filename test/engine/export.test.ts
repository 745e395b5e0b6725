import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exportDisk, writeDisk } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';

const MIB = 1 << 20;

function rawDisk(path: string, size: number, blocks: readonly number[]): Buffer {
  const disk = Buffer.alloc(size);
  for (const block of blocks) Buffer.from(noise(Math.min(2 * MIB, size - block * 2 * MIB), block + 1)).copy(disk, block * 2 * MIB);
  writeFileSync(path, disk);
  return disk;
}

test.each(['vhd', 'fixed-vhd', 'raw'] as const)('a raw file becomes a bare %s, and the way back has the same bytes', async (format) => {
  const folder = testFolder();
  const disk = rawDisk(join(folder, 'disk'), 21 * MIB + 512, [0, 3, 10]);
  const result = await exportDisk(join(folder, 'disk'), join(folder, 'image'), { format, verify: true });
  expect(result).toMatchObject({ format, container: 'none', compress: 'none', verified: true, disks: [{ virtualSize: 21 * MIB + 512 }] });
  expect(result.bytesWritten).toBe(statSync(join(folder, 'image')).size);
  await writeDisk(join(folder, 'image'), join(folder, 'again'), { raw: format === 'raw' });
  expect(readFileSync(join(folder, 'again')).equals(disk)).toBe(true);
  if (format !== 'raw') {
    execFileSync('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', join(folder, 'image'), join(folder, 'judge')]);
    expect(readFileSync(join(folder, 'judge')).equals(disk)).toBe(true);
  }
  expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
});
