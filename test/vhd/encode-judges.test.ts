/** What other programs make of an encoded VHD, and our own check. */

import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { native } from '../../src/host/native.ts';
import { check } from '../../src/index.ts';
import { encodeVhd } from '../../src/vhd/encode.ts';
import { CREATOR } from '../../src/vhd/encode-metadata.ts';
import { plainBuffers } from '../support/buffers.ts';
import { contentOf, diskOfRuns, type EncodingPlan, mappedBlocks, type Run, rangesOf, runBytes } from '../support/encoding.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const identity = { creator: CREATOR, uniqueId: '0123456789abcdef0123456789abcdef', timestamp: 800_000_000 };

/** Fills the disk up with holes. */
function planOf(size: number, blockSize: number, data: readonly (readonly [offset: number, length: number])[]): EncodingPlan {
  const runs: Run[] = [];
  let end = 0;
  const fill = (to: number): void => {
    if (end < to) runs.push({ kind: 'hole', offset: end, length: to - end, seed: 0 });
    end = to;
  };
  for (const [offset, length] of data) {
    fill(offset);
    for (let at = offset; at < offset + length; at += MiB) {
      runs.push({ kind: 'data', offset: at, length: Math.min(MiB, offset + length - at), seed: runs.length + 1 });
    }
    end = offset + length;
  }
  fill(size);
  return { size, blockSize, align: 512, runs, idle: [] };
}

const range = (count: number): number[] => [...Array(count).keys()];

const PLANS: [string, EncodingPlan][] = [
  ['empty', planOf(5 * MiB, 2 * MiB, [])],
  ['full', planOf(8 * MiB, 2 * MiB, [[0, 8 * MiB]])],
  ['full, of an odd number of sectors', planOf(7 * MiB + 1536, 2 * MiB, [[0, 7 * MiB + 1536]])],
  [
    'dust: one sector in each block',
    planOf(
      16 * MiB + 512,
      2 * MiB,
      range(9).map((block) => [block * 2 * MiB, 512]),
    ),
  ],
  [
    'sparse, with data at its end',
    planOf(30 * MiB + 4608, 2 * MiB, [
      [20 * MiB - 4096, 3 * MiB],
      [30 * MiB, 4608],
    ]),
  ],
  ['of one sector', planOf(512, 2 * MiB, [[0, 512]])],
  ['with an allocated block of zeros', { ...planOf(9 * MiB, 2 * MiB, [[0, 512]]), idle: [2, 4] }],
];
const SMALL: [string, EncodingPlan][] = range(9).map((power) => {
  const blockSize = 4096 * 2 ** power;
  return [
    `in blocks of ${blockSize / 1024} KiB`,
    planOf(3 * MiB + 512, blockSize, [
      [0, 512],
      [blockSize - 512, MiB],
      [3 * MiB, 512],
    ]),
  ];
});
const FORMS = [
  { type: 'dynamic', align: 512 },
  { type: 'dynamic', align: 4096 },
  { type: 'fixed', align: 512 },
] as const;
type Form = (typeof FORMS)[number];

const cases = (plans: readonly [string, EncodingPlan][], forms: readonly Form[] = FORMS): [string, EncodingPlan, Form][] =>
  plans.flatMap(([name, plan]) =>
    forms.map((form): [string, EncodingPlan, Form] => [`${name}, ${form.type}, align ${form.align}`, plan, form]),
  );

const DYNAMIC = FORMS.filter(({ type }) => type === 'dynamic');
const ALL = [...cases(PLANS), ...cases(SMALL, DYNAMIC)];
/** The small blocks with one alignment each. */
const JUDGED = [...cases(PLANS), ...SMALL.flatMap((small, index) => cases([small], DYNAMIC.slice(index % 2, (index % 2) + 1)))];

async function store(plan: EncodingPlan, { type, align }: Form): Promise<{ vhd: string; raw: string }> {
  const folder = testFolder();
  const [vhd, raw] = [join(folder, 'disk.vhd'), join(folder, 'disk.raw')];
  const disk = diskOfRuns(plan.size, plan.runs, rangesOf(mappedBlocks(plan), plan));
  const encoded = encodeVhd(disk, { type, align, blockSize: plan.blockSize, identity, scan: native() });
  const file = openSync(vhd, 'w');
  for await (const chunk of encoded.bytes(plainBuffers(MiB))) writeSync(file, chunk);
  closeSync(file);
  expect(statSync(vhd).size).toBe(encoded.length);
  return { vhd, raw };
}

