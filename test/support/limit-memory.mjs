/**
 * Limits the address space of its own process to what it has, plus SPARE_MIB: node --import limit-memory.mjs PROGRAM. Limited from its
 * start, V8 would give up before the program runs.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const [, kib] = /^VmSize:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
const limit = Number(kib) * 1024 + Number(process.env.SPARE_MIB) * 2 ** 20;
execFileSync('prlimit', ['--pid', String(process.pid), `--as=${limit}`]);
