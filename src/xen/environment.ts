/** Environment variables for tests, and for hosts that keep `xe` or the inventory elsewhere. */

import type { XeOptions } from './xe.ts';

export function xeFromEnvironment(): Pick<XeOptions, 'program' | 'inventory'> {
  const { VDISTREAM_XE: program, VDISTREAM_INVENTORY: inventory } = process.env;
  return { program, inventory };
}
