/** The options of what is printed and logged, which all commands have. */

import type { Option } from './option.ts';

const ALL = ['info', 'check', 'write', 'verify', 'import', 'export', 'upload', 'reap'] as const;

/** In the order of help. */
export const OUTPUT_OPTIONS = {
  log: {
    argument: 'FILE',
    sentence: 'append start, warnings, progress and result to FILE, as JSON lines',
    commands: ALL,
    group: 'output',
    path: 'file',
    page: 'output.md#log',
  },
  json: {
    sentence: 'print one JSON object on stdout, and progress as JSON lines on stderr',
    commands: ALL,
    group: 'output',
    page: 'output.md#json',
    override: {
      import: { sentence: 'print a JSON object per image on stdout, progress as JSON lines on stderr' },
      reap: { sentence: 'print one JSON object on stdout' },
    },
  },
  quiet: {
    short: 'q',
    sentence: 'print no progress, no warnings and no summary',
    commands: ALL,
    group: 'output',
    override: {
      info: { sentence: 'print no progress and no warnings' },
      check: { sentence: 'print no progress' },
      import: { sentence: 'print no progress, no warnings and no summary, only the UUIDs' },
      reap: { sentence: 'print no table; what could not be removed goes to stderr' },
    },
  },
} as const satisfies Readonly<Record<string, Option>>;
