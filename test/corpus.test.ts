import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { info, verifyDisk, writeDisk } from '../src/index.ts';
import { stored } from './support/chains.ts';
import { sparseDigest } from './support/corpus.ts';
import { testFolder } from './support/folder.ts';
import { eachImage } from './support/images.ts';
import { withLoop } from './support/loop.ts';
import type { Answers, Image } from './support/producers/image.ts';
import { isLong, seedOf } from './support/rounds.ts';

const MIB = 1 << 20;
const accepted = ({ expect }: Answers): boolean => expect === 'ok';
const sizeOf = ({ virtualSize }: Answers): number => virtualSize ?? 0;
const small = (image: Answers): boolean => sizeOf(image) <= 256 * MIB;

/** Each image on one of the two, which changes from run to run; on both in the long form. */
const seed = seedOf('sector sizes', 'SECTOR_SEED');
const isOn = (sector: 512 | 4096, file: string): boolean =>
  isLong || createHash('sha256').update(`${seed} ${file}`).digest().readUInt8() % 2 === (sector === 512 ? 0 : 1);

describe.each([512, 4096] as const)('on a loop device with %d-byte sectors', (sector) => {
  eachImage(
    '$file decodes to the bytes that are known, and the rest of the device stays',
    { where: (image) => accepted(image) && isOn(sector, image.file), needs: ['loop'] },
    async (image) => {
      const source = await image.store(testFolder());
      const size = Math.ceil((sizeOf(image) + MIB) / 4096) * 4096;
      // Full of old data where that is affordable, so that whatever should read as zero must have been made zero.
      await withLoop({ size, sector, ...(small(image) ? { fill: 0xaa } : {}) }, async (device) => {
        const result = await writeDisk(source, device.path, { verify: small(image) });
        expect(result.virtualSize).toBe(image.virtualSize);
        expect(result.bytesWritten + result.bytesZeroed + result.bytesSkipped).toBe(image.virtualSize);
        if (sizeOf(image) <= 16 * 1024 * MIB) {
          expect(device.sha256(sizeOf(image))).toBe(image.sha256raw ?? image.sha256IfAccepted);
        } else {
          // A disk of terabytes: the device was sparse, so only what the image claims can hold anything.
          const ranges = (await info(source)).disks[0]?.map.flatMap((share, cell, map) => {
            const width = Math.ceil(sizeOf(image) / map.length);
            return share > 0 ? [{ offset: cell * width, length: Math.min(width, 64 * MIB) }] : [];
          });
          if (image.sparseDigest && ranges?.length === 0) expect(sparseDigest(device, sizeOf(image), [])).toBe(image.sparseDigest);
        }
        if (small(image)) {
          expect(device.holds(0xaa, sizeOf(image), size), 'what follows the disk').toBe(true);
          await verifyDisk(source, device.path);
        }
      });
    },
  );
});

/** What needs no device, and so runs everywhere. */
const onFile = (image: Answers): boolean => accepted(image) && sizeOf(image) <= 64 * MIB;

eachImage('$file decodes to the bytes that are known, into a file', { where: onFile }, async (image) => {
  const folder = testFolder();
  const source = await image.store(folder);
  const target = stored(folder, 'target.raw', Buffer.alloc(sizeOf(image), 0xaa));
  await writeDisk(source, target, { verify: true, force: ['content'] });
  expect(createHash('sha256').update(readFileSync(target)).digest('hex')).toBe(image.sha256raw ?? image.sha256IfAccepted);
});

eachImage('info of $file gives the size for vdi-create', { where: accepted }, async (image) => {
  const source = await image.store(testFolder());
  for (const quick of [false, true]) {
    const found = await info(source, { quick });
    expect(found.virtualSize).toBe(image.virtualSize);
    if (image.type) expect(found.disks[0]?.type).toBe(image.type);
    if (image.blockSize) expect(found.disks[0]?.blockSize).toBe(image.blockSize);
  }
});

