/** A small result of the bench, with everything that a report shows. */

import { summarize } from '../../bench/report.mjs';
import { ROWS } from '../../bench/rows.mjs';
import type { Trial } from '../../bench/trial.mjs';

const GIB = 2 ** 30;
const none = { busy: 0, waiting: 0 };

/** As vdistream would report it for `seconds` of a process of 0.1 s more. */
export function ownTrial(seconds: number): Trial {
  const stages = {
    read: { busy: 0.5 * seconds, waiting: 0.1 * seconds },
    inflate: none,
    tar: { busy: 0.01 * seconds, waiting: 0 },
    decode: { busy: 0.09 * seconds, waiting: 0 },
    scan: { busy: 0.1 * seconds, waiting: 0 },
    wait: { busy: 0, waiting: 0.5 * seconds },
    write: { busy: 0.9 * seconds, waiting: 0.1 * seconds },
    sync: { busy: 0.05 * seconds, waiting: 0.05 * seconds },
  };
  return { seconds: seconds + 0.1, cpu: seconds, rss: 100 * 2 ** 20, own: { seconds, stages } };
}

const image = {
  name: 'realistic',
  what: 'a disk with </script><script>alert(1)</script> in its name & all',
  tar: '',
  gzip: '',
  member: '0.vhd',
  copies: 1,
  memberOffset: 512,
  size: 8 * GIB,
  allocated: 2 * GIB,
  tarBytes: 2 * GIB,
  gzipBytes: GIB,
};

const trialsOf = (kind: string, index: number): Trial[] =>
  kind === 'ours' ? [ownTrial(1 + index)] : [{ seconds: 1 + index, cpu: 1, rss: 14 * 2 ** 20 }];

const rows = ROWS.filter(({ images }) => images.includes('realistic'));

export const benchResult = {
  machine: {
    date: '2026-01-02T03:04:05.678Z',
    cores: 2,
    cpu: 'A processor',
    memory: 16 * GIB,
    loadBefore: 0.1,
    kernel: '6.1',
    node: 'v20',
    programs: ['tar 1', 'dd 9'],
  },
  device: { path: '/dev/loop0', kind: 'a loop device', state: 'empty' },
  leftOut: ['realistic/qemu-img convert: qemu-img is not installed'],
  images: [summarize(image, new Map(rows.map((row, index) => [row, trialsOf(row.kind, index)])))],
  aims: [{ text: 'as fast as the limit', measured: '0.5 ×', pass: false }],
};
