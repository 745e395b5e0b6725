/** The version of this package, and the Node that it needs. */

import { createRequire } from 'node:module';

// By the package's own name, which Node resolves from anywhere inside the package: the bundle is in another folder.
const manifest: unknown = createRequire(import.meta.url)('vdistream/package.json');

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;

export const VERSION = String(fieldOf(manifest, 'version') ?? 'unknown');

/** The oldest Node that it supports, such as 20.19. */
export const OLDEST_NODE = String(fieldOf(fieldOf(manifest, 'engines'), 'node') ?? '').replace('>=', '');

/** Whether this process runs on one that is supported. */
export function isNodeSupported(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE.split('.').map(Number);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}
