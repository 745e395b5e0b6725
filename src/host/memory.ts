/** Memory that is aligned for O_DIRECT. */

import { hostError } from './errno.ts';
import { native } from './native.ts';

/** `length` zeros. Throws MEMORY. */
export function allocate(length: number): ArrayBuffer {
  try {
    return native().allocate(length);
  } catch (cause) {
    throw hostError(cause) ?? cause;
  }
}
