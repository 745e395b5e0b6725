import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { check, info, verifyDisk, type WriteOptions, writeDisk } from '../../src/index.ts';
import { chunked, sampleChain, stored } from '../support/chains.ts';
import { testFolder } from '../support/folder.ts';
import { type Entry, flipped, manifestOf, ovfOf, refused, sample, waysOf, written } from '../support/packages.ts';
import { tarOf } from '../support/tar.ts';

const disk = sample(1);
const ovf: Entry = ['box.ovf', ovfOf(['disk.vhd'])];
const vhd: Entry = ['disk.vhd', disk.vhd];
const notes: Entry = ['box.nvram', Buffer.from('what the firmware remembers')];
const listed = [ovf, vhd, notes];
const manifest: Entry = ['box.mf', manifestOf(listed)];

/** Where producers put the manifest: ovftool right after the OVF, others last, plain tar anywhere. */
const layouts: [string, Entry[]][] = [
  ['after the OVF', [ovf, manifest, vhd, notes]],
  ['at the end', [ovf, vhd, notes, manifest]],
  ['first of all', [manifest, ovf, vhd, notes]],
];
const modes: NonNullable<WriteOptions['manifest']>[] = ['if-present', 'require'];

describe.each(layouts)('a manifest %s', (_, entries) => {
  test.each(modes)('with correct digests allows the disk: %s', async (mode) => {
    for (const result of await written(entries, disk.content, { manifest: mode })) {
      expect(result).toMatchObject({ member: 'disk.vhd', ignored: ['box.nvram'], warnings: [] });
    }
  });

  test.each(['disk.vhd', 'box.ovf', 'box.nvram'])('detects one flipped bit in %s', async (name) => {
    const damaged =
      name === 'box.ovf'
        ? entries.map(
            ([other, body]): Entry => [other, other === name ? Buffer.from(`${body}`.replace('capacity="1"', 'capacity="2"')) : body],
          )
        : flipped(entries, name);
    const shape = { code: 'MANIFEST_DIGEST', member: name, advice: expect.stringContaining('do not use the target') };
    for (const mode of modes) await refused(damaged, shape, { manifest: mode });
    for (const { input, name: way } of waysOf(testFolder(), damaged)) {
      await expect(info(input()), way).rejects.toMatchObject(shape);
      await expect(info(input(), { manifest: 'ignore' }), way).resolves.toMatchObject({ virtualSize: disk.content.length });
    }
  });

  test('is not read if the caller says so', async () => {
    const damaged = flipped(entries, 'box.nvram');
    const broken = entries.map(([name, body]): Entry => [name, name === 'box.mf' ? Buffer.from('no manifest') : body]);
    for (const archive of [damaged, broken]) {
      for (const result of await written(archive, disk.content, { manifest: 'ignore' })) expect(result.warnings).toEqual([]);
    }
    await refused(broken, { code: 'MANIFEST_SYNTAX', member: 'box.mf' });
  });

  test('that does not list the disk does not satisfy a required manifest', async () => {
    const others: Entry[] = entries.map(([name, body]) => [name, name === 'box.mf' ? manifestOf([ovf, notes]) : body]);
    await written(others, disk.content);
    await refused(others, { code: 'MANIFEST_MISSING', member: 'disk.vhd' }, { manifest: 'require', early: ({ jumps }) => jumps });
  });
});

test.each(['sha1', 'sha256', 'sha512'] as const)('digests may be %s', async (algorithm) => {
  const entries: Entry[] = [ovf, ['box.mf', manifestOf(listed, algorithm)], vhd, notes];
  await written(entries, disk.content, { manifest: 'require' });
  await refused(flipped(entries, 'disk.vhd'), { code: 'MANIFEST_DIGEST', message: expect.stringContaining(algorithm) });
});

test('names in a manifest are relative to its folder', async () => {
  const inFolder = (entries: readonly Entry[]): Entry[] => entries.map(([name, body]) => [`export/${name}`, body]);
  const entries = inFolder([manifest, vhd, notes]);
  const damaged = inFolder(flipped([manifest, vhd, notes], 'disk.vhd'));
  for (const mode of modes) {
    await written(entries, disk.content, { manifest: mode });
    await refused(damaged, { code: 'MANIFEST_DIGEST', member: 'export/disk.vhd' }, { manifest: mode });
  }
});

test('a manifest may hold digests of several algorithms, and may come last', async () => {
  const lines = [manifestOf([ovf], 'sha1'), manifestOf([vhd], 'sha512'), manifestOf([notes])];
  const entries: Entry[] = [ovf, vhd, notes, ['box.mf', Buffer.concat(lines)]];
  await written(entries, disk.content, { manifest: 'require' });
  for (const name of ['disk.vhd', 'box.nvram']) await refused(flipped(entries, name), { code: 'MANIFEST_DIGEST', member: name });
});

