/** V8: when it optimises code. */

import { setFlagsFromString } from 'node:v8';

/**
 * V8 compiles code again, optimised, once it has run for a while, on threads of its own. A run of a program ends before that pays: native
 * code and the kernel do the copying, and those threads take the cores from them. In Node 20, eight times the usual budget still optimises
 * the loops over a million table entries (bench: 0.2 to 0.4 s of CPU less). Node 22 and 24 have no such flag, would print two lines about it
 * to stderr, and need none: the flags that replaced it save nothing there (bench).
 */
export function optimizeLater(): void {
  if (process.versions.v8.startsWith('11.')) setFlagsFromString('--interrupt-budget=1000000');
}
