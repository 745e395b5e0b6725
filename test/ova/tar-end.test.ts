import { describe, expect, test } from 'vitest';
import { streamCursor } from '../../src/cursor.ts';
import { reusing } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { paxHeader, TAR_END } from '../support/tar.ts';
import { disk, list, listCursor, oneDisk } from '../support/tar-listing.ts';

describe('the end of the archive', () => {
  test('with both its blocks, and padding to any record, causes no warning', async () => {
    for (const padding of [0, 512, 8192, 100_000]) {
      expect((await list(Buffer.concat([disk, TAR_END, new Uint8Array(padding)]))).warnings).toEqual([]);
    }
  });

  test.each([
    ['without its blocks', disk, disk.length],
    ['without the last padding', disk.subarray(0, 512 + 1300), 512 + 1300],
    ['with part of the last padding', disk.subarray(0, 512 + 1400), 512 + 1400],
    ['with one block', Buffer.concat([disk, TAR_END.subarray(512)]), disk.length + 512],
    ['with one block and a half', Buffer.concat([disk, TAR_END.subarray(300)]), disk.length + 512],
  ])('%s is a warning, and every member is read', async (_, tar, offset) => {
    const { members, warnings } = await list(tar, [100]);
    expect(members).toEqual(oneDisk);
    expect(warnings).toMatchObject([{ code: 'TAR_END_MISSING', offset }]);
  });

  test('may be followed by other bytes, which cause a warning and are not read as members', async () => {
    const { members, warnings } = await list(Buffer.concat([disk, TAR_END, disk]));
    expect(members).toEqual(oneDisk);
    expect(warnings.map(({ code }) => code)).toEqual(['TAR_TRAILING']);
    expect(warnings[0]?.offset).toBeGreaterThanOrEqual(disk.length);
    expect(warnings[0]?.offset).toBeLessThanOrEqual(disk.length + 1024);
  });

  test('may be followed by bytes far after it, and the warning says in which chunk', async () => {
    const tar = Buffer.concat([disk, TAR_END, new Uint8Array(9488), Buffer.from('junk')]);
    const { warnings } = await list(tar, [512]);
    expect(warnings.map(({ code }) => code)).toEqual(['TAR_TRAILING']);
    expect(warnings[0]?.offset).toBeGreaterThan(tar.length - 4 - 512);
  });

  test('anywhere else is an error with its offset: in a header, a body, a long name', async () => {
    const pax = paxHeader({ path: 'second.vhd' });
    const tar = Buffer.concat([disk, pax, disk]);
    // An archive cut right after a member, or in its padding, is complete: those are the warnings above.
    const whole = (end: number): boolean => end >= 512 + 1300 && end <= disk.length;
    for (let end = 0; end < disk.length + pax.length + 512 + 1300; end++) {
      const listing = list(tar.subarray(0, end), [333]);
      if (whole(end)) expect((await listing).members.length).toBe(1);
      else {
        // A reader of a body gets the offset in that body; a reader that skips it gets the offset in the archive.
        const bodyAt = [512, disk.length + pax.length + 512].find((start) => end >= start && end < start + 1300);
        expect(await failure(listing)).toMatchObject({ code: 'SOURCE_TRUNCATED', offset: end - (bodyAt ?? 0) });
      }
    }
  });

  test('in a body that is not read is also an error, and names the member', async () => {
    const tar = Buffer.concat([disk, disk.subarray(0, 1000)]);
    for (const share of [0, 300]) {
      const error = await failure(listCursor(streamCursor(reusing(tar, [64])), () => share));
      expect(error).toMatchObject({ code: 'SOURCE_TRUNCATED', member: 'disk.vhd', offset: 1000 - 512 });
    }
  });
});
