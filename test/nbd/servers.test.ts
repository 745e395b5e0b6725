/** Disks of real NBD servers. What they hold is known from qemu-img, and from the file that they serve. */

import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import type { ReadableDisk } from '../../src/disk/readable.ts';
import { dryRunWrite, exportDisk, type NbdOptions, nbdDisk, verifyDisk, type Warning, writeDisk } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { nbdkit, nbdProxy, qemuNbd, type RunningServer } from '../support/nbd-server.ts';
import { testWith } from '../support/needs.ts';
import { bytesAt, storeSparse } from '../support/readable.ts';

const MIB = 1 << 20;
const SIZE = 21 * MIB;

/** 21 MiB, with data at the start, in one place between, and at the end. */
async function sparseDisk(): Promise<{ readonly path: string; readonly bytes: Buffer }> {
  const path = join(testFolder(), 'disk.raw');
  const bytes = Buffer.alloc(SIZE);
  for (const [seed, at] of [0, 9 * MIB, 20 * MIB].entries()) Buffer.from(noise(MIB, seed + 1)).copy(bytes, at);
  await storeSparse(path, [bytes]);
  return { path, bytes };
}

function denseDisk(size = SIZE): { readonly path: string; readonly bytes: Buffer } {
  const path = join(testFolder(), 'disk.raw');
  const bytes = Buffer.from(noise(size, 9));
  writeFileSync(path, bytes);
  return { path, bytes };
}

async function opened(uri: string, options: NbdOptions = {}, warnings: Warning[] = []): Promise<ReadableDisk> {
  return nbdDisk(uri, options).open({ onWarning: (warning) => warnings.push(warning) });
}

async function using<T>(uri: string, use: (disk: ReadableDisk) => Promise<T>, options?: NbdOptions): Promise<T> {
  const disk = await opened(uri, options);
  try {
    return await use(disk);
  } finally {
    await disk.close();
  }
}

async function rangesOf(disk: ReadableDisk): Promise<Array<{ offset: number; length: number }>> {
  const ranges: Array<{ offset: number; length: number }> = [];
  for await (const range of disk.mayHold()) ranges.push(range);
  return ranges;
}

/** Where qemu-img finds data. */
function mapOf(...image: readonly string[]): Array<{ offset: number; length: number }> {
  const map: ReadonlyArray<{ start: number; length: number; zero: boolean }> = JSON.parse(
    execFileSync('qemu-img', ['map', '--output=json', ...image], { encoding: 'utf8' }),
  );
  return map.filter(({ zero }) => !zero).map(({ start, length }) => ({ offset: start, length }));
}

/** A VHD as qemu-img reads it. */
function converted(vhd: string): Buffer {
  const raw = `${vhd}.raw`;
  const input = `driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=${vhd}`;
  execFileSync('qemu-img', ['convert', '-O', 'raw', '--image-opts', input, raw]);
  return readFileSync(raw);
}

async function expectExport(uri: string, bytes: Buffer): Promise<void> {
  const out = join(testFolder(), 'out.vhd');
  const { disks } = await exportDisk(uri, out, { verify: true });
  expect(disks).toMatchObject([{ source: uri, virtualSize: bytes.length }]);
  expect(Buffer.compare(converted(out), bytes)).toBe(0);
}

type Serve = (path: string) => Promise<RunningServer>;

/** How a server is started, and whether it says where zeros are. */
const SERVERS: ReadonlyArray<readonly [string, 'qemu-nbd' | 'nbdkit', boolean, Serve]> = [
  ['qemu-nbd', 'qemu-nbd', true, (path) => qemuNbd(path, '-f', 'raw')],
  ['nbdkit', 'nbdkit', true, (path) => nbdkit('file', path)],
  ['nbdkit without structured replies', 'nbdkit', false, (path) => nbdkit('--no-sr', 'file', path)],
  ['nbdkit with the oldstyle handshake', 'nbdkit', false, (path) => nbdkit('--oldstyle', 'file', path)],
  ['nbdkit with the newstyle handshake of old', 'nbdkit', false, (path) => nbdkit('--mask-handshake=0', 'file', path)],
  [
    'nbdkit with blocks of 4096 bytes and requests of 64 KiB',
    'nbdkit',
    true,
    (path) =>
      nbdkit(
        '--filter=blocksize-policy',
        'file',
        path,
        'blocksize-minimum=4096',
        'blocksize-maximum=65536',
        'blocksize-error-policy=error',
      ),
  ],
  ['nbdkit that replies late and out of order', 'nbdkit', true, (path) => nbdkit('--filter=delay', 'file', path, 'delay-read=5ms')],
];

describe.each(SERVERS)('%s', (_, program, showsZeros, serve) => {
  testWith('qemu-img', program)('serves a sparse disk, which is exported', async () => {
    const { path, bytes } = await sparseDisk();
    const uri = (await serve(path)).uri();
    const ranges = await using(uri, rangesOf);
    expect(ranges).toEqual(showsZeros ? mapOf('-f', 'raw', path) : [{ offset: 0, length: SIZE }]);
    await expectExport(uri, bytes);
  });

  testWith('qemu-img', program)('serves a dense disk, which is read at any place', async () => {
    const { path, bytes } = denseDisk();
    await using((await serve(path)).uri(), async (disk) => {
      expect(disk.size).toBe(SIZE);
      for (const [offset, length] of [
        [0, 4096],
        [MIB - 4096, 3 * MIB],
        [0, SIZE],
        [SIZE - 4096, 4096],
      ] as const) {
        expect(Buffer.compare(await bytesAt(disk, offset, length), bytes.subarray(offset, offset + length))).toBe(0);
      }
      const parts = await Promise.all(Array.from({ length: 21 }, (_, index) => bytesAt(disk, index * MIB, MIB)));
      expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0);
    });
  });
});

