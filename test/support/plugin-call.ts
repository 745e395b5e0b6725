/** The plugin as a process for the tests of a file, with workers that do what the id of the image says (plugin-fakes.ts), and calls of it. */

import { afterAll, beforeAll, expect } from 'vitest';
import { type Answer, type Plugin, type Request, startPlugin } from './plugin.ts';

export const SR = '7b3a6d1c-2f58-4e0c-9a57-1f0f2b9d4c11';
export const TOKEN = 'gAAAAABk-secret_token==';

export let plugin: Plugin;

beforeAll(async () => {
  plugin = await startPlugin('test/support/plugin-fakes.ts');
});

afterAll(() => plugin?.end());

export const call = (request: Request): Promise<Answer> => plugin.call(request);
export const success = (request: Request): Promise<Answer> => plugin.success(request);

/** Code, function, class and message: never the token. */
export async function failure(request: Request): Promise<readonly string[]> {
  const description = await plugin.failure(request);
  expect(description.join()).not.toContain(TOKEN);
  return description;
}

/** What a worker was asked. */
export function workerArguments({ stderr }: Answer, worker: string): unknown {
  const line = stderr.split('\n').find((one) => one.startsWith(`${worker} `));
  return line === undefined ? undefined : JSON.parse(line.slice(worker.length + 1));
}

/** As Nova sends them to download_vhd2. */
export const nova = (image: string, more: object = {}): { readonly fn: string; readonly kwargs: Record<string, unknown> } => ({
  fn: 'download_vhd2',
  kwargs: {
    image_id: image,
    endpoint: 'http://10.0.0.1:9292',
    uuid_stack: Array.from({ length: 16 }, (_, n) => `00000000-0000-4000-8000-0000000000${n + 10}`),
    sr_path: `/var/run/sr-mount/${SR}`,
    extra_headers: {
      'X-Auth-Token': TOKEN,
      'X-User-Id': null,
      'X-Tenant-Id': null,
      'X-Roles': 'admin,member',
      'X-Identity-Status': 'Confirmed',
    },
    api_version: 2,
    ...more,
  },
});
