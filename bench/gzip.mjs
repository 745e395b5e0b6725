/**
 * Gzip alone, in and out, next to gzip, pigz, igzip and bgzip: `node bench/gzip.mjs FILE [ROUNDS]`. FILE is a large tar, best on a file system
 * in memory. Its compressed forms are made next to it, and removed. Interleaved rounds; prints medians, ratios, sizes, and the load.
 */

import { spawnSync } from 'node:child_process';
import { rmSync, statSync } from 'node:fs';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { median } from './trial.mjs';

const SELF = fileURLToPath(import.meta.url);
const [first = '', second = '', third = ''] = process.argv.slice(2);

/** Runs as a child: `in LIBRARY FILE` or `out LEVEL FILE`, to standard output or nowhere. @param {boolean} isIn @param {string} how @param {string} file */
async function work(isIn, how, file) {
  const { openPath } = await import(new URL('../dist/source/path.js', import.meta.url).href);
  const { gunzip } = await import(new URL('../dist/codec/gunzip.js', import.meta.url).href);
  const { gzip } = await import(new URL('../dist/codec/gzip.js', import.meta.url).href);
  const { cursor, close } = await openPath(file, {});
  const source = cursor.chunks();
  for await (const chunk of isIn ? gunzip(source, how) : gzip(source, { level: Number(how) })) {
    // Written before the next one is requested: until then its memory is not used again.
    if (!isIn) await new Promise((resolve) => process.stdout.write(chunk, resolve));
  }
  await close();
}

/** @param {string} command @returns {{ seconds: number, cpu: number }} */
function time(command) {
  const start = process.hrtime.bigint();
  const { stderr, status } = spawnSync('bash', ['-c', `TIMEFORMAT='%U %S'; time { ${command}; }`], { encoding: 'utf8' });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  const [user = 0, system = 0] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  return { seconds, cpu: user + system };
}

/** @param {{ title: string, base: string, rows: Record<string, string>, outputs?: Record<string, string> }} table @param {number} rounds */
function compare({ title, base, rows, outputs = {} }, rounds) {
  /** @type {Record<string, { seconds: number, cpu: number }[]>} */
  const times = Object.fromEntries(Object.keys(rows).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) for (const [name, command] of Object.entries(rows)) times[name]?.push(time(command));
  const seconds = (/** @type {string} */ name) => median((times[name] ?? []).map((each) => each.seconds));
  const cpu = (/** @type {string} */ name) => median((times[name] ?? []).map((each) => each.cpu));
  const size = (/** @type {string} */ name) => (outputs[name] === undefined ? undefined : statSync(outputs[name] ?? '').size);
  console.log(`${title}; ratios to ${base}; load ${loadavg()[0]?.toFixed(1)}`);
  for (const name of Object.keys(rows)) {
    const bytes = size(name);
    const columns = [
      name.padEnd(34),
      `${seconds(name).toFixed(2)} s`,
      `${(seconds(name) / seconds(base)).toFixed(2)} x`,
      `CPU ${cpu(name).toFixed(2)} s`,
      bytes === undefined ? '' : `${bytes} bytes, ${(bytes / (size(base) ?? 1)).toFixed(3)} x`,
    ];
    console.log(`  ${columns.join('  ')}`);
  }
}

/** @param {string} file @param {number} rounds */
function bench(file, rounds) {
  const ours = (/** @type {string} */ mode, /** @type {string} */ how, /** @type {string} */ from) => `node ${SELF} ${mode} ${how} ${from}`;
  /** @param {string} name */
  const made = (name) => `${file}.${name}.gz`;
  const names = ['gzip-6', 'vdistream', 'gzip-1', 'pigz-1', 'igzip-1', 'bgzip'];
  try {
    const out = {
      'gzip -1': `gzip -1 -c ${file} > ${made('gzip-1')}`,
      'pigz -1': `pigz -1 -c ${file} > ${made('pigz-1')}`,
      'igzip -1': `igzip -1 -c ${file} > ${made('igzip-1')}`,
      'vdistream, level 1': `${ours('out', '1', file)} > ${made('vdistream')}`,
    };
    const outputs = {
      'gzip -1': made('gzip-1'),
      'pigz -1': made('pigz-1'),
      'igzip -1': made('igzip-1'),
      'vdistream, level 1': made('vdistream'),
    };
    compare({ title: 'compressing', base: 'pigz -1', rows: out, outputs }, rounds);
    spawnSync('bash', ['-c', `gzip -6 -c ${file} > ${made('gzip-6')}; bgzip -@ 4 -c ${file} > ${made('bgzip')}`]);
    for (const [title, from] of [
      ['reading one member by gzip -6', made('gzip-6')],
      ['reading what vdistream has written', made('vdistream')],
      ['reading what bgzip has written', made('bgzip')],
    ]) {
      const rows = {
        'igzip -dc': `igzip -dc ${from} > /dev/null`,
        'gzip -dc': `gzip -dc ${from} > /dev/null`,
        'vdistream, isal': ours('in', 'isal', from ?? ''),
        'vdistream, zlib': ours('in', 'zlib', from ?? ''),
        'vdistream, node': ours('in', 'node', from ?? ''),
        ...(from === made('gzip-6') && { 'vdistream, zlib-sync': ours('in', 'zlib-sync', from) }),
      };
      compare({ title: title ?? '', base: 'igzip -dc', rows }, rounds);
    }
  } finally {
    for (const name of names) rmSync(made(name), { force: true });
  }
}

if (first === 'in' || first === 'out') await work(first === 'in', second, third);
else bench(first, Number(second || 3));
