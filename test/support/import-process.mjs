/**
 * One import in a process of its own, by the library as it is built. The argument is JSON: what importImage() takes. SIGTERM cancels it.
 * It prints the outcome as JSON on standard output.
 */

/** @type {typeof import('../../src/index.ts')} */
const { importImage, VdiStreamError } = await import(new URL('../../dist/index.js', import.meta.url).href);

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());

const { input, options } = JSON.parse(process.argv[2] ?? '{}');
try {
  const { vdi } = await importImage(input, { ...options, signal: stop.signal });
  process.stdout.write(JSON.stringify({ vdi }));
} catch (error) {
  if (!(error instanceof VdiStreamError)) throw error;
  process.stdout.write(JSON.stringify({ error: { left: [], ...error.toJSON() } }));
}
