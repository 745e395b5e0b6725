/**
 * The plugin with workers that only say what they were asked, on stderr, and then do what the id of the image says. The tests bundle
 * this file into a program, so all but the workers is the real thing.
 */

import { VdiStreamError } from '../../src/errors.ts';
import { serve } from '../../src/plugin/serve.ts';
import type { ImportJob, Workers } from '../../src/plugin/work.ts';
import type { Opener } from '../../src/source/source.ts';

export const VDI = '0f1e2d3c-aaaa-4bbb-8ccc-123456789abc';

const SR = '7b3a6d1c-2f58-4e0c-9a57-1f0f2b9d4c11';

const say = (what: string, details: object = {}): void => void process.stderr.write(`${what} ${JSON.stringify(details)}\n`);

const image = (name: string): Opener => ({
  name,
  open: () => Promise.reject(new Error('nobody opens this')),
});

function aborted(signal: AbortSignal): Promise<void> {
  const alive = setInterval(() => {}, 60_000);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve();
    });
    say('working');
  });
}

async function cancelled(signal: AbortSignal): Promise<never> {
  await aborted(signal);
  await new Promise((resolve) => setImmediate(resolve));
  say('cleaned up');
  throw new VdiStreamError('CANCELLED', 'cancelled', { cause: signal.reason });
}

const WORK: Readonly<Record<string, (job: ImportJob) => Promise<unknown>>> = {
  good: async () => {},
  odd: async ({ onWarning }) => onWarning({ code: 'VHD_TIMESTAMP', message: 'the footer is of 2038', member: '0.vhd' }),
  'very odd': async ({ onWarning }) => {
    for (let time = 0; time < 25; time++) onWarning({ code: 'VHD_TIMESTAMP', message: 'the footer is of 2038', member: '0.vhd' });
  },
  long: async () => {
    throw new VdiStreamError('XE_FAILED', `xe says ${'x'.repeat(2000)}`);
  },
  gone: async () => {
    const error = new VdiStreamError('HTTP_NOT_FOUND', 'http://10.0.0.1:9292/v2/images/gone: HTTP status 404', { status: 404 });
    error.left.push('a VBD.');
    throw error;
  },
  busy: async () => {
    throw new VdiStreamError('HTTP_SERVER', 'http://10.0.0.1:9292/v2/images/busy/file: HTTP status 503', {
      status: 503,
    });
  },
  broken: async () => {
    const error = new VdiStreamError('VHD_BLOCK_METADATA', 'block 2 lies at byte 0 & <there>', { member: '0.vhd', offset: 1544 });
    error.left.push('VDI 4711, which is still plugged.');
    throw error;
  },
  full: async () => {
    throw new VdiStreamError('SR_FULL', 'no room', { cause: new VdiStreamError('XE_FAILED', 'xe has failed') });
  },
  unprintable: async () => {
    throw new VdiStreamError('XE_FAILED', 'xe says \x1b[1m & \ufffe\ud800');
  },
  slow: ({ signal }) => cancelled(signal),
  'slow and stuck': async ({ signal }) => {
    await aborted(signal);
    const error = new VdiStreamError('VBD_DETACH', 'the device is still open');
    error.left.push('VBD 4711.');
    throw error;
  },
  'slow and defect': async ({ signal }) => {
    await aborted(signal);
    throw new TypeError('the clean-up has a mistake');
  },
  'slow and done': ({ signal }) => aborted(signal),
  deaf: async ({ signal }) => {
    await aborted(signal);
    setInterval(() => {}, 60_000);
    say('stopping');
    await new Promise(() => {});
  },
  chatty: async () => {
    console.log('on stdout by console.log');
    process.stdout.write('on stdout by write\n');
    process.emitWarning('a warning of Node', 'DeprecationWarning');
    Promise.reject(new Error('nobody waits for this'));
    await new Promise((resolve) => setImmediate(resolve));
  },
  defect: async () => {
    throw new TypeError('cannot send the header "gAAAAABk-secret_token==", nor X-Auth-Token:gAAAAABk-secret_token==.');
  },
  stray: async ({ signal }) => {
    setImmediate(() => {
      throw new RangeError('nobody catches this');
    });
    await cancelled(signal);
  },
  never: () => new Promise(() => {}),
  exit: async () => process.exit(7),
  crowded: async () => {
    const alive = setInterval(() => {}, 60_000);
    alive.ref();
  },
};

const workers: Workers = {
  glanceImage: (id, where) => {
    say('glance', { id, ...where });
    return image(id);
  },
  withLocalCopy: ({ name }, { cache, staging }) => {
    if (cache !== undefined) say('cached', cache);
    else if (staging !== undefined) say('staged', { folder: staging });
    return image(name);
  },
  async importImage({ name }, job) {
    const { signal: _, onWarning: __, ...details } = job;
    say('import', details);
    await WORK[name]?.(job);
    return { vdi: VDI, bytesRead: 4711 };
  },
  async exportedVdi(leaf, others) {
    say('check', { leaf, others });
    return { sr: SR, size: leaf.endsWith('2041') ? 2041 * 2 ** 30 : 2 ** 30 };
  },
  async uploadVdi(vdi, name, job) {
    const { signal: _, onWarning: __, ...details } = job;
    say('upload', { vdi, image: name, ...details });
    await WORK[name]?.({ ...job, sr: SR, name, staging: undefined });
    return { bytesWritten: 4711 };
  },
  version: () => '1.2.3',
};

serve(process.argv.slice(2), async () => workers);
