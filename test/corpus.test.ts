import { execFile, execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { info, verifyDisk, writeDisk } from '../src/index.ts';
import { type CorpusFile, corpus, sparseDigest, unpack, unpackChain } from './support/corpus.ts';
import { testFolder } from './support/folder.ts';
import { withLoop } from './support/loop.ts';
import { testWith } from './support/needs.ts';

const MIB = 1 << 20;
const files = corpus();
const accepted = files.filter((entry) => entry.expect === 'ok');
const sizeOf = (entry: CorpusFile): number => entry.virtualSize ?? 0;
const small = (entry: CorpusFile): boolean => sizeOf(entry) <= 256 * MIB;

describe.each([512, 4096] as const)('on a loop device with %d-byte sectors', (sector) => {
  testWith('corpus', 'loop').each(accepted)(
    '$file decodes to the bytes that other decoders produce, and the rest of the device is kept',
    async (entry) => {
      const source = await unpackChain(entry, testFolder());
      const size = Math.ceil((sizeOf(entry) + MIB) / 4096) * 4096;
      // Full of old data where that is affordable, so that whatever should read as zero must have been made zero.
      await withLoop({ size, sector, ...(small(entry) ? { fill: 0xaa } : {}) }, async (device) => {
        const result = await writeDisk(source, device.path, { verify: small(entry) });
        expect(result.virtualSize).toBe(entry.virtualSize);
        expect(result.bytesWritten + result.bytesZeroed + result.bytesSkipped).toBe(entry.virtualSize);
        if (sizeOf(entry) <= 16 * 1024 * MIB) {
          expect(device.sha256(sizeOf(entry))).toBe(entry.sha256raw ?? entry.sha256IfAccepted);
        } else {
          // A disk of terabytes: the device was sparse, so only what the image claims can hold anything.
          const ranges = (await info(source)).disks[0]?.map.flatMap((share, cell, map) => {
            const width = Math.ceil(sizeOf(entry) / map.length);
            return share > 0 ? [{ offset: cell * width, length: Math.min(width, 64 * MIB) }] : [];
          });
          if (entry.sparseDigest && ranges?.length === 0) expect(sparseDigest(device, sizeOf(entry), [])).toBe(entry.sparseDigest);
        }
        if (small(entry)) {
          expect(device.holds(0xaa, sizeOf(entry), size), 'what lies behind the disk').toBe(true);
          await verifyDisk(source, device.path);
        }
      });
    },
  );
});

testWith('corpus').each(accepted)('info reports the size of $file for vdi-create', async (entry) => {
  const source = await unpackChain(entry, testFolder());
  for (const quick of [false, true]) {
    const found = await info(source, { quick });
    expect(found.virtualSize).toBe(entry.virtualSize);
    if (entry.type) expect(found.disks[0]?.type).toBe(entry.type);
    if (entry.blockSize) expect(found.disks[0]?.blockSize).toBe(entry.blockSize);
  }
});

testWith('corpus').each(accepted.filter(({ type }) => type === 'differencing'))(
  '$file alone is refused, and reported as incomplete',
  async (entry) => {
    const alone = writeDisk(await unpack(entry, testFolder()), 'null:');
    await expect(alone).rejects.toMatchObject({ code: 'VHD_DIFFERENCING', message: expect.stringContaining('parent') });
  },
);

describe('hostile files', () => {
  const child = fileURLToPath(new URL('./support/write-once.mjs', import.meta.url));
  const hostile = files.filter((entry) => entry.expect === 'error' || entry.mayDiffer);

  testWith('corpus', 'loop').each(hostile)('$file is refused with a typed error, or decodes to the right bytes', async (entry) => {
    const source = JSON.stringify(await unpackChain(entry, testFolder()));
    const size = 64 * MIB;
    await withLoop({ size, fill: 0xaa }, async (device) => {
      const { stdout } = await promisify(execFile)(process.execPath, [child, source, device.path], { timeout: 5000 });
      const outcome = JSON.parse(stdout);
      expect(outcome.peakKiB).toBeLessThan(200 * 1024);
      if (outcome.ok) {
        expect(entry.expect === 'ok' || entry.mayDiffer, 'an error that must be one').toBe(true);
        const allowed = [entry.sha256raw, entry.sha256IfAccepted, entry.sha256Alt].filter((sum) => typeof sum === 'string');
        if (allowed.length > 0) expect(allowed).toContain(device.sha256(outcome.virtualSize));
        expect(device.holds(0xaa, outcome.virtualSize, size), 'what lies behind the disk').toBe(true);
      } else {
        expect(outcome, 'a VdiStreamError').toMatchObject({ typed: true });
        expect(outcome.advice).not.toBe('');
        // No hostile disk of the corpus that gets as far as being written is larger than 48 MiB.
        expect(device.holds(0xaa, 48 * MIB, size), 'what lies behind the disk').toBe(true);
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

describe('compared with other decoders on this machine,', () => {
  const judged = (name: string): CorpusFile[] =>
    accepted.filter(
      (entry) =>
        entry.kind === 'vhd' &&
        entry.type !== 'differencing' &&
        !entry.file.startsWith('hostile/') &&
        sizeOf(entry) <= 64 * MIB &&
        entry.decoders?.some((decoder) => decoder.startsWith(name)),
    );

  testWith('corpus', 'qemu-img').each(judged('qemu-img'))('$file decodes as qemu-img converts it', async (entry) => {
    const folder = testFolder();
    const source = await unpack(entry, folder);
    const raw = join(folder, 'qemu.raw');
    const input = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${source}`;
    execFileSync('qemu-img', ['convert', '-O', 'raw', '--image-opts', input, raw]);
    expect((await ours(source, folder)).equals(head(raw, sizeOf(entry)))).toBe(true);
  });

  testWith('corpus', 'vhdimount', 'fuse', 'root').each(judged('libvhdi'))('$file decodes as vhdimount shows it', async (entry) => {
    const folder = testFolder();
    const source = await unpack(entry, folder);
    const mount = mkdtempSync(join(tmpdir(), 'vdistream-fuse-'));
    mkdirSync(mount, { recursive: true });
    execFileSync('vhdimount', [source, mount], { stdio: 'pipe' });
    try {
      expect((await ours(source, folder)).equals(head(join(mount, 'vhdi1'), sizeOf(entry)))).toBe(true);
    } finally {
      execFileSync('umount', [mount]);
      rmSync(mount, { recursive: true });
    }
  });
});
