/** Image services that receive an upload, and answer each step by script. */

import { createHash } from 'node:crypto';
import { type Script, type Upload, type UploadServer, uploadServer } from './upload-server.ts';

export const ID = '5c1c3d7e-8d0f-4b1c-a2a4-3d3f0e1f5c55';
export const TOKEN = 'gAAAAABsecret';

export type StepName = 'get' | 'patch' | 'put' | 'after' | 'post' | 'delete';

/** Instead of what an honest service says: a status, a script, or the changed fields of a record. `number` counts the step from 0. */
export type Answers = Readonly<Partial<Record<StepName, (number: number, upload: Upload) => Script | undefined>>>;

export interface Fields {
  readonly [name: string]: unknown;
}

export interface GlanceUploadServer extends UploadServer {
  /** `GET`, `PATCH`, `PUT` and so on, in their order. */
  steps(): string[];
  /** The body of the PUT with this number. */
  sent(number?: number): Buffer;
}

const hex = (algorithm: string, bytes: Uint8Array): string => createHash(algorithm).update(bytes).digest('hex');

/** The record of what was sent. */
export const honest = (bytes: Uint8Array): Fields => ({
  id: ID,
  status: 'active',
  size: bytes.length,
  checksum: hex('md5', bytes),
  os_hash_algo: 'sha512',
  os_hash_value: hex('sha512', bytes),
});

export const json = (fields: Fields): Script => ({ status: 200, body: JSON.stringify(fields) });
export const status = (value: string): Script => json({ id: ID, status: value, os_hash_algo: null, os_hash_value: null });

/** Version 2. A GET after a PUT that was complete is the step `after`. */
export async function glanceForUploads(answers: Answers = {}): Promise<GlanceUploadServer> {
  const counts = new Map<StepName, number>();
  const puts = (): Upload[] => server.uploads.filter(({ method }) => method === 'PUT');
  const bytes = (number = 0): Buffer => Buffer.concat(puts()[number]?.chunks ?? []);

  function stepOf({ method, path }: Upload): StepName | undefined {
    if (path === '/v2/images' && method === 'POST') return 'post';
    if (path === `/v2/images/${ID}/file` && method === 'PUT') return 'put';
    if (!/^\/v2\/images\/[^/]+$/.test(path)) return undefined;
    if (method === 'GET') return puts().some(({ complete }) => complete) ? 'after' : 'get';
    return method === 'PATCH' ? 'patch' : method === 'DELETE' ? 'delete' : undefined;
  }

  const usual: Readonly<Record<StepName, () => Script>> = {
    get: () => status('queued'),
    patch: () => ({ status: 200 }),
    put: () => ({ status: 204 }),
    after: () => json(honest(bytes(puts().length - 1))),
    post: () => ({ status: 201 }),
    delete: () => ({ status: 204 }),
  };

  const server = await uploadServer({
    script(upload) {
      if (upload.headers['x-auth-token'] !== TOKEN) return { status: 401 };
      const step = stepOf(upload);
      if (step === undefined) return { status: 404 };
      const number = counts.get(step) ?? 0;
      counts.set(step, number + 1);
      return answers[step]?.(number, upload) ?? usual[step]();
    },
  });
  return { ...server, steps: () => server.uploads.map(({ method }) => method), sent: bytes };
}