describe('qemu-nbd', () => {
  testWith('qemu-img', 'qemu-nbd')('serves any format of qemu, so that a qcow2 becomes a VHD', async () => {
    const { path, bytes } = await sparseDisk();
    const folder = testFolder();
    const [base, leaf] = [join(folder, 'base.qcow2'), join(folder, 'leaf.qcow2')];
    execFileSync('qemu-img', ['convert', '-c', '-O', 'qcow2', path, base]);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', leaf]);
    const server = await qemuNbd(leaf, '-f', 'qcow2', '-x', 'disk');
    await expectExport(server.uri('disk'), bytes);
  });

  testWith('qemu-img', 'qemu-nbd')('is read over TCP, by name and port', async () => {
    const { path, bytes } = await sparseDisk();
    const proxy = await nbdProxy(await qemuNbd(path, '-f', 'raw'));
    const uri = `${proxy.uri.replace('127.0.0.1', 'localhost')}/`;
    await using(uri, async (disk) => expect(Buffer.compare(await bytesAt(disk, 0, SIZE), bytes)).toBe(0));
    await proxy.idle();
  });

  testWith('qemu-nbd')('refuses a name that it does not have', async () => {
    const { path } = denseDisk(MIB);
    const server = await qemuNbd(path, '-f', 'raw', '-x', 'disk');
    expect(await failure(opened(server.uri('other')))).toMatchObject({
      code: 'NBD_REFUSED',
      message: expect.stringMatching(/the server refuses this export: ".*other.*"$/),
    });
    const secret = `other?session_id=${'5ec2e7'.repeat(3)}`;
    const { message } = await failure(opened(server.uri(encodeURIComponent(secret))));
    expect(message).not.toContain('5ec2e7');
  });

  testWith('nbdkit')('of nbdkit, a disk that ends in a partial sector is padded', async () => {
    const { path, bytes } = denseDisk(MIB + 700);
    const warnings: Warning[] = [];
    const disk = await opened((await nbdkit('file', path)).uri(), {}, warnings);
    expect(disk.size).toBe(MIB + 1024);
    expect(warnings).toMatchObject([{ code: 'RAW_PADDED', offset: MIB + 512 }]);
    const read = await bytesAt(disk, MIB, 1024);
    expect(Buffer.compare(read, Buffer.concat([bytes.subarray(MIB), Buffer.alloc(324)]))).toBe(0);
    await disk.close();
  });
});

describe('nbdkit', () => {
  testWith('nbdkit')('serves terabytes of nothing, of which nothing is read', async () => {
    const server = await nbdkit('memory', `${2040 * 1024}M`);
    const out = join(testFolder(), 'out.vhd');
    const { disks } = await exportDisk(server.uri(), out);
    expect(disks).toMatchObject([{ virtualSize: 2040 * 1024 * MIB, allocatedBytes: 0 }]);
    expect(statSync(out).size).toBeLessThan(8 * MIB);
  });

  testWith('nbdkit')('has an empty disk, which is no disk', async () => {
    expect(await failure(opened((await nbdkit('null')).uri()))).toMatchObject({ code: 'DISK_EMPTY' });
  });

  testWith('nbdkit')('reports an error of its disk, which is not retried', async () => {
    const { path } = denseDisk(MIB);
    const server = await nbdkit('--filter=error', 'file', path, 'error-pread=EIO', 'error-pread-rate=100%');
    const warnings: Warning[] = [];
    const out = join(testFolder(), 'out.vhd');
    const error = await failure(exportDisk(server.uri(), out, { onWarning: (warning) => void warnings.push(warning) }));
    expect(error).toMatchObject({ code: 'NBD_IO', message: expect.stringContaining('EIO'), retryable: false });
    expect(warnings).toEqual([]);
  });
});

testWith('qemu-nbd')('a disk that is closed is not read', async () => {
  const { path } = denseDisk(MIB);
  const disk = await opened((await qemuNbd(path, '-f', 'raw')).uri());
  await disk.close();
  await disk.close();
  expect(await failure(disk.read(new Uint8Array(512), 0))).toMatchObject({ code: 'USAGE' });
});

testWith('qemu-img', 'qemu-nbd')('an image is compared with an export, which is never written', async () => {
  const { path } = await sparseDisk();
  const vhd = join(testFolder(), 'disk.vhd');
  execFileSync('qemu-img', ['convert', '-O', 'vpc', '-o', 'force_size', path, vhd]);
  const uri = (await qemuNbd(path, '-f', 'raw')).uri();
  expect(await verifyDisk(vhd, uri)).toMatchObject({ target: uri, bytesCompared: SIZE, verified: true });
  expect(await failure(writeDisk(vhd, uri))).toMatchObject({ code: 'USAGE' });
  expect(await failure(dryRunWrite(vhd, uri))).toMatchObject({ code: 'USAGE' });

  const { path: other } = denseDisk();
  const different = (await qemuNbd(other, '-f', 'raw')).uri();
  expect(await failure(verifyDisk(vhd, different))).toMatchObject({ code: 'VERIFY_MISMATCH' });
  const { path: short } = denseDisk(MIB);
  const small = (await qemuNbd(short, '-f', 'raw')).uri();
  expect(await failure(verifyDisk(vhd, small))).toMatchObject({ code: 'TARGET_SMALL' });
});
