/**
 * Calls every export of the addon with junk: node native-junk.mjs ADDON FOLDER SEED CALLS. Prints how the calls ended as JSON. Its only
 * descriptors are of files in FOLDER, and numbers that are no descriptor.
 */
// @ts-nocheck: what no type allows is what is tested

import { openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [addonPath = '', folder = '', seed = '1', calls = '1000'] = process.argv.slice(2);
const addon = createRequire(import.meta.url)(addonPath);

let state = Number(seed) | 1;
/** xorshift32. @param {number} below */
const random = (below) => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
};
/** @template T @param {readonly T[]} choices */
const pick = (choices) => choices[random(choices.length)];

const open = () => openSync(join(folder, `file-${random(8)}`), 'w+');
const files = Array.from({ length: 4 }, open);

function detached() {
  const bytes = new Uint8Array(4096);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

const thrower = new Proxy(
  {},
  {
    get: () => {
      throw new RangeError('a getter');
    },
  },
);
const numbers = [0, 1, -1, 3, 511, 512, 513, 4096, 1 << 20, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 1.5, -0, Number.NaN, Infinity];
const arrays = [
  () => new Uint8Array(random(10_000)),
  () => new Uint8Array(512 * random(64)),
  () => new Uint8Array(0),
  () => Buffer.alloc(random(5000)),
  () => new Uint8Array(addon.allocate(4096 * (1 + random(16)))),
  () => new Uint8Array(new ArrayBuffer(4096)).subarray(random(4096)),
  () => new Uint8Array(new ArrayBuffer(4096, { maxByteLength: 8192 })),
  () => new Uint8Array(new SharedArrayBuffer(4096)),
  detached,
  () => new BigUint64Array(random(64)),
  () => new BigUint64Array(1),
  () => new Uint16Array(64),
  () => new Uint8ClampedArray(64),
  () => new DataView(new ArrayBuffer(64)),
  () => new ArrayBuffer(64),
];
const others = [undefined, null, true, 'text', '', 'a\0b', 3n, Symbol('s'), {}, [], () => {}, new Date(), thrower];
const junk = () => pick([() => pick(numbers), () => pick(arrays)(), () => pick(others)])();
/** Never a descriptor of this process. */
const noFile = () => pick([-1, 1_000_000, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1.5, Number.NaN, '3', null, undefined, {}, [3], 3n]);
const fd = () => (random(4) === 0 ? noFile() : pick(files));
const path = () => (random(3) === 0 ? pick(['', 'a\0b', 3, null, undefined, {}]) : join(folder, `name-${random(4)}`));
const flags = () =>
  random(3) === 0 ? junk() : { [pick(['write', 'direct', 'exclusive', 'create', 'unnamed'])]: pick([true, true, false, 1, 'x', null]) };
/** Mostly what the parameter is for. @param {() => unknown} good */
const mostly = (good) => (random(4) === 0 ? junk() : good());
const number = () => mostly(() => pick(numbers));
const bytes = () => mostly(() => pick(arrays)());
const sums = () => mostly(() => (random(2) === 0 ? undefined : new BigUint64Array(random(8))));

// Where it is installed, so that codec 1 is a codec.
addon.loadIsal('libisal.so.2');
const codec = () => mostly(() => random(2));
let inflater = new addon.Inflater(0);
let hasher = new addon.Hasher('sha512');
const hashTarget = () => (random(8) === 0 ? pick([{}, addon, Object.create(addon.Hasher.prototype), new Date()]) : hasher);
const target = () => (random(8) === 0 ? pick([{}, addon, Object.create(addon.Inflater.prototype), new Date()]) : inflater);

/** @type {Record<string, () => unknown>} */
const classes = {
  Inflater: () => (inflater = random(4) === 0 ? addon.Inflater(0) : new addon.Inflater(codec())),
  run: () => addon.Inflater.prototype.run.call(target(), bytes(), bytes()),
  reset: () => addon.Inflater.prototype.reset.call(target()),
  Hasher: () => (hasher = random(4) === 0 ? addon.Hasher('sha512') : new addon.Hasher(pick(['sha512', 'md5', '', 'none', 1]))),
  update: () => addon.Hasher.prototype.update.call(hashTarget(), bytes()),
  digest: () => addon.Hasher.prototype.digest.call(hashTarget()),
};

/** @type {Record<string, () => unknown>} */
const exported = {
  allocate: () => addon.allocate(mostly(() => 4096 * random(1000))),
  open: () => addon.open(path(), flags()),
  close: () => addon.close(random(2) === 0 ? noFile() : open()),
  sync: () => addon.sync(fd()),
  truncate: () => addon.truncate(fd(), number()),
  link: () => addon.link(fd(), path()),
  lock: () => addon.lock(fd()),
  seekData: () => addon.seekData(fd(), number()),
  seekHole: () => addon.seekHole(fd(), number()),
  uncache: () =>
    addon.uncache(
      fd(),
      number(),
      mostly(() => 4096 * random(64)),
    ),
  read: () => addon.read(fd(), bytes(), number(), sums()),
  write: () => addon.write(fd(), bytes(), number(), sums()),
  zero: () =>
    addon.zero(
      fd(),
      number(),
      mostly(() => 4096 * random(64)),
      mostly(() => random(5)),
    ),
  zeroRuns: () => addon.zeroRuns(bytes(), number()),
  firstDifference: () => addon.firstDifference(bytes(), bytes()),
  firstNonZero: () => addon.firstNonZero(bytes()),
  addSums: () =>
    addon.addSums(
      mostly(() => new BigUint64Array(random(8))),
      bytes(),
      number(),
    ),
  takeSums: () =>
    addon.takeSums(
      mostly(() => new BigUint64Array(random(8))),
      bytes(),
      number(),
    ),
  ...classes,
  inflateMembers: () =>
    addon.inflateMembers(
      codec(),
      bytes(),
      bytes(),
      mostly(() => new Uint8Array(Uint32Array.from({ length: 2 * random(6) }, () => random(4096)).buffer)),
    ),
  deflate: () => addon.deflate(codec(), number(), bytes(), bytes()),
  loadIsal: () => addon.loadIsal(path()),
};

const ended = { returned: 0, resolved: 0, refused: 0, failed: 0 };
/** @type {string[]} */
const wrong = [];
/** @type {Set<Promise<unknown>>} */
const running = new Set();
const names = Object.keys(exported);
for (const name of Object.keys(addon)) if (!names.includes(name) && name !== 'zeroMethods') wrong.push(`${name} is not called`);

for (let call = 0; call < Number(calls); call++) {
  // Missing and surplus arguments too.
  const name = pick(names);
  try {
    const plain = random(20) === 0 && !['close', ...Object.keys(classes)].includes(name);
    const result = plain ? addon[name](...Array.from({ length: random(3) }, () => pick(others))) : exported[name]?.();
    if (result instanceof Promise) {
      const settled = result.then(
        (value) => {
          ended.resolved++;
          if (name === 'open') files.push(value.fd);
        },
        (error) => {
          ended.failed++;
          if (!(error instanceof Error) || typeof Reflect.get(error, 'errno') !== 'number') wrong.push(`${name} rejects with ${error}`);
        },
      );
      running.add(settled);
      settled.then(() => running.delete(settled));
    } else ended.returned++;
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) ended.refused++;
    else if (name === 'allocate' && error instanceof Error && Reflect.get(error, 'errno') === 12) ended.failed++;
    else wrong.push(`${name} throws ${error}`);
  }
  if (running.size > 64 || random(50) === 0) await Promise.all(running);
  // Few enough descriptors for any limit.
  while (files.length > 64) await addon.close(files.pop());
}
await Promise.all(running);
console.log(JSON.stringify({ ...ended, wrong: wrong.slice(0, 10) }));
