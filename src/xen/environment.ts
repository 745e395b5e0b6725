/** Environment variables for tests, for containers, and for hosts that keep `xe` or the inventory elsewhere. */

import type { XeOptions } from './xe.ts';

export function xeFromEnvironment(): Pick<XeOptions, 'program' | 'inventory' | 'locks' | 'records'> {
  const { VDISTREAM_XE: program, VDISTREAM_INVENTORY: inventory, VDISTREAM_LOCKS: locks, VDISTREAM_RECORDS: records } = process.env;
  return { program, inventory, locks, records };
}
