import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { failure } from '../support/failure.ts';
import { glanceV1, hex, ID, imageAt, said, vhd, written } from '../support/glance-stand-in.ts';
import { httpServer } from '../support/http-server.ts';

describe('version 1', () => {
  const v1 = { version: 1 } as const;

  test('serves an image, with its length and MD5 from the headers', async () => {
    const server = await glanceV1();
    await written([server], v1);
    expect(said(server)).toEqual([`HEAD /v1/images/${ID}`, `GET /v1/images/${ID}`]);
    const facts = { length: vhd.length, digest: { algorithm: 'md5', hex: hex('md5') } };
    const identity = ['glance', ID, String(vhd.length), 'md5', hex('md5')];
    expect(await imageAt([server], v1).describe?.({})).toEqual({ ...facts, identity });
  });

  test.each([{ checksum: '' }, { size: '' }, { size: 0 }])('may omit fields: %j', async (changed) => {
    await written([await glanceV1(changed)], v1);
  });

  test('has its bytes compared with the MD5', async () => {
    const other = createHash('md5').update('another image').digest('hex');
    expect((await failure(written([await glanceV1({ checksum: other })], v1))).code).toBe('SOURCE_CHECKSUM');
  });

  test.each(['queued', 'saving', 'killed', 'deleted', 'pending_delete'])('has no bytes for an image that is %s', async (status) => {
    const server = await glanceV1({ status });
    const error = await failure(written([server], v1));
    expect(error).toMatchObject({ code: 'GLANCE_STATUS', message: expect.stringContaining(status) });
    expect(said(server)).toEqual([`HEAD /v1/images/${ID}`]);
  });

  test.each([{ size: '-1' }, { size: '1e3' }, { size: '9007199254740993' }, { checksum: 'no digest' }, { status: '' }, { id: 'another' }])(
    'is not believed when it says %j',
    async (changed) => {
      expect((await failure(written([await glanceV1(changed)], v1))).code).toBe('GLANCE_ANSWER');
    },
  );

  test('cannot resume after a dropped connection', async () => {
    const server = await glanceV1({}, ({ method }, number) => (method === 'GET' && number === 1 ? { cut: 1000 } : {}));
    expect(await failure(written([server], { ...v1, retries: 1 }))).toMatchObject({ code: 'HTTP_RANGE', offset: 1000 });
  });

  test('reports a server that is not Glance', async () => {
    const server = await httpServer({ image: vhd });
    expect((await failure(written([server], v1))).code).toBe('GLANCE_ANSWER');
  });
});
