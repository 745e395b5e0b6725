/** The options of `upload` alone. */

import { VISIBILITIES } from '../glance/record.ts';
import type { Option } from './option.ts';

/** In the order of help. */
export const UPLOAD_OPTIONS = {
  create: { sentence: 'create the image, and remove it again if the upload fails', commands: ['upload'] },
  property: { argument: 'KEY=VALUE', sentence: 'set a property of the image', commands: ['upload'], repeatable: true },
  visibility: { argument: 'WHO', sentence: 'who may see the image', commands: ['upload'], values: VISIBILITIES },
  store: { argument: 'NAME', sentence: 'the store of Glance that the image goes to', commands: ['upload'], default: "Glance's own" },
  'as-is': { sentence: 'DISK is an image file: send its bytes unchanged', commands: ['upload'], page: 'upload.md#an-image-as-it-is' },
  'glance-formats': {
    argument: 'FORMATS',
    sentence: 'the two formats in Glance, such as qcow2,bare',
    commands: ['upload'],
    default: 'by content',
    page: 'upload.md#formats',
  },
} as const satisfies Readonly<Record<string, Option>>;
