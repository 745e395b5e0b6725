/**
 * A process of its own that does one thing with what several processes share, bundled by staging-process.ts. The argument is JSON. On
 * standard output it says, a line each, `owner TEXT`, `read BYTES` while it reads, `done JSON` at the end.
 */
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { VdiStreamError } from '../../src/errors.ts';
import { withLock } from '../../src/host/lock.ts';
import { isAlive, ownerText, parseOwner, thisOwner } from '../../src/host/owner.ts';
import { cachedImage } from '../../src/source/cache.ts';
import { stagedImage } from '../../src/source/staged-image.ts';
import { streamSource } from '../../src/source/stream.ts';

const task = JSON.parse(process.argv[2] ?? '{}');

/** @param {string} line */
const say = (line) => void process.stdout.write(`${line}\n`);

/** @returns {import('../../src/source/source.ts').Opener} */
const httpOpener = () => ({
  name: task.url,
  async open(options) {
    const { body } = await fetch(task.url);
    if (body === null) throw new Error('an answer without a body');
    return streamSource(task.url, body, options, { length: task.length, digest: task.digest, close: async () => {} });
  },
  describe: async () => ({ digest: task.digest, length: task.length }),
});

/** @param {import('../../src/source/source.ts').Opener} opener */
async function read(opener) {
  const source = await opener.open({ onRead: (position) => say(`read ${position}`) });
  try {
    const hash = createHash('sha256');
    for await (const chunk of source.cursor.chunks()) hash.update(chunk);
    return hash.digest('hex');
  } finally {
    await source.close();
  }
}

/** @type {Record<string, () => Promise<unknown>>} */
const tasks = {
  staged: () => read(stagedImage(httpOpener(), task.folder)),
  cached: () => read(cachedImage(httpOpener(), { folder: task.folder, size: task.size })),
  async lock() {
    for (let count = 0; count < task.times; count++) {
      await withLock(task.path, async () => {
        appendFileSync(task.log, `+${process.pid} `);
        await new Promise((resolve) => setImmediate(resolve));
        appendFileSync(task.log, `-${process.pid} `);
      });
    }
  },
  async hold() {
    await withLock(task.path, async () => {
      say('holding');
      await new Promise((resolve) => process.stdin.once('data', resolve));
      process.stdin.destroy();
    });
  },
  async alive() {
    const owner = parseOwner(task.owner);
    return owner !== undefined && isAlive(owner);
  },
};

say(`owner ${ownerText(thisOwner())}`);
try {
  say(`done ${JSON.stringify({ result: await tasks[task.does]?.() })}`);
} catch (error) {
  say(`done ${JSON.stringify({ error: error instanceof VdiStreamError ? error.toJSON() : String(error) })}`);
}
