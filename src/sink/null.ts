/** `null:` as a sink, which discards everything: for measuring how fast a disk can be exported. */

import type { SinkOpener } from './sink.ts';

export const nullSink: SinkOpener = {
  name: 'null:',
  readable: false,
  open: async () => ({
    async write() {},
    async finish() {},
    async abandon() {},
  }),
};
