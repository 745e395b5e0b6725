/** Imports to a pool that fail: at each call, and in each state of the transfer. Nothing is left, or the error says what. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished } from 'vitest';
import { importImage } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { expectDisk } from '../support/imported.ts';
import { fixedVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { expectNothingLeft, importedToPool, pool, refusedByPool, xapiOptions } from '../support/pool.ts';

const test = testWith('openssl');

const MiB = 2 ** 20;
const content = noise(12 * MiB, 7);

function image(): string {
  const path = join(testFolder(), 'image.vhd');
  writeFileSync(path, fixedVhd(content));
  return path;
}

/** All calls of an import before the tag is removed, in their order. */
const METHODS = [
  'session.login_with_password',
  'pool.get_all',
  'pool.get_master',
  'SR.get_by_uuid',
  'SR.get_record',
  'PBD.get_record',
  'host.get_record',
  'host_metrics.get_record',
  'VDI.create',
  'VDI.get_uuid',
  'VDI.get_by_uuid',
  'VDI.get_record',
  'task.create',
  'task.get_record',
  'VDI.add_to_other_config',
  'VDI.remove_from_other_config',
  'VDI.remove_tags',
];

describe('a call that XAPI refuses', () => {
  test.each(METHODS)('%s', async (method) => {
    pool.fault({ method, how: 'fail', code: 'INTERNAL_ERROR' });
    expect(await refusedByPool(image(), pool.db.addSr('ext'))).toMatchObject({ code: 'XAPI_FAILED', xapi: 'INTERNAL_ERROR' });
  });
});

describe('a call that does not end', () => {
  const others = ['VDI.create', 'VDI.get_uuid'];
  test.each(METHODS.filter((method) => !others.includes(method)))('%s', async (method) => {
    pool.fault({ method, how: 'hang' });
    const xapi = xapiOptions({ timeout: 3000 });
    expect(await refusedByPool(image(), pool.db.addSr('ext'), {}, xapi)).toMatchObject({ code: 'XAPI_CONNECTION' });
  });

  test('VDI.create: the VDI may still appear, which the error says', async () => {
    pool.fault({ method: 'VDI.create', how: 'hang' });
    const error = await failure(importImage(image(), { sr: pool.db.addSr('ext'), xapi: xapiOptions({ timeout: 3000 }) }));
    expect(error).toMatchObject({
      code: 'XAPI_CONNECTION',
      left: [expect.stringContaining('a VDI that xapi is still creating; look for')],
    });
    await expectNothingLeft();
  });

  test('VDI.get_uuid: the VDI is found by its tag', async () => {
    pool.fault({ method: 'VDI.get_uuid', how: 'hang' });
    const { vdi } = await importedToPool(image(), pool.db.addSr('ext'), {}, xapiOptions({ timeout: 3000 }));
    expectDisk(pool.bytesOf(vdi), content);
  });
});

describe('a call whose response is lost', () => {
  test('is looked up: a VDI that was created is used', async () => {
    pool.fault({ method: 'VDI.create', how: 'lost' });
    const { vdi } = await importedToPool(image(), pool.db.addSr('ext'));
    expectDisk(pool.bytesOf(vdi), content);
  });

  test('is looked up: a tag that was removed is gone', async () => {
    pool.fault({ method: 'VDI.remove_tags', how: 'lost' });
    const { vdi } = await importedToPool(image(), pool.db.addSr('ext'));
    expect(pool.db.get('VDI', pool.db.byUuid('VDI', vdi)).tags).toEqual([]);
  });

  test('is tried again: a VDI that was destroyed is gone', async () => {
    pool.fault({ method: 'VDI.destroy', how: 'lost' });
    pool.fault({ method: 'VDI.remove_tags', how: 'fail' });
    expect(await refusedByPool(image(), pool.db.addSr('ext'))).toMatchObject({ code: 'XAPI_FAILED' });
  });

  test('leaves a VDI that two have the tag of, and says so', async () => {
    const sr = pool.db.addSr('ext');
    pool.fault({ method: 'VDI.create', how: 'lost' });
    const calling = pool.called('VDI.create').then(() => {
      for (const [ref, vdi] of pool.db.objects.get('VDI') ?? []) {
        if (Array.isArray(vdi.tags) && vdi.tags.length > 0) return [ref, pool.db.createVdi({ ...vdi, virtual_size: 512 })];
      }
      return [];
    });
    const error = await failure(importImage(image(), { sr, xapi: xapiOptions() }));
    expect(error).toMatchObject({ code: 'XAPI_CONNECTION', left: [expect.stringContaining('perhaps a VDI among')] });
    for (const ref of await calling) pool.db.remove('VDI', ref);
    await expectNothingLeft();
  });
});

