import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { verifyDisk, writeDisk } from '../../src/index.ts';
import { chainTar, permutations, sampleChain } from '../support/chains.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer } from '../support/http-server.ts';

/** Its leaf has another size than its parents. */
const { vhds, content } = sampleChain();

test.each(permutations(3).map((order) => [order]))(
  'a chain in the order %j is written completely from a server, fetched twice if needed',
  async (order) => {
    const image = gzipSync(chainTar(vhds, order));
    const server = await httpServer({ image });
    const target = join(testFolder(), 'disk.raw');
    const result = await writeDisk([server.url()], target, { verify: true, strict: true });
    expect(readFileSync(target).equals(content)).toBe(true);
    const leafComesFirst = order[0] === 0;
    expect(result.warnings.map(({ code }) => code)).toEqual(leafComesFirst ? [] : ['FETCHED_TWICE']);
    expect(server.requests.length).toBe(leafComesFirst ? 1 : 2);
    await expect(verifyDisk(server.url(), target)).resolves.toMatchObject({ verified: true });
  },
);

test('with the virtual size or a staging folder the chain is fetched only once', async () => {
  const server = await httpServer({ image: chainTar(vhds, [2, 1, 0]) });
  const folder = testFolder();
  await writeDisk(server.url(), join(folder, 'one.raw'), { virtualSize: content.length });
  await writeDisk(server.url(), join(folder, 'two.raw'), { staging: join(folder, 'staging') });
  expect(server.requests.length).toBe(2);
});

test('a chain from a pipe, which cannot be opened again, is refused', async () => {
  async function* pipe(): AsyncGenerator<Uint8Array> {
    yield chainTar(vhds, [2, 1, 0]);
  }
  expect(await failure(writeDisk(pipe(), join(testFolder(), 'disk.raw')))).toMatchObject({ code: 'CHAIN_ORDER' });
});
