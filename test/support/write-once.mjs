/**
 * One write in a process of its own, so that its memory and its time are its own: prints the result or the error, and the
 * peak of its resident memory in KiB. Arguments: source (several as a JSON list), target,
 * options as JSON.
 */
import { readFileSync } from 'node:fs';
import { VdiStreamError, writeDisk } from '../../dist/index.js';

const [source = '', target = '', options = '{}'] = process.argv.slice(2);
let outcome;
try {
  const input = source.startsWith('[') ? JSON.parse(source) : source;
  const { virtualSize, bytesWritten } = await writeDisk(input, target, JSON.parse(options));
  outcome = { ok: true, virtualSize, bytesWritten };
} catch (error) {
  outcome =
    error instanceof VdiStreamError
      ? { ok: false, typed: true, ...error.toJSON() }
      : { ok: false, typed: false, message: error instanceof Error ? error.stack : String(error) };
}
// Not getrusage, whose peak begins with that of the process that this one was forked from.
const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
process.stdout.write(JSON.stringify({ ...outcome, peakKiB: Number(peak) }));
