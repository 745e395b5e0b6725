/**
 * The fault matrix: each system call on the target, with each way to fail, at its first, middle and last time, on each kind of target. Every
 * cell ends in time, either with the bytes of the image on the target or with a typed error and no left-over file.
 *
 * The normal suite runs a sample that depends on the date; VDISTREAM_LONG=1 runs all of it, and prints the counts.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { ERRORS } from '../../src/errors.ts';
import { noise } from '../support/chunks.ts';
import { type FaultyProcess, faultyProcesses } from '../support/faults.ts';
import { testFolder } from '../support/folder.ts';
import { loopDevice } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

const test = testWith('gcc', 'root', 'loop');
const MIB = 1 << 20;
const SIZE = 24 * MIB;
const LONG = process.env.VDISTREAM_LONG === '1';
const SAMPLE = 16;
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const faulty = faultyProcesses();

const ERRNOS = { EINTR: 4, EIO: 5, EAGAIN: 11, ENOMEM: 12, EINVAL: 22, ENOSPC: 28, EOPNOTSUPP: 95, EDQUOT: 122 };
const FAILING = ['open', 'read', 'write', 'sync', 'zero', 'truncate', 'close', 'link', 'map', 'thread'];
const SHORT = ['read', 'write'].flatMap((call) => [100, 512, 5000, 65536].map((bytes) => ({ call, action: `short${bytes}` })));
const ACTIONS = [...FAILING.flatMap((call) => Object.values(ERRNOS).map((errno) => ({ call, action: String(errno) }))), ...SHORT];
const MOMENTS = ['first', 'middle', 'last', 'always'] as const;

interface Place {
  readonly target: string;
  /** Part of the paths that faults concern. */
  readonly path: string;
  prepare(): void;
  content(): Buffer;
  /** Files that a failed run has left. */
  left(): readonly string[];
  end(): void;
}

function filePlace(folder: string): Place {
  const place = join(folder, 'targets');
  const target = join(place, 'disk.raw');
  return {
    target,
    path: place,
    prepare() {
      rmSync(place, { recursive: true, force: true });
      mkdirSync(place);
    },
    content: () => readFileSync(target),
    left: () => readdirSync(place),
    end() {},
  };
}

function loopPlace(sector: 512 | 4096): Place {
  const device = loopDevice({ size: SIZE, sector, fill: 0x5a });
  const stale = Buffer.alloc(SIZE, 0x5a);
  return {
    target: device.path,
    path: device.path,
    prepare: () => writeFileSync(device.path, stale),
    content: () => device.read(0, SIZE),
    left: () => [],
    end: () => device.detach(),
  };
}

const PLACES: Readonly<Record<string, () => Place>> = {
  'a file': () => filePlace(testFolder()),
  'a loop device with 512-byte sectors': () => loopPlace(512),
  'a loop device with 4096-byte sectors': () => loopPlace(4096),
  'a file on tmpfs': () => filePlace(tinyFolder(64 * MIB).path),
};

const blocks = new Map([0, 1, 5, 6, 11].map((block) => [block, Buffer.from(noise(2 * MIB, block))]));
const vhd = dynamicVhd({ size: SIZE, blocks });
const disk = Buffer.alloc(SIZE);
for (const [block, data] of blocks) data.copy(disk, block * 2 * MIB);

interface Cell {
  readonly call: string;
  readonly action: string;
  readonly moment: (typeof MOMENTS)[number];
}

/** Every cell in the long run; otherwise a sample with a seed that is printed if a cell fails. */
function cells(seed: number): readonly Cell[] {
  const all = ACTIONS.flatMap((fault) => MOMENTS.map((moment) => ({ ...fault, moment })));
  if (LONG) return all;
  const keys = noise(4 * all.length, seed);
  const view = new DataView(keys.buffer);
  return all
    .map((cell, index) => ({ cell, key: view.getUint32(4 * index) }))
    .sort((a, b) => a.key - b.key)
    .slice(0, SAMPLE / Object.keys(PLACES).length)
    .map(({ cell }) => cell);
}

function ruleOf({ call, action, moment }: Cell, made: number): string {
  if (moment === 'always') return `${call}:${action}:1:0`;
  const number = { first: 1, middle: Math.ceil(made / 2), last: made }[moment];
  return `${call}:${action}:${number}:1`;
}

/** What became of a cell: `reached` says whether the fault occurred at all. */
function outcomeOf(run: FaultyProcess, place: Place, cell: Cell): 'written' | 'refused' | 'not reached' {
  const name = JSON.stringify(cell);
  expect(run.signal, `${name} hangs or crashes: ${run.stderr}`).toBeNull();
  if (run.status === 0) {
    expect(place.content().subarray(0, SIZE).equals(disk), `${name} succeeds with wrong bytes`).toBe(true);
    return (run.calls[cell.call]?.failed ?? 0) === 0 ? 'not reached' : 'written';
  }
  const { code, message } = JSON.parse(run.stderr.trim().split('\n').at(-1) ?? '').error;
  expect(Object.keys(ERRORS), `${name} fails without a type: ${message}`).toContain(code);
  expect(place.left(), `${name} leaves a file`).toEqual([]);
  return 'refused';
}

test.each(Object.keys(PLACES))(
  '%s ends with the right bytes or a typed error, whichever call fails',
  { timeout: 3_600_000 },
  async (kind) => {
    const image = join(testFolder(), 'image.vhd');
    writeFileSync(image, vhd);
    const place = PLACES[kind]?.();
    if (place === undefined) throw new Error('no such place');
    const command = [main, 'write', '--json', '--verify', image, place.target];
    const seed = Math.floor(Date.now() / 86_400_000);
    const counts = { written: 0, refused: 0, 'not reached': 0 };
    try {
      place.prepare();
      const healthy = await faulty(command, { path: place.path });
      expect({ status: healthy.status, stderr: healthy.stderr }).toMatchObject({ status: 0 });
      expect(existsSync(place.target) && place.content().equals(disk)).toBe(true);
      for (const cell of cells(seed)) {
        const made = healthy.calls[cell.call]?.made ?? 0;
        place.prepare();
        const run = await faulty(command, { path: place.path, rules: [ruleOf(cell, Math.max(1, made))], limit: 60_000 });
        counts[outcomeOf(run, place, cell)]++;
      }
    } finally {
      place.end();
    }
    if (LONG) console.log(`${kind}: ${JSON.stringify(counts)}`);
    expect(counts.written + counts.refused).toBeGreaterThan(0);
  },
);
