/** The options of `export` alone. */

import { CONTAINERS, EXPORT_FORMATS } from '../engine/export-form.ts';
import type { Option } from './option.ts';

/** In the order of help. */
export const EXPORT_OPTIONS = {
  output: { short: 'o', argument: 'OUT', sentence: 'write the image there', commands: ['export'], path: 'file' },
  format: {
    argument: 'FORMAT',
    sentence: 'of the disks; vhd leaves out blocks of zeros',
    commands: ['export'],
    default: 'vhd',
    values: EXPORT_FORMATS,
    page: 'export.md#formats',
  },
  container: {
    argument: 'WHAT',
    sentence: 'around the disks',
    commands: ['export'],
    default: 'none',
    values: CONTAINERS,
    page: 'export.md#formats',
  },
  compress: {
    argument: 'HOW',
    sentence: 'none, or gzip:1 (fast) to gzip:9 (small); gzip is gzip:1',
    commands: ['export'],
    default: 'none',
    page: 'export.md#compression',
  },
  'block-size': {
    argument: 'BYTES',
    sentence: 'of a vhd, a power of two from 4096; XenServer reads only 2097152',
    commands: ['export'],
    default: '2097152',
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
