/** The options of `import` for many images. */

import type { Option } from './option.ts';

export const LIST_OPTIONS = {
  list: {
    argument: 'FILE',
    sentence: 'import all images of a list, one per line with its SR; - is standard input',
    commands: ['import'],
    path: 'file',
    page: 'import.md#many-images',
  },
  jobs: {
    argument: 'N',
    sentence: 'images to import at a time, at most 16; only with --list',
    commands: ['import'],
    default: '2',
    page: 'import.md#many-images',
  },
  again: {
    sentence: 'import what has been imported before, instead of skipping it; only with --list',
    commands: ['import'],
    page: 'import.md#many-images',
  },
} as const satisfies Readonly<Record<string, Option>>;
