/** The installed plugin with a real limit on its memory: one document for each call, and RetryableError where memory was refused. */

import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { glanceV2, honest, ID, TOKEN } from '../support/glance-stand-in.ts';
import { MEMORY_FLAGS, ofV8 } from '../support/limit-memory.ts';
import { testWith } from '../support/needs.ts';
import { type Plugin, startPlugin } from '../support/plugin.ts';

const test = testWith('root', 'loop', 'g++');
/** MiB; the last one is enough: V8 reserves more than 10 GiB of address space for each WebAssembly, in which undici parses HTTP. */
const SPARE =
  process.env.VDISTREAM_LONG === '1' ? [8, 12, 16, 24, 32, 48, 64, 128, 512, 4096, 8192, 10_240, 10_304, 65_536] : [40, 512, 65_536];

let plugin: Plugin;
let host: Host;
beforeAll(async () => {
  plugin = await startPlugin('src/plugin/main.ts', MEMORY_FLAGS);
  host = await startHost();
});
afterAll(async () => {
  await plugin?.end();
  await host?.stop();
});

test('without memory an import is a RetryableError, and nothing is left behind', { timeout: 900_000 }, async () => {
  const sr = await host.sr('ext');
  const server = await glanceV2(honest);
  const found: Record<string, string> = {};
  const vdis: string[] = [];
  for (const spare of SPARE) {
    const { status, stderr, reply, value, unreadable } = await plugin.ask({
      fn: 'download_vhd2',
      kwargs: {
        image_id: ID,
        endpoint: server.url(''),
        uuid_stack: [],
        sr_path: `/run/sr-mount/${sr}`,
        extra_headers: { 'X-Auth-Token': TOKEN },
        api_version: 2,
      },
      env: {
        SPARE_MIB: String(spare),
        VDISTREAM_XE: host.xe,
        VDISTREAM_INVENTORY: host.inventory,
        VDISTREAM_LOCKS: join(host.folder, 'locks'),
        VDISTREAM_RECORDS: join(host.folder, 'records'),
      },
    });
    if (ofV8(stderr)) {
      found[spare] = 'V8';
      continue;
    }
    expect({ spare, status, unreadable, stderr }).toMatchObject({ status: 0, unreadable: undefined });
    const [, , kind = '', message = ''] = reply?.ErrorDescription ?? [];
    found[spare] = reply?.Status === 'Success' ? 'success' : `${kind}: ${message}`;
    if (reply?.Status === 'Success') vdis.push(String(Reflect.get(Object(Reflect.get(Object(value), 'root')), 'uuid')));
    assertClean(host, { vdis });
  }
  const outcomes = Object.values(found);
  expect(outcomes.filter((each) => !/^(?:V8|success|RetryableError: .*\((?:MEMORY|THREADS)\))/.test(each))).toEqual([]);
  expect(
    outcomes.some((each) => each.startsWith('RetryableError')),
    JSON.stringify(found),
  ).toBe(true);
  expect(outcomes.at(-1)).toBe('success');
});
