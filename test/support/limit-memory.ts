/** Node with a limit on its memory, SPARE_MIB above what it has when a program starts. */

import { fileURLToPath } from 'node:url';

/** Options of node. V8's other threads need memory at any time, and without it V8 ends the process. */
export const MEMORY_FLAGS = [
  '--single-threaded',
  '--no-opt',
  '--no-sparkplug',
  '--import',
  fileURLToPath(new URL('limit-memory.mjs', import.meta.url)),
];

/** Whether V8 itself has ended a process, whose standard error this is. */
export const ofV8 = (stderr: string): boolean => /^(?:FATAL ERROR: |# Fatal )/m.test(stderr);
