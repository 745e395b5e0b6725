import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exportDisk, nbdDisk, type Warning } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { nbdProxy, qemuNbd } from '../support/nbd-server.ts';
import { CONTENT, exportInfo, nbdStandIn, optionReply, SIZE } from '../support/nbd-stand-in.ts';
import { testWith } from '../support/needs.ts';
import { bytesAt } from '../support/readable.ts';
import { withResolvers } from '../support/with-resolvers.ts';

const MIB = 1 << 20;

testWith('qemu-nbd')('an export survives dropped connections: only what was not answered is requested again', async () => {
  const path = join(testFolder(), 'disk.raw');
  const bytes = Buffer.from(noise(24 * MIB, 4));
  writeFileSync(path, bytes);
  const proxy = await nbdProxy(await qemuNbd(path, '-f', 'raw'), [5 * MIB, 7 * MIB + 13, 9 * MIB]);
  const out = join(testFolder(), 'out.raw');
  const { warnings } = await exportDisk(proxy.uri, out, { format: 'raw' });
  expect(warnings.map(({ code }) => code)).toEqual(['NBD_RETRY', 'NBD_RETRY', 'NBD_RETRY']);
  expect(proxy.connections).toBe(4);
  expect(Buffer.compare(readFileSync(out), bytes)).toBe(0);
});

test('several requests that drop together make one new connection', async () => {
  const server = await nbdStandIn({
    reply(_, socket, connection) {
      if (connection > 0) return undefined;
      socket.destroy();
      return null;
    },
  });
  const warnings: Warning[] = [];
  const disk = await nbdDisk(server.uri).open({ onWarning: (warning) => warnings.push(warning) });
  const parts = await Promise.all(Array.from({ length: 8 }, (_, index) => bytesAt(disk, (index * SIZE) / 8, SIZE / 8)));
  expect(Buffer.compare(Buffer.concat(parts), CONTENT)).toBe(0);
  expect(server.connections).toBe(2);
  expect(warnings).toMatchObject([{ code: 'NBD_RETRY' }]);
  await disk.close();
});

test('a server that drops every connection is given up', async () => {
  const server = await nbdStandIn({
    reply(_, socket) {
      socket.destroy();
      return null;
    },
  });
  const disk = await nbdDisk(server.uri, { retries: 2 }).open({});
  expect(await failure(bytesAt(disk, 0, SIZE))).toMatchObject({ code: 'NBD_DROPPED', retryable: true });
  expect(server.connections).toBe(3);
  await disk.close();
});

test('an export that has another size after the drop is EXPORT_CHANGED', async () => {
  let size = SIZE;
  const server = await nbdStandIn({
    option: (option) => {
      if (option !== 7) return undefined;
      const answer = size === SIZE ? undefined : Buffer.concat([exportInfo(7, size), optionReply(7, 1)]);
      size = SIZE / 2;
      return answer;
    },
    reply(_, socket) {
      socket.destroy();
      return null;
    },
  });
  const disk = await nbdDisk(server.uri).open({});
  expect(await failure(bytesAt(disk, 0, SIZE))).toMatchObject({ code: 'EXPORT_CHANGED' });
  await disk.close();
});

test('the pause before a new connection ends when the disk is closed', async () => {
  const server = await nbdStandIn({
    reply(_, socket) {
      socket.destroy();
      return null;
    },
  });
  const { promise: warned, resolve } = withResolvers();
  const disk = await nbdDisk(server.uri).open({ onWarning: () => resolve() });
  const read = failure(bytesAt(disk, 0, SIZE));
  await warned;
  await disk.close();
  expect(await read).toMatchObject({ code: 'CANCELLED' });
  expect(server.connections).toBe(1);
});
