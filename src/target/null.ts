/** `null:`, which discards everything: for measuring how fast an image can be read. */

import { SECTOR } from '../bytes.ts';
import type { TargetOpener } from './target.ts';

export const NULL_TARGET = 'null:';

export const nullTarget: TargetOpener = {
  name: NULL_TARGET,
  keepsNothing: true,
  open: async () => ({
    name: NULL_TARGET,
    size: Number.POSITIVE_INFINITY,
    align: SECTOR,
    readsZero: true,
    direct: false,
    async write() {},
    async zero() {},
    async read(into) {
      into.fill(0);
    },
    async sync() {},
    async close() {},
    async abandon() {},
  }),
};
