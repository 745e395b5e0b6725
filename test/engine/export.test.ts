import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  type DiskOpener,
  type ExportOptions,
  exportDisk,
  type ReadableDisk,
  type SinkOpener,
  VdiStreamError,
  verifyDisk,
  writeDisk,
} from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { loopDevice } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

const MIB = 1 << 20;
const BLOCK = 2 * MIB;

/** Contents by kind: what lies in each 2 MiB. */
const CONTENTS: Readonly<Record<string, (disk: Buffer) => void>> = {
  empty() {},
  full: (disk) => void Buffer.from(noise(disk.length, 7)).copy(disk),
  // One sector of each block, the first, the last or one between.
  dust(disk) {
    for (let block = 0; block * BLOCK < disk.length; block++) {
      const sectors = Math.min(4096, (disk.length - block * BLOCK) / 512);
      const sector = [0, sectors - 1, Math.floor(sectors / 2)][block % 3] ?? 0;
      disk.fill(0x40 + block, block * BLOCK + sector * 512, block * BLOCK + (sector + 1) * 512);
    }
  },
  sparse(disk) {
    const starts = [0, 3 * BLOCK, disk.length - 512].filter((start) => start < disk.length);
    for (const start of starts) Buffer.from(noise(Math.min(BLOCK, disk.length - start), start + 1)).copy(disk, start);
  },
};

function contentOf(kind: string, size: number): Buffer {
  const disk = Buffer.alloc(size);
  CONTENTS[kind]?.(disk);
  return disk;
}

const hidden = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith('.'));

