/** libblkid's opinion of a disk. */

import { execFileSync, spawnSync } from 'node:child_process';

/** Each signature that `wipefs` finds, as "type@offset". */
export function wipefsOf(path: string): string[] {
  const output = execFileSync('wipefs', ['--json', path], { encoding: 'utf8' });
  if (output.trim() === '') return [];
  const { signatures }: { signatures: ReadonlyArray<{ type: string; offset: string }> } = JSON.parse(output);
  return signatures.map(({ type, offset }) => `${type}@${Number(offset)}`);
}

/** The type of the file system, volume or partition table that `blkid` probes. */
export function blkidOf(path: string): string | undefined {
  const { stdout } = spawnSync('blkid', ['-p', '-o', 'export', path], { encoding: 'utf8' });
  return /^TYPE=(.*)$/m.exec(stdout)?.[1] ?? /^PTTYPE=(.*)$/m.exec(stdout)?.[1];
}