async function storeBoth(plan: EncodingPlan, form: Form): Promise<{ vhd: string; raw: string }> {
  const paths = await store(plan, form);
  writeFileSync(paths.raw, contentOf(plan.size, plan.runs));
  return paths;
}

const qemu = (...args: readonly string[]): string =>
  execFileSync('qemu-img', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe('an encoded disk', () => {
  test.each(ALL)('%s: check has no finding', async (_, plan, form) => {
    const { vhd } = await store(plan, form);
    expect(await check(vhd)).toMatchObject({ ok: true, findings: [], disks: [{ type: form.type, virtualSize: plan.size }] });
  });

  testWith('qemu-img').each(JUDGED)('%s: qemu-img finds the same disk, by the size field and by its own choice', async (_, plan, form) => {
    const { vhd, raw } = await storeBoth(plan, form);
    const [own, bySize] = ['driver=vpc,', 'driver=vpc,force_size_calc=current_size,'].map(
      (driver) => `${driver}file.driver=file,file.filename=${vhd}`,
    );
    qemu('convert', '-O', 'raw', '--image-opts', own ?? '', `${raw}.qemu`);
    expect(readFileSync(`${raw}.qemu`).equals(readFileSync(raw))).toBe(true);
    qemu('compare', '--image-opts', bySize ?? '', `driver=raw,file.driver=file,file.filename=${raw}`);
  });

  testWith('vhdimount', 'fuse', 'root').each(JUDGED)('%s: vhdimount shows the same disk', async (_, plan, form) => {
    const { vhd, raw } = await storeBoth(plan, form);
    const mount = mkdtempSync(join(tmpdir(), 'vdistream-fuse-'));
    execFileSync('vhdimount', [vhd, mount], { stdio: 'pipe' });
    try {
      const bytes = Buffer.alloc(plan.size);
      const file = openSync(join(mount, 'vhdi1'), 'r');
      expect(readSync(file, bytes, 0, bytes.length, 0)).toBe(plan.size);
      closeSync(file);
      expect(bytes.equals(readFileSync(raw))).toBe(true);
    } finally {
      execFileSync('umount', [mount]);
      rmdirSync(mount);
    }
  });
});

describe('a disk of 2040 GiB', () => {
  const plan = planOf(2040 * GiB, 2 * MiB, [
    [0, 512],
    [1000 * GiB, MiB],
    [2040 * GiB - 512, 512],
  ]);

  testWith('qemu-img').each(DYNAMIC)('is read by qemu-img and has no finding: %j', async (form) => {
    const { vhd, raw } = await store(plan, form);
    expect((await check(vhd)).findings).toEqual([]);
    expect(qemu('info', '--output=json', '-f', 'vpc', vhd)).toContain(`"virtual-size": ${plan.size}`);
    const map: { start: number; length: number; data: boolean }[] = JSON.parse(qemu('map', '--output=json', '-f', 'vpc', vhd));
    expect(map.filter(({ data }) => data).map(({ start }) => start)).toEqual([0, 1000 * GiB, 2040 * GiB - 2 * MiB]);
    const read = (start: number): Buffer => {
      qemu('dd', '-f', 'vpc', '-O', 'raw', 'bs=512', `skip=${start / 512}`, `count=${start / 512 + 1}`, `if=${vhd}`, `of=${raw}.part`);
      return readFileSync(`${raw}.part`);
    };
    for (const run of plan.runs) {
      if (run.kind === 'data') expect(read(run.offset).equals(runBytes(run).subarray(0, 512)), `at ${run.offset}`).toBe(true);
    }
  });
});

/** Without a forced size, qemu-img makes a disk of just the size that its geometry has. */
testWith('qemu-img').each(range(12))('the geometry is that which qemu-img writes, at size %i', async (power) => {
  const vhd = join(testFolder(), 'qemu.vhd');
  qemu('create', '-f', 'vpc', vhd, String(Math.floor(17_408 * 4.7 ** power)));
  const footer = readFileSync(vhd).subarray(0, 512);
  const size = Number(footer.readBigUInt64BE(48));
  const disk = diskOfRuns(size, [{ kind: 'zero', offset: 0, length: size, seed: 0 }], []);
  const bytes = encodeVhd(disk, { type: 'dynamic', identity }).bytes(plainBuffers());
  const first = await bytes[Symbol.asyncIterator]().next();
  expect(Buffer.from(first.value).toString('hex', 56, 60)).toBe(footer.toString('hex', 56, 60));
});
