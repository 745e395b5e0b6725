/** The target at a path, which counts the calls on it. */

import { deviceTarget, type TargetOpener } from '../../src/index.ts';

interface CallCounts {
  reads: number;
  bytesRead: number;
  writes: number;
  bytesWritten: number;
}

export function countedTarget(path: string): { readonly opener: TargetOpener; readonly counts: Readonly<CallCounts> } {
  const counts: CallCounts = { reads: 0, bytesRead: 0, writes: 0, bytesWritten: 0 };
  const opener = deviceTarget(path);
  return {
    counts,
    opener: {
      ...opener,
      async open(options) {
        const target = await opener.open(options);
        return {
          ...target,
          read(into, offset, sums) {
            counts.reads++;
            counts.bytesRead += into.length;
            return target.read(into, offset, sums);
          },
          write(bytes, offset, sums) {
            counts.writes++;
            counts.bytesWritten += bytes.length;
            return target.write(bytes, offset, sums);
          },
        };
      },
    },
  };
}
