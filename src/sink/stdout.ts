/** Standard output as a sink. */

import { fstatSync, fsync } from 'node:fs';
import { promisify } from 'node:util';
import { VdiStreamError } from '../errors.ts';
import { orCancelled } from '../host/cancel.ts';
import { codeOf, errnoOf, guarded, ioError } from '../host/errno.ts';
import type { SinkOpener } from './sink.ts';

const NAME = 'standard output';

export const standardOutput: SinkOpener = {
  name: NAME,
  readable: false,
  async open({ signal }) {
    const { stdout } = process;
    if (stdout.isTTY) throw new VdiStreamError('USAGE', 'standard output is a terminal: redirect it to a file or a pipe');
    // Each write reports its own error; without a listener, the event would end the process.
    const ignore = (): void => {};
    stdout.on('error', ignore);
    const close = (): void => void stdout.off('error', ignore);
    return {
      // A pipe may accept nothing until its reader ends.
      write: (bytes) => orCancelled(written(stdout, bytes), signal),
      async finish() {
        close();
        if (fstatSync(1).isFile()) await guarded('TARGET_SYNC', NAME, promisify(fsync)(1));
      },
      abandon: async () => close(),
    };
  },
};

const written = (stdout: NodeJS.WriteStream, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    stdout.write(bytes, (cause) => (cause ? reject(writeError(cause)) : resolve()));
  });

function writeError(cause: Error): VdiStreamError {
  if (codeOf(cause) !== 'EPIPE') return ioError('TARGET_WRITE', NAME, cause);
  return new VdiStreamError('TARGET_WRITE', `${NAME}: its reader has closed the pipe`, { device: NAME, errno: errnoOf(cause), cause });
}
