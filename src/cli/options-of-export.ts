/** The options of `export`, most of which `upload` has too. */

import { CONTAINERS, EXPORT_FORMATS } from '../engine/export-form.ts';
import type { Option } from './option.ts';

const WITH_FORM = ['export', 'upload'] as const;

/** In the order of help. */
export const EXPORT_OPTIONS = {
  output: { short: 'o', argument: 'OUT', sentence: 'write the image there', commands: ['export'], path: 'file' },
  format: {
    argument: 'FORMAT',
    sentence: 'of the disks; vhd leaves out blocks of zeros',
    commands: WITH_FORM,
    default: 'vhd',
    values: EXPORT_FORMATS,
    page: 'export.md#formats',
    override: { upload: { sentence: 'of the disks' } },
  },
  container: {
    argument: 'WHAT',
    sentence: 'around the disks',
    commands: WITH_FORM,
    default: 'none',
    values: CONTAINERS,
    page: 'export.md#formats',
    override: { upload: { default: 'tar', page: 'upload.md#formats' } },
  },
  compress: {
    argument: 'HOW',
    sentence: 'none, or gzip:1 (fast) to gzip:9 (small); gzip is gzip:1',
    commands: WITH_FORM,
    default: 'none',
    page: 'export.md#compression',
    override: { upload: { sentence: 'none, or gzip:1 (fast) to gzip:9 (small)', default: 'gzip for tar' } },
  },
  'block-size': {
    argument: 'BYTES',
    sentence: 'of a vhd, a power of two from 4096; XenServer reads only 2097152',
    commands: WITH_FORM,
    default: '2097152',
    override: { upload: { sentence: 'of a vhd; XenServer reads only 2097152' } },
  },
  align: {
    argument: 'BYTES',
    sentence: 'of the blocks in a vhd',
    commands: ['export'],
    default: '512',
    values: ['512', '4096'],
  },
  'single-pass': { sentence: 'fail rather than read a disk twice, as vhd does', commands: ['export'], page: 'export.md#two-passes' },
} as const satisfies Readonly<Record<string, Option>>;
