import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import { checkReadable } from '../../src/ova/select.ts';
import { noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { paxHeader, TAR_END, tarHeader, tarMember, tarPadding } from '../support/tar.ts';
import { body, disk, list, listCursor, names } from '../support/tar-listing.ts';

describe('kinds of members', () => {
  test('include old ones: Unix V7, type 7, type NUL, and a folder marked only by its slash', async () => {
    const tar = Buffer.concat([
      tarMember({ name: 'v7.vhd', magic: '', type: '\0' }, body),
      tarMember({ name: 'seven.vhd', type: '7' }, body),
      tarHeader({ name: 'folder.vhd/', magic: '', type: '\0', size: 1300 }),
      tarHeader({ name: 'folder/', type: '5', size: 1300 }),
      tarMember({ name: 'last.vhd' }, body),
      TAR_END,
    ]);
    expect((await list(tar)).members.map(({ name, type, size }) => [name, type, size])).toEqual([
      ['v7.vhd', 'file', 1300],
      ['seven.vhd', 'file', 1300],
      ['folder.vhd/', 'directory', 0],
      ['folder/', 'directory', 0],
      ['last.vhd', 'file', 1300],
    ]);
  });

  test.each(['1', '2', '3', '4', '6'])(
    'include links and devices (type %s), which have no body, whatever their size field says',
    async (type) => {
      const tar = Buffer.concat([tarHeader({ name: 'a.vhd', type, size: 5000, linkname: 'b' }), tarMember({ name: 'b' }, body), TAR_END]);
      expect((await list(tar)).members.map(({ name, size }) => [name, size])).toEqual([
        ['a.vhd', 0],
        ['b', 1300],
      ]);
      const paxed = Buffer.concat([paxHeader({ size: '5000' }), tar]);
      expect(await names(paxed)).toEqual(['a.vhd', 'b']);
    },
  );

  test('that are unknown are skipped like files, as POSIX requires', async () => {
    expect(await names(Buffer.concat([tarMember({ name: 'z', type: 'Z' }, body), disk, TAR_END]))).toEqual(['z', 'disk.vhd']);
  });

  test('may have a signed or an unsigned checksum, but no other', async () => {
    const signed = Buffer.concat([tarHeader({ name: 'größe.vhd', size: 1300, signed: true }), body, tarPadding(1300), TAR_END]);
    expect(await names(signed)).toEqual(['größe.vhd']);
    for (let at = 0; at < 512; at++) {
      if (at === 155) continue; // after the terminator of the checksum
      const bad = Buffer.concat([disk, disk, TAR_END]);
      bad[disk.length + at] = (bad[disk.length + at] ?? 0) ^ 0x01;
      const error = await failure(list(bad));
      expect([error.code, error.offset]).toEqual(['TAR_HEADER', disk.length]);
    }
  });

  test('do not include volumes of a multi-volume archive, which is refused', async () => {
    const tar = Buffer.concat([tarMember({ type: 'M' }, body), TAR_END]);
    expect(await failure(list(tar))).toMatchObject({ code: 'TAR_MULTIVOLUME', offset: 0 });
  });

  test('do not include volumes by GNU tar, which are refused or reported as truncated', async () => {
    const folder = testFolder();
    writeFileSync(join(folder, 'disk.vhd'), noise(60_000, 1));
    const volume = (number: number): string => join(folder, `volume${number}.tar`);
    execFileSync('tar', [
      '-C',
      folder,
      '--format=gnu',
      '-M',
      '-L',
      '20',
      '-cf',
      volume(1),
      '-f',
      volume(2),
      '-f',
      volume(3),
      '-f',
      volume(4),
      'disk.vhd',
    ]);
    expect((await failure(list(readFileSync(volume(1))))).code).toBe('SOURCE_TRUNCATED');
    expect((await failure(list(readFileSync(volume(2))))).code).toBe('TAR_MULTIVOLUME');
  });
});

describe('sparse members', () => {
  function sparse(...options: string[]): Buffer {
    const folder = testFolder();
    const path = join(folder, 'a-sparse.bin');
    writeFileSync(path, '');
    truncateSync(path, 40 << 20);
    const bytes = Buffer.alloc(40 << 20);
    // More islands than the four that a GNU header has room for, so that further headers follow it.
    for (let island = 0; island < 30; island++) bytes.set(noise(4096, island), island << 20);
    writeFileSync(path, bytes);
    execFileSync('fallocate', ['-d', path]);
    writeFileSync(join(folder, 'disk.vhd'), body);
    return execFileSync('tar', ['-C', folder, '-S', ...options, '-cf', '-', 'a-sparse.bin', 'disk.vhd'], { maxBuffer: 1 << 28 });
  }
  const kinds: ReadonlyArray<readonly [string, ...string[]]> = [
    ['gnu', '--format=gnu'],
    ['oldgnu', '--format=oldgnu'],
    ['pax 0.0', '--format=posix', '--sparse-version=0.0'],
    ['pax 0.1', '--format=posix', '--sparse-version=0.1'],
    ['pax 1.0', '--format=posix', '--sparse-version=1.0'],
  ];

  test.each(kinds)(
    'by GNU tar as %s are distinguished from files, have their real names, and the member after them is found',
    async (_, ...options) => {
      const tar = sparse(...options);
      expect(tar.length).toBeLessThan(4 << 20); // it is packed
      const { members, warnings } = await listCursor(streamCursor(reusing(tar, [10_000])), ({ name, size }) =>
        name === 'disk.vhd' ? size : 0,
      );
      expect(members.map(({ name, type }) => [name, type])).toEqual([
        ['a-sparse.bin', 'sparse'],
        ['disk.vhd', 'file'],
      ]);
      expect(members[1]?.body).toEqual(Buffer.from(body));
      expect(warnings).toEqual([]);
    },
  );

  test('are refused as disks', () => {
    const member = { name: 'disk.vhd', type: 'sparse', size: 0, offset: 512, body: streamCursor(reusing(body)) } as const;
    expect(() => checkReadable(member)).toThrow(expect.objectContaining({ code: 'TAR_SPARSE', member: 'disk.vhd' }));
  });

  test('with pax records are recognized by any one of those records', async () => {
    for (const key of ['GNU.sparse.major', 'GNU.sparse.map', 'GNU.sparse.size', 'GNU.sparse.realsize']) {
      const tar = Buffer.concat([
        paxHeader({ [key]: '1', 'GNU.sparse.name': 'true.vhd' }),
        tarMember({ name: 'GNUSparseFile.1/x' }, body),
        TAR_END,
      ]);
      expect((await list(tar)).members).toMatchObject([{ name: 'true.vhd', type: 'sparse', size: 1300 }]);
    }
  });
});