eachImage('$file alone is refused as incomplete', { where: (image) => accepted(image) && image.type === 'differencing' }, async (image) => {
  const [leaf = ''] = await image.store(testFolder());
  const alone = writeDisk(leaf, 'null:');
  await expect(alone).rejects.toMatchObject({ code: 'VHD_DIFFERENCING', message: expect.stringContaining('parent') });
});

describe('hostile files', () => {
  const child = fileURLToPath(new URL('./support/write-once.mjs', import.meta.url));
  const hostile = (image: Answers): boolean => image.expect === 'error' || image.mayDiffer === true;

  eachImage('$file is refused by a typed error, or decodes to the right bytes', { where: hostile, needs: ['loop'] }, async (image) => {
    const source = JSON.stringify(await image.store(testFolder()));
    const size = 64 * MIB;
    await withLoop({ size, fill: 0xaa }, async (device) => {
      const { stdout } = await promisify(execFile)(process.execPath, [child, source, device.path], { timeout: 5000 });
      const outcome = JSON.parse(stdout);
      expect(outcome.peakKiB).toBeLessThan(200 * 1024);
      if (outcome.ok) {
        expect(image.expect === 'ok' || image.mayDiffer, 'an error that must be one').toBe(true);
        const allowed = [image.sha256raw, image.sha256IfAccepted, image.sha256Alt].filter((sum) => typeof sum === 'string');
        if (allowed.length > 0) expect(allowed).toContain(device.sha256(outcome.virtualSize));
        expect(device.holds(0xaa, outcome.virtualSize, size), 'what follows the disk').toBe(true);
      } else {
        expect(outcome, 'a VdiStreamError').toMatchObject({ typed: true });
        expect(outcome.advice).not.toBe('');
        // No hostile disk of the corpus that gets as far as being written is larger than 48 MiB.
        expect(device.holds(0xaa, 48 * MIB, size), 'what follows the disk').toBe(true);
      }
    });
  });
});

/** Bytes [0, size) of a file as another decoder shows it. */
function head(path: string, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  const file = openSync(path, 'r');
  readSync(file, bytes, 0, size, 0);
  closeSync(file);
  return bytes;
}

async function ours(source: string, folder: string): Promise<Buffer> {
  const raw = join(folder, 'ours.raw');
  const { virtualSize } = await writeDisk(source, raw);
  return head(raw, virtualSize);
}

describe('compared with other decoders on this machine', () => {
  const judgedBy =
    (name: string) =>
    (image: Image): boolean =>
      accepted(image) &&
      image.kind === 'vhd' &&
      image.type !== 'differencing' &&
      !image.file.startsWith('hostile/') &&
      sizeOf(image) <= 64 * MIB &&
      image.decoders?.some((decoder) => decoder.startsWith(name)) === true;

  eachImage('$file decodes as qemu-img converts it', { where: judgedBy('qemu-img'), needs: ['qemu-img'] }, async (image) => {
    const folder = testFolder();
    const [source = ''] = await image.store(folder);
    const raw = join(folder, 'qemu.raw');
    const input = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${source}`;
    execFileSync('qemu-img', ['convert', '-O', 'raw', '--image-opts', input, raw]);
    expect((await ours(source, folder)).equals(head(raw, sizeOf(image)))).toBe(true);
  });

  const vhdimount = { where: judgedBy('libvhdi'), needs: ['vhdimount', 'fuse', 'root'] } as const;
  eachImage('$file decodes as vhdimount shows it', vhdimount, async (image) => {
    const folder = testFolder();
    const [source = ''] = await image.store(folder);
    const mount = mkdtempSync(join(tmpdir(), 'vdistream-fuse-'));
    execFileSync('vhdimount', [source, mount], { stdio: 'pipe' });
    try {
      expect((await ours(source, folder)).equals(head(join(mount, 'vhdi1'), sizeOf(image)))).toBe(true);
    } finally {
      execFileSync('umount', [mount]);
      rmSync(mount, { recursive: true });
    }
  });
});
