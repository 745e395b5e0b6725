/** Records: they are on the medium before the VDI exists, and go with it. */

import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createRecords } from '../../src/xen/record.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

const TOKEN = 'a'.repeat(32);
const record = { tag: `vdistream.x.${TOKEN}`, sr: 'sr', name: 'a "name"\\,', size: 5 };
const newFolder = (): string => join(testFolder(), 'records');

describe('a record', () => {
  test('is found as it was written, with the uuid of the VDI once that is known, until it is removed', async () => {
    const folder = newFolder();
    const records = createRecords(folder);
    expect(await records.find(TOKEN)).toBeUndefined();
    await records.add(TOKEN, record);
    expect(await records.find(TOKEN)).toEqual(record);
    await records.complete(TOKEN, 'uuid');
    expect(await createRecords(folder).find(TOKEN)).toEqual({ ...record, vdi: 'uuid' });
    await records.remove(TOKEN);
    await records.remove(TOKEN);
    expect(await records.find(TOKEN)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('of an export is found among those of exports only, with the uuid of the VBD once that is known', async () => {
    const folder = newFolder();
    const records = createRecords(folder);
    expect(await records.exports()).toEqual(new Map());
    const ofExport = { tag: record.tag, sr: 'sr', vdi: 'a', before: ['b', 'c'] };
    await records.addExport(TOKEN, ofExport);
    await records.add('b'.repeat(32), record);
    expect(await records.exports()).toEqual(new Map([[TOKEN, ofExport]]));
    await records.completeExport(TOKEN, 'd');
    const found = createRecords(folder);
    expect(await found.exports()).toEqual(new Map([[TOKEN, { ...ofExport, vbd: 'd' }]]));
    expect([await found.find(TOKEN), await found.find('b'.repeat(32))]).toEqual([undefined, record]);
    // Whatever else is in it, it proves nothing about a VDI.
    appendFileSync(join(folder, TOKEN), '{"name":"x","size":1}\n');
    expect(await found.find(TOKEN)).toBeUndefined();
  });

  test('can be read by its user only', async () => {
    const folder = newFolder();
    await createRecords(folder).add(TOKEN, record);
    expect([statSync(folder).mode % 0o1000, statSync(join(folder, TOKEN)).mode % 0o1000]).toEqual([0o700, 0o600]);
  });

  test('that a crash has cut short does not count, and nor does a last line that was cut short', async () => {
    const folder = newFolder();
    const records = createRecords(folder);
    await records.add(TOKEN, record);
    const whole = readFileSync(join(folder, TOKEN)).length;
    appendFileSync(join(folder, TOKEN), '{"vdi":"uu');
    expect(await records.find(TOKEN)).toEqual(record);
    for (const length of [whole - 1, 10, 0]) {
      truncateSync(join(folder, TOKEN), length);
      expect(await records.find(TOKEN)).toBeUndefined();
    }
  });

  test.each([['not JSON'], ['null'], ['{"tag":1,"sr":"a","name":"b","size":1}'], ['{"tag":"t","sr":"a","name":"b","size":"1"}']])(
    'cannot be %s',
    async (line) => {
      const folder = newFolder();
      const records = createRecords(folder);
      await records.add(TOKEN, record);
      writeFileSync(join(folder, TOKEN), `${line}\n`);
      expect(await records.find(TOKEN)).toBeUndefined();
    },
  );

  test('is never looked up by anything but a token', async () => {
    const folder = newFolder();
    const records = createRecords(folder);
    await records.add(TOKEN, record);
    for (const name of [`../records/${TOKEN}`, '', '.', `${TOKEN}/`]) expect(await records.find(name)).toBeUndefined();
  });

  test('is old after a day without a change, and not after the clock was set back', async () => {
    const folder = newFolder();
    const records = createRecords(folder);
    await records.add(TOKEN, record);
    expect(await records.old()).toEqual([]);
    const now = Date.now() / 1000;
    utimesSync(join(folder, TOKEN), now, now + 100_000);
    expect(await records.old()).toEqual([]);
    utimesSync(join(folder, TOKEN), now, now - 86_500);
    writeFileSync(join(folder, 'other'), '');
    utimesSync(join(folder, 'other'), 0, 0);
    expect(await records.old()).toEqual([TOKEN]);
  });
});

describe('RECORD is thrown', () => {
  test('if the folder is a link, or open to other users, and nothing is read or written there', async () => {
    const folder = testFolder();
    mkdirSync(join(folder, 'open'));
    chmodSync(join(folder, 'open'), 0o755);
    writeFileSync(join(folder, 'open', TOKEN), `${JSON.stringify(record)}\n`);
    symlinkSync('open', join(folder, 'link'));
    for (const name of ['open', 'link']) {
      const records = createRecords(join(folder, name));
      expect(await failure(records.add('b'.repeat(32), record))).toMatchObject({ code: 'RECORD' });
      expect(await failure(records.find(TOKEN))).toMatchObject({ code: 'RECORD' });
      expect(await failure(records.old())).toMatchObject({ code: 'RECORD' });
    }
    expect(readdirSync(join(folder, 'open'))).toEqual([TOKEN]);
  });

  testWith('root')('if the file system is full', async () => {
    const { path } = tinyFolder(4096 * 4);
    writeFileSync(join(path, 'fill'), Buffer.alloc(4096 * 3));
    const records = createRecords(join(path, 'records'));
    const error = await failure(records.add(TOKEN, { ...record, name: 'x'.repeat(10_000) }));
    expect(error).toMatchObject({ code: 'RECORD', message: expect.stringContaining('ENOSPC') });
  });

  test('for a second record with the same token', async () => {
    const records = createRecords(newFolder());
    await records.add(TOKEN, record);
    expect(await failure(records.add(TOKEN, record))).toMatchObject({ code: 'RECORD', message: expect.stringContaining('EEXIST') });
  });
});
