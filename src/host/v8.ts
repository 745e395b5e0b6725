/** V8: when it optimises code, and how much memory it uses for young objects. */

import { setFlagsFromString } from 'node:v8';

/**
 * V8 compiles code again, optimised, once it has run for a while, on threads of its own. A run of a program ends before that pays: native
 * code and the kernel do the copying, and those threads take the cores from them. In Node 20, eight times the usual budget still optimises
 * the loops over a million table entries (bench: 0.2 to 0.4 s of CPU less). Node 22 and 24 have no such flag, would print two lines about it
 * to stderr, and need none: the flags that replaced it save nothing there (bench).
 */
export function optimizeLater(): void {
  if (isOfNode20) setFlagsFromString('--interrupt-budget=1000000');
}

/**
 * Once a run has made many objects, as for an archive of many members, V8 gives young ones 32 MiB: a quarter of what a run may use. In Node 20,
 * that space keeps its first size if it grows by a factor of 1: 25 MiB less for 20,000 members, and no more CPU for a plain image.
 */
export function keepYoungSpaceSmall(): void {
  if (isOfNode20) setFlagsFromString('--semi-space-growth-factor=1');
}

const isOfNode20 = process.versions.v8.startsWith('11.');
