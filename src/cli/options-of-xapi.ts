/** The options of an import to a pool that is reached over the network. */

import type { Option } from './option.ts';

/** In the order of help. */
export const XAPI_OPTIONS = {
  xapi: {
    argument: 'URL',
    sentence: 'create the VDI in the pool at https://HOST, from any machine',
    commands: ['import'],
    group: 'pool',
    page: '../remote.md',
  },
  credentials: {
    argument: 'FILE',
    sentence: 'user and password of the pool, instead of XAPI_USER and XAPI_PASSWORD',
    commands: ['import'],
    group: 'pool',
    path: 'file',
    page: '../remote.md#credentials',
  },
  fingerprint: {
    argument: 'SHA256',
    sentence: 'trust a host of the pool by the SHA-256 of its certificate',
    commands: ['import'],
    group: 'pool',
    repeatable: true,
    page: '../remote.md#certificates',
  },
} as const satisfies Readonly<Record<string, Option>>;