describe('a transfer', () => {
  test.each([
    ['that the host ends with an error in the body', { after: 4 * MiB, how: 'error' }, { code: 'XAPI_FAILED', xapi: 'VDI_IO_ERROR' }],
    ['whose connection is reset', { after: 4 * MiB, how: 'reset' }, { code: 'XAPI_FAILED', xapi: 'VDI_IO_ERROR' }],
    ['that the host cannot sync', { syncFails: true }, { code: 'XAPI_FAILED', xapi: 'VDI_IO_ERROR' }],
    ['that the host refuses', { status: 500 }, { code: 'XAPI_FAILED', status: 500 }],
    ['that the host refuses for lack of a right', { status: 403 }, { code: 'XAPI_LOGIN', status: 403 }],
    ['that is redirected to plain HTTP', { status: 302, location: 'http://127.0.0.1/' }, { code: 'XAPI_FAILED' }],
  ] as const)('%s fails', async (_, fault, error) => {
    pool.transfer(fault);
    expect(await refusedByPool(image(), pool.db.addSr('ext'))).toMatchObject(error);
  });

  test('that the host does not read fails, once the time is up', async () => {
    pool.transfer({ after: 2 * MiB, until: pool.called('task.cancel') });
    const path = join(testFolder(), 'large.vhd');
    // More than the buffers of the sockets hold.
    writeFileSync(path, fixedVhd(noise(64 * MiB, 8)));
    const error = await refusedByPool(path, pool.db.addSr('ext'), {}, xapiOptions({ timeout: 3000 }));
    expect(error).toMatchObject({ code: 'XAPI_CONNECTION', message: expect.stringContaining('accepted no byte for 3 s') });
  });

  test('is cancelled midway', async () => {
    const stop = new AbortController();
    const onProgress = ({ done }: { done: number }): void => {
      if (done > 0) stop.abort();
    };
    const error = await refusedByPool(image(), pool.db.addSr('ext'), { signal: stop.signal, onProgress });
    expect(error.code).toBe('CANCELLED');
  });

  test('is cancelled while the host does not read', async () => {
    const stop = new AbortController();
    pool.transfer({ after: 2 * MiB, until: pool.called('task.cancel') });
    const onProgress = ({ done }: { done: number }): void => {
      if (done > 0) stop.abort();
    };
    const path = join(testFolder(), 'large.vhd');
    writeFileSync(path, fixedVhd(noise(64 * MiB, 8)));
    expect((await refusedByPool(path, pool.db.addSr('ext'), { signal: stop.signal, onProgress })).code).toBe('CANCELLED');
  });
});

describe('an import that is cancelled', () => {
  test.each(['SR.get_record', 'VDI.create', 'task.create', 'task.get_record', 'VDI.add_to_other_config'])('during %s', async (method) => {
    const stop = new AbortController();
    void pool.called(method).then(() => stop.abort());
    expect((await refusedByPool(image(), pool.db.addSr('ext'), { signal: stop.signal })).code).toBe('CANCELLED');
  });

  test('before it begins', async () => {
    const before = pool.calls.length;
    expect((await refusedByPool(image(), pool.db.addSr('ext'), { signal: AbortSignal.abort() })).code).toBe('CANCELLED');
    expect(pool.calls.length).toBe(before);
  });
});

describe('the clean-up', () => {
  test('waits until the host has detached the VDI', async () => {
    pool.detachAfter(100);
    pool.transfer({ after: 4 * MiB, how: 'reset' });
    await refusedByPool(image(), pool.db.addSr('ext'));
  });

  test.each(['VDI_IN_USE', 'OTHER_OPERATION_IN_PROGRESS'])('destroys the VDI after several %s', async (code) => {
    pool.transfer({ after: 4 * MiB, how: 'reset' });
    pool.fault({ method: 'VDI.destroy', how: 'fail', code, times: 3 });
    await refusedByPool(image(), pool.db.addSr('ext'));
  });

  test('says what is left if the host does not detach the VDI', async () => {
    pool.detachAfter(undefined);
    pool.transfer({ after: 4 * MiB, how: 'reset' });
    const error = await failure(importImage(image(), { sr: pool.db.addSr('ext'), xapi: xapiOptions({ detachTimeout: 100 }) }));
    expect(error).toMatchObject({ xapi: 'VDI_IO_ERROR', left: [expect.stringMatching(/^VDI .*still plugged into a control domain/)] });
    removeAll();
    await expectNothingLeft();
  });

  test('leaves a VDI that a guest has attached, and says so', async () => {
    pool.detachAfter(undefined);
    void pool.called('VDI.remove_tags').then(() => {
      const [vdi = ''] = [...(pool.db.objects.get('VDI') ?? [])].filter(([, { tags }]) => String(tags) !== '').map(([ref]) => ref);
      pool.db.attach(vdi, pool.db.guest);
    });
    pool.detachAfter(0);
    pool.fault({ method: 'VDI.remove_tags', how: 'fail' });
    const error = await failure(importImage(image(), { sr: pool.db.addSr('ext'), xapi: xapiOptions({ detachTimeout: 100 }) }));
    expect(error.left).toEqual([expect.stringContaining('attached to another VM')]);
    removeAll();
    await expectNothingLeft();
  });

  test('says that a VDI may be left if XAPI does not answer any more', async () => {
    onTestFinished(() => pool.heal());
    pool.fault({ method: 'VDI.create', how: 'lost' });
    pool.fault({ method: 'VDI.get_all_records', how: 'fail', times: 2 });
    const error = await failure(importImage(image(), { sr: pool.db.addSr('ext'), xapi: xapiOptions() }));
    expect(error).toMatchObject({
      code: 'XAPI_CONNECTION',
      left: [expect.stringMatching(/^perhaps a VDI: .* look for a VDI with the tag/)],
    });
    removeAll();
    await expectNothingLeft();
  });
});

/** Unfinished VDIs, with their VBDs. */
function removeAll(): void {
  for (const [vbd] of pool.db.objects.get('VBD') ?? []) pool.db.detach(vbd);
  for (const [vdi, { tags }] of pool.db.objects.get('VDI') ?? []) if (String(tags) !== '') pool.db.remove('VDI', vdi);
}
