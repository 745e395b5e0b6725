import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { check, info, writeDisk } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, manifestOf, ovfOf, refused, sample, waysOf } from '../support/packages.ts';

const raw = Buffer.from(noise(200 << 10, 5));
const small = (name: string): Entry => [name, Buffer.from(`{"what":"${name}"}`)];
const large = (name: string): Entry => [name, Buffer.from(noise(70 << 10, 6))];
const options = { raw: true };

/** In every way, and so do info and check. */
async function expectRaw(entries: readonly Entry[], member: string, content = raw): Promise<void> {
  for (const { input, name } of waysOf(testFolder(), entries)) {
    const target = join(testFolder(), 'disk');
    const result = await writeDisk(input(), target, { ...options, verify: true });
    expect(result, name).toMatchObject({ type: 'raw', member });
    expect(result.ignored, name).toEqual(entries.map(([entry]) => entry).filter((entry) => entry !== member && !/\.(mf|ovf)$/.test(entry)));
    expect(readFileSync(target).equals(content), name).toBe(true);
    await expect(info(input(), options), name).resolves.toMatchObject({ disks: [{ member, type: 'raw' }] });
    await expect(check(input(), options), name).resolves.toMatchObject({ ok: true, disks: [{ member }] });
  }
}

/** In every way, by all calls, with one code. */
async function expectAmbiguous(entries: readonly Entry[], message = /named \.raw or \.img/): Promise<void> {
  for (const { input, name } of waysOf(testFolder(), entries)) {
    const target = join(testFolder(), 'disk');
    const refusal = { code: 'DISK_AMBIGUOUS', message: expect.stringMatching(message) };
    expect(await failure(writeDisk(input(), target, options)), name).toMatchObject(refusal);
    expect(existsSync(target), name).toBe(false);
    expect(await failure(info(input(), options)), name).toMatchObject(refusal);
    await expect(check(input(), options), name).resolves.toMatchObject({ ok: false, findings: [{ code: 'DISK_AMBIGUOUS' }] });
  }
}

describe('the raw disk of an archive is', () => {
  test.each<[string, Entry[]]>([
    ['a small file before it', [small('metadata.json'), ['disk.raw', raw]]],
    ['small files before and after it', [small('a'), small('b'), ['disk.raw', raw], small('c')]],
    ['a large file after it', [['disk.raw', raw], large('notes')]],
    ['a large file that is not the first before it', [small('a'), large('notes'), ['disk.raw', raw]]],
    [
      'a VHD beside it',
      [
        ['disk.raw', raw],
        ['x.vhd', sample(2).vhd],
      ],
    ],
  ])('the file named so, with %s', async (_, entries) => {
    await expectRaw(entries, 'disk.raw');
  });

  test('the file named .img, also in a folder and in capitals', async () => {
    await expectRaw([small('box/info'), ['box/BOX.IMG', raw]], 'box/BOX.IMG');
  });

  test.each([
    ['disk', raw],
    ['a.bin', Buffer.from(noise(1024, 2))],
    ['x.qcow3', raw],
  ])('the only file, %s', async (name, bytes) => {
    await expectRaw([[name, bytes]], name, bytes);
    await expectRaw(
      [
        ['box.mf', manifestOf([[name, bytes]])],
        [name, bytes],
      ],
      name,
      bytes,
    );
  });

  test('the one that the OVF names', async () => {
    await expectRaw([['box.ovf', ovfOf(['system'])], small('a'), ['system', raw], ['other.img', raw]], 'system');
  });

  test('the one that is requested', async () => {
    for (const { input, name } of waysOf(testFolder(), [small('a'), ['b', raw], large('c')])) {
      const target = join(testFolder(), 'disk');
      await expect(writeDisk(input(), target, { raw: true, disk: 'b' }), name).resolves.toMatchObject({ member: 'b', type: 'raw' });
      expect(readFileSync(target).equals(raw), name).toBe(true);
    }
  });
});

describe('which file of an archive is the raw disk cannot be known', () => {
  test.each<[string, Entry[]]>([
    ['two small files', [small('Vagrantfile'), small('box')]],
    ['a small and a large file', [small('Vagrantfile'), large('box')]],
    ['a large file and a small one', [large('box'), small('Vagrantfile')]],
    ['two large files', [large('a'), large('b')]],
  ])('with %s', async (_, entries) => {
    await expectAmbiguous(entries);
  });

  test('with two that are named so', async () => {
    await refused([['a.raw', raw], ['b.img', raw]], { code: 'DISK_AMBIGUOUS', message: expect.stringMatching(/a\.raw.*b\.img/) }, options); // biome-ignore format: one line
  });

  test('with a large file before the one that is named so, in a stream', async () => {
    const entries: Entry[] = [large('box'), ['disk.raw', raw]];
    for (const { input, jumps, name } of waysOf(testFolder(), entries)) {
      const work = writeDisk(input(), join(testFolder(), 'disk'), options);
      if (jumps) await expect(work, name).resolves.toMatchObject({ member: 'disk.raw' });
      else expect(await failure(work), name).toMatchObject({ code: 'DISK_AMBIGUOUS' });
    }
  });
});

test('an archive without files holds no raw disk', async () => {
  await refused([['folder/', Buffer.alloc(0)]], { code: 'DISK_NONE' }, options);
});
