/** The options of `import` for many images or disks. */

import type { Option } from './option.ts';

export const MANY_OPTIONS = {
  'all-disks': {
    sentence: 'create a VDI for every disk of the archive, in one pass: all of them or none',
    commands: ['import'],
    group: 'many',
    page: 'import.md#all-disks-of-an-archive',
  },
  list: {
    argument: 'FILE',
    sentence: 'import all images of a list, one per line with its SR; - is standard input',
    commands: ['import'],
    group: 'many',
    path: 'file',
    page: 'import.md#many-images',
  },
  jobs: {
    argument: 'N',
    sentence: 'images to import at a time, at most 16; only with --list',
    commands: ['import'],
    group: 'many',
    default: '2',
    page: 'import.md#many-images',
  },
  again: {
    sentence: 'import what has been imported before, instead of skipping it; only with --list',
    commands: ['import'],
    group: 'many',
    page: 'import.md#many-images',
  },
} as const satisfies Readonly<Record<string, Option>>;
