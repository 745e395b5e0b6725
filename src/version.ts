/** The version of this package. */

import { createRequire } from 'node:module';

// By its own name, which Node resolves from wherever this code lies inside of the package: in a bundle it is elsewhere.
const manifest: unknown = createRequire(import.meta.url)('vdistream/package.json');

export const VERSION: string =
  typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown';
