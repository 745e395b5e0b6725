/** Image services that stand in for Glance: version 1, which Glance no longer has, and version 2 with answers that Glance would never send. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect } from 'vitest';
import { type GlanceOptions, glanceImage } from '../../src/glance/image.ts';
import { type Warning, writeDisk } from '../../src/index.ts';
import type { Opener } from '../../src/source/source.ts';
import { testFolder } from './folder.ts';
import { httpServer, type Reply, type Seen, type TestServer } from './http-server.ts';
import { sample } from './packages.ts';

export const ID = '5c1c3d7e-8d0f-4b1c-a2a4-3d3f0e1f5c55';
export const TOKEN = 'gAAAAABsecret';
export const { vhd, content } = sample(1);
export const hex = (algorithm: string): string => createHash(algorithm).update(vhd).digest('hex');

export type Fields = Readonly<Record<string, unknown>>;

/** What an honest service of version 2 says, and version 1 in its headers. */
export const honest: Fields = { id: ID, status: 'active', size: vhd.length, checksum: hex('md5') };
export const strong: Fields = { ...honest, os_hash_algo: 'sha512', os_hash_value: hex('sha512') };

/** Version 1 as it was: no ranges, the checksum as a bare ETag, no bytes unless the image is active, empty headers for null. */
export function glanceV1(changed: Fields = {}, more: (request: Seen, number: number) => Reply = () => ({})): Promise<TestServer> {
  const fields = { ...honest, ...changed };
  return httpServer({
    reply(request, number) {
      if (request.path !== `/v1/images/${ID}` || !['HEAD', 'GET'].includes(request.method)) return { status: 404 };
      if (request.headers['x-auth-token'] !== TOKEN) return { status: 401 };
      if (request.method === 'GET' && fields.status !== 'active') return { status: 404 };
      const meta = Object.entries(fields).map(([name, value]) => [`x-image-meta-${name}`, String(value)]);
      const headers = { ...Object.fromEntries(meta), etag: String(fields.checksum) };
      return { image: request.method === 'GET' ? vhd : Buffer.alloc(0), headers, noRange: true, ...more(request, number) };
    },
  });
}

/** Version 2 that answers requests for metadata with any given body. */
export function glanceV2(answer: Fields | string, more: (request: Seen, number: number) => Reply = () => ({})): Promise<TestServer> {
  const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
  return httpServer({
    reply(request, number) {
      if (request.headers['x-auth-token'] !== TOKEN) return { status: 401 };
      const image = { [`/v2/images/${ID}`]: Buffer.from(text), [`/v2/images/${ID}/file`]: vhd }[request.path];
      return image === undefined || request.method !== 'GET' ? { status: 404 } : { image, ...more(request, number) };
    },
  });
}

export const said = ({ requests }: TestServer): string[] => requests.map(({ method, path }) => `${method} ${path}`);

export function imageAt(servers: readonly TestServer[], options: Partial<GlanceOptions> = {}): Opener {
  return glanceImage(ID, { endpoints: servers.map(({ url }) => url('')), headers: { 'X-Auth-Token': TOKEN }, retries: 0, ...options });
}

/** Writes it to a file, which is gone again if that fails. Returns the warnings. */
export async function written(...[servers, options]: Parameters<typeof imageAt>): Promise<readonly Warning[]> {
  const target = join(testFolder(), 'disk');
  let warnings: readonly Warning[];
  try {
    ({ warnings } = await writeDisk(imageAt(servers, options), target));
  } catch (error) {
    expect(existsSync(target)).toBe(false);
    expect(inspect(error, { depth: 10 })).not.toContain(TOKEN);
    throw error;
  }
  expect(readFileSync(target).equals(content)).toBe(true);
  return warnings;
}
