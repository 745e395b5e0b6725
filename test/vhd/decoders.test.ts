import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect } from 'vitest';
import { check, writeDisk } from '../../src/index.ts';
import { stored } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd, fixedVhd } from '../support/make-vhd.mjs';
import { type Need, testWith } from '../support/needs.ts';

/** A few in the suite; DECODER_IMAGES=300 and DECODER_SEED for more. */
const IMAGES = Number(process.env.DECODER_IMAGES ?? 6);
const SEED = Number(process.env.DECODER_SEED ?? 16);
const KIB = 1 << 10;

interface Generated {
  readonly kind: 'dynamic' | 'fixed';
  readonly blockSize: number;
  /** Sectors that the last block lacks. */
  readonly less: number;
  readonly blocks: number;
  /** Allocated blocks, in the order of the file. */
  readonly order: readonly number[];
  readonly bitmaps: 'full' | 'partial';
  readonly gap: number;
  readonly spare: number;
  readonly batmap: boolean;
  readonly seed: number;
}

/**
 * Within what the other decoders support: qemu-img looks at no bitmap, and libvhdi takes a byte of it for one sector, so what is absent is
 * zero in the file; libvhdi loses data of small blocks.
 */
const generated: fc.Arbitrary<Generated> = fc
  .record({ blockSize: fc.constantFrom(512 * KIB, 1024 * KIB, 2048 * KIB), blocks: fc.integer({ min: 1, max: 8 }) })
  .chain(({ blockSize, blocks }) =>
    fc.record({
      kind: fc.constantFrom('dynamic', 'dynamic', 'dynamic', 'fixed'),
      blockSize: fc.constant(blockSize),
      blocks: fc.constant(blocks),
      less: fc.nat(blockSize / 512 - 1),
      order: fc.shuffledSubarray([...Array(blocks).keys()]),
      bitmaps: fc.constantFrom('full', 'partial'),
      gap: fc.integer({ min: 0, max: 20 }),
      spare: fc.integer({ min: 0, max: 300 }),
      batmap: fc.boolean(),
      seed: fc.nat(1 << 20),
    }),
  );

/** What the disk holds, and its VHD. */
function make({ kind, blockSize, blocks, less, order, bitmaps, gap, spare, batmap, seed }: Generated) {
  const size = blocks * blockSize - less * 512;
  const content = Buffer.alloc(blocks * blockSize);
  const data = new Map<number, Uint8Array>();
  const maps = new Map<number, Uint8Array>();
  for (const block of order) {
    const bytes = noise(blockSize, seed + block);
    const map = Buffer.alloc(Math.ceil(blockSize / 512 / 8 / 512) * 512, 0xff);
    if (bitmaps === 'partial') map.set(noise(blockSize / 512 / 8, seed * 3 + block));
    map[0] = (map[0] ?? 0) | 0x80;
    for (let sector = 0; sector < blockSize / 512; sector++) {
      if (((map[sector >> 3] ?? 0) & (0x80 >> (sector & 7))) === 0) bytes.fill(0, sector * 512, (sector + 1) * 512);
    }
    data.set(block, bytes);
    maps.set(block, map);
    content.set(bytes, block * blockSize);
  }
  const disk = content.subarray(0, size);
  if (kind === 'fixed') return { disk, vhd: fixedVhd(disk) };
  const tapdisk = batmap ? { batmap, creator: 'tap\0', creatorVersion: 0x00010003 } : {};
  const tableEntries = blocks + spare;
  return { disk, vhd: dynamicVhd({ size, blockSize, blocks: data, bitmaps: maps, order: [...order], gap, tableEntries, ...tapdisk }) };
}

/** Returns the disk as another program reads the VHD. */
type Decoder = (vhd: string, folder: string, size: number) => Buffer;

function byQemu(vhd: string, folder: string, size: number): Buffer {
  const raw = join(folder, 'qemu.raw');
  const input = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${vhd}`;
  execFileSync('qemu-img', ['convert', '-O', 'raw', '--image-opts', input, raw]);
  return readFileSync(raw).subarray(0, size);
}

function byLibvhdi(vhd: string, _: string, size: number): Buffer {
  const mount = mkdtempSync(join(tmpdir(), 'vdistream-fuse-'));
  execFileSync('vhdimount', [vhd, mount], { stdio: 'pipe' });
  try {
    return readFileSync(join(mount, 'vhdi1')).subarray(0, size);
  } finally {
    execFileSync('umount', [mount]);
    rmSync(mount, { recursive: true });
  }
}

const DECODERS: readonly (readonly [string, Decoder, readonly Need[]])[] = [
  ['qemu-img', byQemu, ['qemu-img']],
  ['libvhdi', byLibvhdi, ['vhdimount', 'fuse', 'root']],
];

for (const [name, decode, needs] of DECODERS) {
  testWith(...needs)(
    `generated VHDs decode as ${name} reads them, and check finds nothing`,
    { timeout: 60_000 + IMAGES * 5000 },
    async () => {
      for (const plan of fc.sample(generated, { numRuns: IMAGES, seed: SEED })) {
        const folder = testFolder();
        const { disk, vhd } = make(plan);
        const path = stored(folder, 'image.vhd', vhd);
        const raw = join(folder, 'ours.raw');
        await writeDisk(path, raw);
        const ours = readFileSync(raw);
        const text = JSON.stringify(plan);
        expect(ours.equals(disk), text).toBe(true);
        expect(decode(path, folder, disk.length).equals(disk), text).toBe(true);
        expect((await check(path)).findings, text).toEqual([]);
        rmSync(folder, { recursive: true });
      }
    },
  );
}