describe('an archive without a manifest', () => {
  const entries = [ovf, vhd, notes];

  test('is refused if one is required, before anything is written if the archive is seekable', async () => {
    await refused(entries, { code: 'MANIFEST_MISSING' }, { manifest: 'require', early: ({ jumps }) => jumps });
    await refused([vhd], { code: 'MANIFEST_MISSING' }, { manifest: 'require', early: ({ jumps }) => jumps });
  });

  test('is accepted otherwise', async () => {
    await written(entries, disk.content);
    await written(entries, disk.content, { manifest: 'ignore' });
  });
});

describe('a manifest after the disk of an archive that does not begin with an OVF', () => {
  const entries: Entry[] = [vhd, ['box.mf', manifestOf([vhd])]];

  test('is reported as too late in a stream, and is checked if the archive is seekable', async () => {
    const folder = testFolder();
    for (const { jumps, name, input } of waysOf(folder, flipped(entries, 'disk.vhd'))) {
      const target = join(folder, name);
      const writing = writeDisk(input(), target, { force: ['content'] });
      if (jumps) await expect(writing, name).rejects.toMatchObject({ code: 'MANIFEST_DIGEST', member: 'disk.vhd' });
      else await expect(writing, name).resolves.toMatchObject({ warnings: [{ code: 'MANIFEST_LATE', member: 'disk.vhd' }] });
      expect(existsSync(target), name).toBe(!jumps);
    }
  });

  test('is also checked in a stream if it is required', async () => {
    await written(entries, disk.content, { manifest: 'require' });
    await refused(flipped(entries, 'disk.vhd'), { code: 'MANIFEST_DIGEST', member: 'disk.vhd' }, { manifest: 'require' });
  });

  test('causes no warning if it does not list the disk', async () => {
    const others: Entry[] = [vhd, ['box.mf', manifestOf([notes])]];
    for (const result of await written(others, disk.content)) expect(result.warnings).toEqual([]);
  });
});

test('a chain is compared with its manifest in any order of its layers', async () => {
  const { vhds, content } = sampleChain();
  const layers = vhds.map((body, rank): Entry => [`${rank}.vhd`, body]);
  for (const order of [layers, layers.toReversed()]) {
    const entries: Entry[] = [['chain.mf', manifestOf(order)], ...order];
    const options = { manifest: 'require', virtualSize: content.length } as const;
    await written(entries, content, options);
    for (const [name] of layers) await refused(flipped(entries, name), { code: 'MANIFEST_DIGEST', member: name }, options);
  }
});

test('verifying compares the target with the image, and the image with its manifest', async () => {
  const folder = testFolder();
  const target = stored(folder, 'disk', disk.content);
  for (const mode of modes) {
    const tar = tarOf([ovf, manifest, vhd, notes]);
    await expect(verifyDisk(chunked(tar), target, { manifest: mode })).resolves.toMatchObject({ verified: true });
    const damaged = tarOf(flipped([ovf, manifest, vhd, notes], 'box.nvram'));
    await expect(verifyDisk(chunked(damaged), target, { manifest: mode })).rejects.toMatchObject({ code: 'MANIFEST_DIGEST' });
  }
});

describe('a certificate file', () => {
  // Both made by OpenSSL; the manifest is of files that are not here, so it lists nothing of this archive.
  const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/${name}`, import.meta.url));
  const mf: Entry = ['box.mf', fixture('box.mf')];
  const cert: Entry = ['box.cert', fixture('rsa.cert')];

  test.each<[string, Entry[]]>([
    ['in front', [mf, cert, vhd]],
    ['before the manifest', [cert, mf, vhd]],
    ['at the end', [vhd, mf, cert]],
  ])('%s verifies the exact manifest, and no other', async (_, entries) => {
    await written(entries, disk.content);
    const other = entries.map(([name, body]): Entry => [name, name === 'box.mf' ? Buffer.concat([body, Buffer.from('\n')]) : body]);
    await refused(other, { code: 'MANIFEST_SIGNATURE', member: 'box.mf' }, { early: ({ jumps }) => jumps || entries[2] === vhd });
    await written(other, disk.content, { manifest: 'ignore' });
  });
});

test('check reports each wrong digest, and continues', async () => {
  for (const [, entries] of layouts) {
    const damaged = flipped(flipped(entries, 'disk.vhd'), 'box.nvram');
    for (const { input, name } of waysOf(testFolder(), damaged)) {
      const { ok, findings } = await check(input());
      expect(ok, name).toBe(false);
      expect(findings.map(({ severity, code, member }) => `${severity} ${code} ${member}`).sort(), name).toEqual([
        'error MANIFEST_DIGEST box.nvram',
        'error MANIFEST_DIGEST disk.vhd',
      ]);
    }
  }
});
