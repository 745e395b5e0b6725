/** The version of this package. */

import { createRequire } from 'node:module';

// By the package's own name, which Node resolves from anywhere inside the package: the bundle is in another folder.
const manifest: unknown = createRequire(import.meta.url)('vdistream/package.json');

export const VERSION: string =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown';
