import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { VdiStreamError } from '../../src/errors.ts';
import { exportDisk, writeDisk } from '../../src/index.ts';
import { sampleChain, stored, storedVhds } from '../support/chains.ts';
import { noise } from '../support/chunks.ts';
import { testFolder } from '../support/folder.ts';
import { eachImage } from '../support/images.ts';
import { withLoop } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import type { Answers, Image } from '../support/producers/image.ts';

const MiB = 1 << 20;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** As qemu-img converts a VHD. */
function converted(vhd: string, folder: string): Buffer {
  const raw = join(folder, 'qemu.raw');
  const input = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${vhd}`;
  execFileSync('qemu-img', ['convert', '-O', 'raw', '--image-opts', input, raw]);
  return readFileSync(raw);
}

describe('a chain', () => {
  test('is exported flattened, as a dynamic VHD, a fixed VHD and a raw disk, each verified', async () => {
    const folder = testFolder();
    const { vhds, content } = sampleChain();
    const paths = storedVhds(folder, vhds);
    for (const format of ['vhd', 'fixed-vhd', 'raw'] as const) {
      const out = join(folder, `out-${format}`);
      const result = await exportDisk(paths, out, { format, blockSize: format === 'vhd' ? 4096 : undefined, verify: true });
      expect(result).toMatchObject({ verified: true, warnings: [], disks: [{ source: paths[0], virtualSize: content.length }] });
      const back = join(folder, `${format}.raw`);
      await writeDisk(out, back, { raw: format === 'raw' });
      expect(readFileSync(back).equals(content), format).toBe(true);
    }
  });

  testWith('qemu-img')('is exported as a VHD that qemu-img reads', async () => {
    const folder = testFolder();
    const { vhds, content } = sampleChain();
    const out = join(folder, 'out.vhd');
    await exportDisk(storedVhds(folder, vhds), out);
    expect(converted(out, folder).equals(content)).toBe(true);
  });

  testWith('loop')('is exported from devices that hold its layers', async () => {
    const folder = testFolder();
    const { vhds, content } = sampleChain();
    const [leaf, middle, base] = vhds;
    const size = 4 * MiB;
    await withLoop({ size }, (first) =>
      withLoop({ size }, async (second) => {
        first.write(0, leaf ?? Buffer.alloc(0));
        second.write(0, base ?? Buffer.alloc(0));
        const out = join(folder, 'out.raw');
        await exportDisk([first.path, stored(folder, '1.vhd', middle ?? Buffer.alloc(0)), second.path], out, { verify: true });
        expect(readFileSync(out).equals(content)).toBe(true);
      }),
    );
  });

  test('is never replaced by its own image, whichever layer that would be', async () => {
    const folder = testFolder();
    const paths = storedVhds(folder, sampleChain().vhds);
    for (const path of paths) {
      const size = statSync(path).size;
      await expect(exportDisk(paths, path, { force: ['content'] })).rejects.toMatchObject({ code: 'USAGE' });
      expect(statSync(path).size).toBe(size);
    }
  });

  test('with a different parent is refused, unless the guard is lifted', async () => {
    const folder = testFolder();
    const [leaf = ''] = storedVhds(folder, sampleChain().vhds);
    const base = stored(folder, 'other.vhd', sampleChain({ seed: 9 }).vhds[2] ?? Buffer.alloc(0));
    const out = join(folder, 'out.vhd');
    await expect(exportDisk([leaf, base], out)).rejects.toMatchObject({ code: 'CHAIN_PARENT', guard: 'parent', member: leaf });
    expect(existsSync(out)).toBe(false);
    const { warnings } = await exportDisk([leaf, base], out, { force: ['parent'] });
    expect(warnings).toMatchObject([{ code: 'CHAIN_PARENT', member: leaf }]);
  });
});

describe('a layer that is written to during the export', () => {
  const options = { size: 16 * 4096, blockSize: 4096, id: 5 };
  const before = dynamicVhd({ ...options, blocks: new Map([[2, noise(4096, 1)]]) });

  /** Exports the VHD, and changes the file once the image is being written. */
  async function changing(after: Buffer): ReturnType<typeof exportDisk> {
    const folder = testFolder();
    const path = stored(folder, 'live.vhd', before);
    let changed = false;
    return exportDisk(path, join(folder, 'out.vhd'), {
      blockSize: 4096,
      onProgress({ phase }) {
        if (phase === 'export' && !changed) writeFileSync(path, after);
        changed ||= phase === 'export';
      },
    });
  }

  test('is an error if it has a new block, which the map does not have', async () => {
    const grown = dynamicVhd({ ...options, blocks: new Map([2, 9].map((block) => [block, noise(4096, 1)])) });
    await expect(changing(grown)).rejects.toMatchObject({ code: 'EXPORT_CHANGED' });
  });

  test('is a warning otherwise', async () => {
    const { warnings } = await changing(dynamicVhd({ ...options, blocks: new Map([[2, noise(4096, 7)]]) }));
    expect(warnings).toMatchObject([{ code: 'DISK_WRITTEN' }]);
  });
});

const isVhd = ({ kind }: Answers): boolean => kind === 'vhd';
const accepted = (image: Answers): boolean => isVhd(image) && image.expect === 'ok' && (image.virtualSize ?? 0) <= 64 * MiB;

eachImage('$file is exported as the bytes that are known', { where: accepted }, async (image) => {
  const folder = testFolder();
  const paths = await image.store(folder);
  const out = join(folder, 'exported.raw');
  const { disks } = await exportDisk(paths, out);
  expect(disks).toMatchObject([{ virtualSize: image.virtualSize }]);
  const bytes = readFileSync(out);
  expect(sha256(bytes)).toBe(image.sha256raw ?? image.sha256IfAccepted);
  const written = join(folder, 'written.raw');
  await writeDisk(paths, written);
  expect(bytes.equals(readFileSync(written))).toBe(true);
});

const judged = (image: Image): boolean =>
  accepted(image) && image.type !== 'differencing' && image.decoders?.some((decoder) => decoder.startsWith('qemu-img')) === true;

eachImage('$file is exported as a VHD that qemu-img reads as the original', { where: judged, needs: ['qemu-img'] }, async (image) => {
  const folder = testFolder();
  const out = join(folder, 'exported.vhd');
  await exportDisk(await image.store(folder), out);
  expect(sha256(converted(out, folder).subarray(0, image.virtualSize ?? 0))).toBe(image.sha256raw ?? image.sha256IfAccepted);
});

const CODES: Readonly<Record<string, string>> = JSON.parse(readFileSync(new URL('../hostile.json', import.meta.url), 'utf8'));

/** The codes of a write that has no footer to go by, and those of an export, for which such a file is a raw disk unless its name ends in .vhd. */
const OF_EXPORT: Readonly<Record<string, string>> = { FORMAT_UNKNOWN: 'VHD_FOOTER', SOURCE_EMPTY: 'DISK_EMPTY' };

const hostile = (image: Answers): boolean => isVhd(image) && (image.expect === 'error' || image.mayDiffer === true);

eachImage('$file fails as a write of it does, or is read', { where: hostile }, async (image) => {
  const code = await exportDisk(await image.store(testFolder()), 'null:', { format: 'raw' }).then(
    () => 'ok',
    (error: unknown) => {
      if (error instanceof VdiStreamError) return error.code;
      throw error;
    },
  );
  const ofWrite = image.code ?? CODES[image.file] ?? '';
  expect(code).toBe(OF_EXPORT[ofWrite] ?? ofWrite);
});