/** The bytes of the disk, as another program reads them in the image. */
function judged(image: string, member: string | undefined, folder: string, { format, compress }: ExportOptions): Buffer {
  let path = image;
  if (compress === 'gzip') {
    path = join(folder, 'gunzipped');
    execFileSync('bash', ['-c', 'gzip -dc "$1" > "$2"', 'bash', image, path]);
  }
  if (member !== undefined) {
    execFileSync('tar', ['-xf', path, '-C', folder, member]);
    path = join(folder, member);
  }
  if (format === 'raw') return readFileSync(path);
  execFileSync('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path, join(folder, 'judged')]);
  return readFileSync(join(folder, 'judged'));
}

const FORMS = (['vhd', 'fixed-vhd', 'raw'] as const).flatMap((format) =>
  (['none', 'tar', 'ova'] as const)
    .filter((container) => container !== 'ova' || format !== 'raw')
    .flatMap((container) => (['none', 'gzip'] as const).map((compress) => ({ format, container, compress }))),
);
const SIZES = [512, 4096, BLOCK, 5 * BLOCK, 5 * BLOCK + 512, 11 * MIB + 3 * 4096];

describe('the way out and the way back have the same bytes, and another program reads them too', () => {
  testWith('qemu-img')('for every format, container and compression, sizes of any kind, and any content', async () => {
    const folder = testFolder();
    let index = 0;
    for (const form of FORMS) {
      for (const kind of Object.keys(CONTENTS)) {
        const size = SIZES[index % SIZES.length] ?? 512;
        const place = join(folder, String(index++));
        mkdirSync(place);
        const disk = contentOf(kind, size);
        writeFileSync(join(place, 'disk'), disk);
        const name = `${JSON.stringify(form)} ${kind} ${size}`;
        const image = join(place, 'image');
        const result = await exportDisk(join(place, 'disk'), image, { ...form, verify: true });
        expect(result, name).toMatchObject({ ...form, verified: true, bytesWritten: statSync(image).size, warnings: [] });
        const [exported] = result.disks;
        const options = { disk: exported?.member, raw: form.format === 'raw' };
        await writeDisk(image, join(place, 'again'), options);
        expect(readFileSync(join(place, 'again')).equals(disk), name).toBe(true);
        expect(judged(image, exported?.member, place, form).equals(disk), `judge: ${name}`).toBe(true);
      }
    }
    expect(index).toBe(FORMS.length * Object.keys(CONTENTS).length);
  });

  testWith('root', 'loop').each([512, 4096] as const)('from a device with sectors of %d bytes', async (sector) => {
    const folder = testFolder();
    const disk = contentOf('sparse', 7 * BLOCK + 4096);
    const device = loopDevice({ size: disk.length, sector });
    try {
      device.write(0, disk);
      for (const form of FORMS) {
        const image = join(folder, `${form.format}-${form.container}-${form.compress}`);
        const { disks } = await exportDisk(device.path, image, { ...form, verify: true });
        await verifyDisk(image, device.path, { disk: disks[0]?.member, raw: form.format === 'raw' });
      }
    } finally {
      device.detach();
    }
  });
});

// Only the addon can ask for holes.
testWith('addon')('blocks of zeros are left out, and data in a hole of a file costs nothing', async () => {
  const folder = testFolder();
  const path = join(folder, 'disk');
  execFileSync('truncate', ['--size=2040G', path]);
  execFileSync('dd', ['if=/dev/urandom', `of=${path}`, 'bs=512', 'count=1', 'seek=2000000000', 'conv=notrunc', 'status=none']);
  const { disks, bytesWritten } = await exportDisk(path, join(folder, 'image.vhd'));
  expect(disks).toMatchObject([{ virtualSize: 2040 * 2 ** 30, allocatedBytes: BLOCK }]);
  // Footer, header, a table of 1,044,480 entries, one block with its bitmap, footer.
  expect(bytesWritten).toBe(512 + 1024 + 4 * 1_044_480 + 512 + BLOCK + 512);
  await writeDisk(join(folder, 'image.vhd'), join(folder, 'again'));
  const written = (name: string): string =>
    execFileSync('dd', [`if=${join(folder, name)}`, 'bs=512', 'count=3', 'skip=1999999999', 'status=none'], { encoding: 'hex' });
  expect(written('again')).toBe(written('disk'));
});

test('several disks are members of one archive, each with its own name', async () => {
  const folder = testFolder();
  for (const kind of ['full', 'dust']) writeFileSync(join(folder, kind), contentOf(kind, 3 * BLOCK));
  const sources = [join(folder, 'full'), join(folder, 'dust')];
  const { disks } = await exportDisk(sources, join(folder, 'my machine.ova'), { verify: true });
  expect(disks.map(({ member }) => member)).toEqual(['my_machine-disk1.vhd', 'my_machine-disk2.vhd']);
  await verifyDisk(join(folder, 'my machine.ova'), join(folder, 'dust'), { disk: 'my_machine-disk2.vhd', manifest: 'require' });
  const alone = await failure(exportDisk(sources, join(folder, 'image.vhd')));
  expect(alone).toMatchObject({ code: 'USAGE', message: '2 disks need an archive: use the container tar or ova' });
});

describe('an output', () => {
  const exported = (path: string, options: ExportOptions = {}): Promise<unknown> =>
    exportDisk(path, join(path, '..', 'image.vhd'), options);

  function diskIn(folder: string): string {
    writeFileSync(join(folder, 'disk'), contentOf('full', BLOCK));
    return join(folder, 'disk');
  }

  test('that exists is replaced only if forced, and only by a complete image', async () => {
    const folder = testFolder();
    const disk = diskIn(folder);
    writeFileSync(join(folder, 'image.vhd'), 'precious', { mode: 0o640 });
    expect(await failure(exported(disk))).toMatchObject({ code: 'TARGET_CONTENT', exitCode: 3, guard: 'content' });
    expect(await failure(exportDisk(failing(), join(folder, 'image.vhd'), { force: ['content'] }))).toMatchObject({ code: 'SOURCE_READ' });
    expect(readFileSync(join(folder, 'image.vhd'), 'utf8')).toBe('precious');
    await exported(disk, { force: ['content'] });
    expect(statSync(join(folder, 'image.vhd')).mode & 0o777).toBe(0o640);
    await verifyDisk(join(folder, 'image.vhd'), disk);
    expect(hidden(folder)).toEqual([]);
  });

  test('that is a link to a file stays a link', async () => {
    const folder = testFolder();
    const disk = diskIn(folder);
    mkdirSync(join(folder, 'store'));
    writeFileSync(join(folder, 'store', 'old.vhd'), 'old');
    symlinkSync(join('store', 'old.vhd'), join(folder, 'image.vhd'));
    await exported(disk, { force: ['content'] });
    expect(execFileSync('readlink', [join(folder, 'image.vhd')], { encoding: 'utf8' }).trim()).toBe('store/old.vhd');
    await verifyDisk(join(folder, 'store', 'old.vhd'), disk);
    expect(hidden(join(folder, 'store'))).toEqual([]);
  });

  test('that is the disk, by any name, is refused even if forced', async () => {
    const folder = testFolder();
    const disk = diskIn(folder);
    symlinkSync('disk', join(folder, 'image.vhd'));
    expect(await failure(exported(disk, { force: ['content'] }))).toMatchObject({ code: 'USAGE' });
    expect(readFileSync(disk).equals(contentOf('full', BLOCK))).toBe(true);
  });

  test.each([
    ['/dev/vdistream-no-such-device', 'TARGET_OPEN'],
    ['/dev/null', 'TARGET_OPEN'],
    ['/', 'TARGET_OPEN'],
  ])('%s is refused', async (path, code) => {
    expect(await failure(exportDisk(diskIn(testFolder()), path))).toMatchObject({ code });
  });

  testWith('root')('without space leaves nothing', async () => {
    const disk = diskIn(testFolder());
    const tiny = tinyFolder(MIB).path;
    expect(await failure(exportDisk(disk, join(tiny, 'image.vhd')))).toMatchObject({ code: 'TARGET_FULL' });
    expect(readdirSync(tiny)).toEqual([]);
  });
});

/** A disk that an opener brings: noise in the first block, and zeros. */
function disk(over: Partial<ReadableDisk> = {}): DiskOpener {
  const bytes = contentOf('sparse', 5 * BLOCK);
  const readable: ReadableDisk = {
    name: 'a disk',
    size: bytes.length,
    align: 512,
    read: async (into, offset) => void into.set(bytes.subarray(offset, offset + into.length)),
    async *mayHold() {
      yield { offset: 0, length: bytes.length };
    },
    version: async () => '1',
    sharesBytesWith: async () => false,
    close: async () => {},
    ...over,
  };
  return { name: readable.name, open: async () => readable };
}

const failing = (): DiskOpener =>
  disk({
    read: () => Promise.reject(new VdiStreamError('SOURCE_READ', 'cannot read')),
  });

describe('a disk that is written to during the export', () => {
  /** The third block turns into data in the second pass. */
  function changing(version: ReadableDisk['version']): DiskOpener {
    let starts = 0;
    return disk({
      version,
      async read(into, offset) {
        into.fill(0);
        if (offset === 0) into.fill(1, 0, BLOCK);
        if (offset === 0) starts++;
        if (starts > 1 && offset + into.length > 2 * BLOCK) into.fill(2, Math.max(0, 2 * BLOCK - offset));
      },
    });
  }

  test('is an error if a block that was left out holds data by now, and nothing appears', async () => {
    const folder = testFolder();
    for (const version of [async () => undefined, versions()]) {
      const error = await failure(exportDisk(changing(version), join(folder, 'image.vhd')));
      expect(error).toMatchObject({ code: 'EXPORT_CHANGED', offset: 2 * BLOCK });
      expect(existsSync(join(folder, 'image.vhd'))).toBe(false);
    }
  });

  test('is a warning if only other blocks were written', async () => {
    const { warnings } = await exportDisk(disk({ version: versions() }), join(testFolder(), 'image.vhd'));
    expect(warnings).toMatchObject([{ code: 'DISK_WRITTEN' }]);
  });

  /** Another one each time. */
  function versions(): ReadableDisk['version'] {
    let count = 0;
    return async () => String(count++);
  }
});

test('a disk is closed once, whatever happens, and an error of closing is one of the export', async () => {
  for (const [over, code] of [
    [{}, undefined],
    [{ read: () => Promise.reject(new VdiStreamError('SOURCE_READ', 'broken')) }, 'SOURCE_READ'],
  ] as const) {
    let closed = 0;
    const close = async (): Promise<void> => void closed++;
    const work = exportDisk(disk({ ...over, close }), join(testFolder(), 'image.vhd'));
    if (code === undefined) await work;
    else expect(await failure(work)).toMatchObject({ code });
    expect(closed).toBe(1);
  }
  const stays = exportDisk(disk({ close: () => Promise.reject(new Error('it stays attached')) }), join(testFolder(), 'image.vhd'));
  await expect(stays).rejects.toThrow('it stays attached');
});

test('a sink gets the length if it is known, the bytes, and an end only after success', async () => {
  const calls: string[] = [];
  const sink = (): SinkOpener => ({
    name: 'a sink',
    readable: false,
    async open({ length }) {
      calls.push(`open ${length}`);
      return {
        async write() {},
        finish: async () => void calls.push('finish'),
        abandon: async () => void calls.push('abandon'),
      };
    },
  });
  await exportDisk(disk(), sink(), { format: 'raw' });
  await exportDisk(disk(), sink(), { format: 'raw', compress: 'gzip' });
  await failure(exportDisk(failing(), sink(), { format: 'raw' }));
  expect(calls).toEqual([`open ${5 * BLOCK}`, 'finish', 'open undefined', 'finish', `open ${5 * BLOCK}`, 'abandon']);
});

test('a signal ends an export whose sink accepts nothing, and no file appears', async () => {
  const folder = testFolder();
  const stop = new AbortController();
  const stalled = disk({
    read: async (into) => {
      into.fill(1);
      stop.abort();
    },
  });
  expect(await failure(exportDisk(stalled, join(folder, 'image.vhd'), { signal: stop.signal }))).toMatchObject({ code: 'CANCELLED' });
  expect(readdirSync(folder)).toEqual([]);
});

test('what does not fit together is a usage error before anything is opened', async () => {
  const path = join(testFolder(), 'image');
  const cases: ReadonlyArray<readonly [ExportOptions, string]> = [
    [{ format: 'vhd', singlePass: true }, 'a dynamic VHD needs two passes'],
    [{ format: 'raw', container: 'ova' }, 'an OVA holds VHDs'],
    [{ level: 10 }, 'level must be a whole number from 1 to 9'],
    [{ blockSize: 3 << 20 }, 'blockSize must be a power of two'],
  ];
  for (const [options, message] of cases) {
    const error = await failure(exportDisk(disk(), path, options));
    expect(error).toMatchObject({ code: 'USAGE' });
    expect(error.message).toContain(message);
  }
  expect(existsSync(path)).toBe(false);
});
