/**
 * Workers that end while I/O is in flight: node --expose-gc ending-worker.mjs ADDON FILE SECONDS. Half of them are terminated, half call
 * process.exit(). Prints how many have ended.
 */
// @ts-nocheck: the addon has no types here

import { createRequire } from 'node:module';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const [addon, file, seconds] = process.argv.slice(2);
  const end = process.hrtime.bigint() + BigInt(seconds) * 1_000_000_000n;
  let ended = 0;
  const round = async (number) => {
    const exits = number % 2 === 0;
    const worker = new Worker(new URL(import.meta.url), { workerData: { addon, file, exits } });
    const gone = new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    await new Promise((resolve) => worker.once('message', resolve).once('exit', resolve));
    await new Promise((resolve) => setTimeout(resolve, number % 7));
    if (!exits) await worker.terminate();
    await gone;
    ended++;
  };
  const lane = async (first) => {
    for (let number = first; process.hrtime.bigint() < end; number += 2) await round(number);
  };
  await Promise.all([lane(0), lane(1), lane(3)]);
  console.log(JSON.stringify({ ended }));
} else {
  const { parentPort } = await import('node:worker_threads');
  const addon = createRequire(import.meta.url)(workerData.addon);
  const { fd } = await addon.open(workerData.file, { write: true, direct: false });
  const plain = Buffer.alloc(60_000, 'y');
  const raw = createRequire(import.meta.url)('node:zlib').deflateRawSync(plain);
  const member = Buffer.concat([raw, Buffer.alloc(8)]);
  const range = new Uint8Array(Uint32Array.of(0, raw.length).buffer);
  const codec = addon.loadIsal('libisal.so.2') === undefined ? 1 : 0;
  const compute = async (index, bytes) => {
    if (index === 2) await new addon.Inflater(codec).run(raw, bytes);
    else if (index === 10) await new addon.Hasher('sha512').update(bytes);
    else if (index === 6) await addon.deflate(codec, 1, plain, bytes);
    else await addon.inflateMembers(codec, member, bytes, range);
  };
  const work = async (index) => {
    for (let turn = 0; ; turn++) {
      const bytes = new Uint8Array(addon.allocate(1 << 16));
      if (index % 4 === 0) await addon.read(fd, bytes, 0, new BigUint64Array(4));
      else if (index % 4 === 1)
        await addon
          .write(fd, bytes, 65536 * index)
          .then(() => addon.sync(999_999))
          .catch(() => {});
      else if (index % 4 === 2) await compute(index, bytes);
      else {
        addon.firstNonZero(bytes);
        try {
          addon.read(fd, 'junk');
        } catch {}
        await addon.zero(fd, 0, 65536, 0);
      }
      if (turn % 16 === index) globalThis.gc();
    }
  };
  for (let index = 0; index < 12; index++) work(index).catch(() => {});
  setTimeout(() => parentPort.postMessage('busy'), 5);
  if (workerData.exits) setTimeout(() => process.exit(0), 5 + (process.hrtime()[1] % 20));
}
