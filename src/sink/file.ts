/** A file of this host as a sink. It appears under its name when it is finished: whole, and on the medium. */

import { VdiStreamError } from '../errors.ts';
import { guarded } from '../host/errno.ts';
import { native } from '../host/native.ts';
import { createFile } from '../host/new-file.ts';
import { targetPath } from '../host/target-path.ts';
import type { Sink, SinkOpener, SinkOptions } from './sink.ts';

export function fileSink(path: string): SinkOpener {
  return {
    name: path,
    path,
    readable: true,
    check: async ({ replace }) => void (await refuseOutput(path, replace)),
    open: (options) => openFile(path, options),
  };
}

/** Whether a file is there, which may be replaced. Throws TARGET_OPEN, TARGET_CONTENT. */
async function refuseOutput(path: string, replace: boolean): Promise<boolean> {
  const { kind, what } = await targetPath(path);
  if (kind !== 'missing' && kind !== 'file') {
    throw new VdiStreamError('TARGET_OPEN', `${path} is ${what}, but an image is written to a file`, { device: path });
  }
  if (kind === 'file' && !replace) throw new VdiStreamError('TARGET_CONTENT', `${path} exists already`, { device: path });
  return kind === 'file';
}

async function openFile(path: string, { replace }: SinkOptions): Promise<Sink> {
  const isThere = await refuseOutput(path, replace);
  const addon = native();
  const file = await createFile(addon, path, { direct: false, replace: isThere });
  let position = 0;
  return {
    async write(bytes) {
      await guarded('TARGET_WRITE', path, addon.write(file.opened.fd, bytes, position));
      position += bytes.length;
    },
    async finish() {
      try {
        await file.publish();
      } finally {
        await file.close();
      }
    },
    abandon: () => file.close(),
  };
}
