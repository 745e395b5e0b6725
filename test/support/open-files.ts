/** What a process has open, as the kernel reports it. */

import { readdirSync, readlinkSync } from 'node:fs';

/** Open files whose path begins with `folder`, also those that have no name there any more. */
export function openFilesIn(folder: string, pid = process.pid): string[] {
  const files = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
  return files.filter((path) => path.startsWith(`${folder}/`));
}
