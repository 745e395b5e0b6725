import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { type Header, pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import { openSource } from '../../src/engine/open.ts';
import { type Member, readTar } from '../../src/ova/tar.ts';
import { chunkSizes, noise, reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type Listing, list, listCursor } from '../support/tar-listing.ts';

async function packed(entries: ReadonlyArray<{ header: Partial<Header> & { name: string }; body?: Uint8Array }>): Promise<Buffer> {
  const tar = pack();
  for (const { header, body } of entries) tar.entry(header, Buffer.from(body ?? []));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}

/** Names of every kind: short, over 100 bytes with and without a place to split, not ASCII. */
const memberNames = fc.oneof(
  fc.stringMatching(/^[a-z0-9._-]{1,20}$/),
  fc.stringMatching(/^(?:[a-z]{1,30}\/){1,9}[a-z]{1,20}\.vhd$/),
  fc.stringMatching(/^[a-z]{101,300}$/),
  fc.stringMatching(/^[äöü€日本]{1,60}$/),
);

describe('archives by tar-stream are read', () => {
  const entry = fc.record({
    name: memberNames.filter((name) => !name.endsWith('/')),
    length: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.constantFrom(0, 1, 511, 512, 513, 70_000)),
    seed: fc.nat(),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    kind: fc.constantFrom<Header['type'][]>('file', 'file', 'file', 'directory', 'symlink', 'contiguous-file'),
  });
  const expected = { file: 'file', 'contiguous-file': 'file', directory: 'directory', symlink: 'link' } as const;

  test('at any chunking, however much of each body is read', async () => {
    const folder = testFolder();
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 8 }), chunkSizes, async (entries, sizes) => {
        const bodies = entries.map(({ kind, length, seed }) => (kind?.endsWith('file') ? noise(length, seed) : new Uint8Array(0)));
        const tar = await packed(
          entries.map(({ name, kind }, index) => ({
            header: { name, type: kind, size: bodies[index]?.length ?? 0, ...(kind === 'symlink' ? { linkname: 'elsewhere' } : {}) },
            body: bodies[index] ?? new Uint8Array(0),
          })),
        );
        let index = 0;
        const share = ({ size }: Member): number => Math.floor(size * (entries[index++ % entries.length]?.share ?? 0));
        const check = ({ members, warnings }: Listing): void => {
          expect(warnings).toEqual([]);
          expect(members.length).toBe(entries.length);
          members.forEach((member, index) => {
            const { name, kind, share: read } = entries[index] ?? {};
            const whole = bodies[index] ?? new Uint8Array(0);
            expect(member.name.replace(/\/$/, '')).toBe(name);
            expect(member.type).toBe(kind && expected[kind as keyof typeof expected]);
            expect(member.size).toBe(whole.length);
            const part = whole.subarray(0, Math.floor(whole.length * (read ?? 0)));
            expect(Buffer.compare(member.body, part)).toBe(0);
            expect(Buffer.compare(tar.subarray(member.offset, member.offset + whole.length), whole)).toBe(0);
          });
        };
        check(await listCursor(streamCursor(reusing(tar, sizes)), share));
        const path = join(folder, 'image.tar');
        writeFileSync(path, tar);
        const source = await openSource(path);
        index = 0;
        await listCursor(source.cursor, share)
          .then(check)
          .finally(() => source.close());
      }),
    );
  });

  test('with each body as a range with its own position, length and end', async () => {
    const tar = await packed([
      { header: { name: 'a' }, body: noise(1000, 1) },
      { header: { name: 'b.vhd' }, body: noise(3000, 2) },
    ]);
    const seen: unknown[] = [];
    for await (const { body: range } of readTar(streamCursor(reusing(tar, [700])))) {
      await range.moveTo(100);
      const peeked = Uint8Array.from(await range.peek(10_000));
      await range.moveTo(200);
      const error = await failure(range.read((range.length ?? 0) + 1));
      seen.push([range.length, range.position, peeked, error.code, error.offset]);
      let rest = 0;
      for await (const chunk of range.chunks()) rest += chunk.length;
      expect(rest).toBe((range.length ?? 0) - 200);
    }
    expect(seen).toEqual([
      [1000, 200, noise(1000, 1).subarray(100), 'SOURCE_TRUNCATED', 1000],
      [3000, 200, noise(3000, 2).subarray(100), 'SOURCE_TRUNCATED', 3000],
    ]);
  });
});

describe.each(['v7', 'oldgnu', 'gnu', 'ustar', 'posix'])('archives by GNU tar as %s are read', (format) => {
  const tree: Record<string, Uint8Array> = {
    'image.ovf': noise(700, 1),
    'image.vhd': noise(5000, 2),
    'empty.vhd': new Uint8Array(0),
    'in/a/folder/disk.vhd': noise(512, 3),
  };
  // V7 has no room for these.
  if (format !== 'v7') tree[`${'long/'.repeat(24)}disk.vhd`] = noise(100, 4);
  if (format === 'gnu' || format === 'oldgnu' || format === 'posix') tree[`${'n'.repeat(200)}.vhd`] = noise(100, 5);

  function archive(...options: string[]): Buffer {
    const folder = join(testFolder(), 'tree');
    for (const [name, content] of Object.entries(tree)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    symlinkSync('image.vhd', join(folder, 'symlink.vhd'));
    linkSync(join(folder, 'image.vhd'), join(folder, 'zz-hardlink.vhd'));
    return execFileSync('tar', ['-C', folder, `--format=${format}`, '--sort=name', ...options, '-cf', '-', '.'], { maxBuffer: 1 << 28 });
  }

  test('with files, folders, links and long names', async () => {
    const { members, warnings } = await list(archive(), [10_000, 3]);
    const files = members.filter(({ type }) => type === 'file');
    expect(Object.fromEntries(files.map(({ name, body: content }) => [name, content]))).toEqual(
      Object.fromEntries(Object.entries(tree).map(([name, content]) => [`./${name}`, Buffer.from(content)])),
    );
    const others = members.filter(({ type }) => type !== 'file').map(({ name, type, size }) => [name, type, size]);
    expect(others).toContainEqual(['./symlink.vhd', 'link', 0]);
    expect(others).toContainEqual(['./zz-hardlink.vhd', 'link', 0]);
    expect(others).toContainEqual(['./', 'directory', 0]);
    expect(others).toContainEqual(['./in/a/', 'directory', 0]);
    expect(warnings).toEqual([]);
  });

  test('with the smallest record and the largest one', async () => {
    for (const factor of ['1', '200']) {
      const { members, warnings } = await list(archive('-b', factor));
      expect(members.length).toBe(Object.keys(tree).length + 2 + members.filter(({ type }) => type === 'directory').length);
      expect(warnings).toEqual([]);
    }
  });
});
