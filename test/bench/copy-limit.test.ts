import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { copyCommand } from '../../bench/limits.mjs';
import { writeDisk } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const MIB = 1 << 20;

testWith('gcc')('the copy that is the limit leaves the same disk as vdistream', async () => {
  const folder = testFolder();
  const [image, copied, written] = ['image.tar', 'copied.raw', 'written.raw'].map((name) => join(folder, name));
  if (image === undefined || copied === undefined || written === undefined) throw new Error('three paths');
  // Neighbours, out of order, and the last block of a disk that ends within it.
  const blocks = new Map([5, 1, 2, 10].map((block) => [block, noise(2 * MIB, block)]));
  writeFileSync(image, tarOf([['0.vhd', dynamicVhd({ size: 21 * MIB, blocks })]]));
  writeFileSync(copied, '');
  truncateSync(copied, 21 * MIB);
  const [program = '', ...args] = copyCommand(image, 512, copied, folder);
  execFileSync(program, args);
  await writeDisk(image, written);
  expect(readFileSync(copied).equals(readFileSync(written))).toBe(true);
});
