/** What a dry run has found, as text for people. */

import type { DiskDryRun, WriteDryRun } from '../engine/dry-run.ts';
import type { DeviceDryRun, ImportDryRun, SrDryRun } from '../xen/dry-run.ts';
import { human } from './sizes.ts';
import { row } from './tables.ts';

export const NOTHING = 'Nothing was written. This is what would be:';

const table = (rows: readonly string[]): string[] => [NOTHING, '', ...rows];

export const writeDryRunTable = (found: WriteDryRun): string[] => table([...diskRows(found), ...targetRows(found)]);

export const deviceDryRunTable = (found: DeviceDryRun): string[] =>
  table([...diskRows(found), ...targetRows(found), row('attached', found.attached ? 'yes, to this Dom0' : 'no, so all guards apply')]);

export function importDryRunTable(found: ImportDryRun): string[] {
  return table([...diskRows(found), ...srRows(found, `"${found.name}"`)]);
}

/** `vdi`: which one, or which ones. */
export function srRows(found: SrDryRun & Pick<DiskDryRun, 'zero' | 'emptyRegions'>, vdi: string): string[] {
  const { sr, srType, host, rawVdi, readsZero, leftOvers } = found;
  return [
    row('host', host),
    row('SR', `${sr} (${srType})`),
    row('free', freeText(found)),
    row('VDI', `${vdi}, ${rawVdi ? 'raw' : 'a VHD, if the SR has them'}; new disks ${readsZero ? 'read as zero' : 'may hold old data'}`),
    row('empty', regions(found)),
    ...leftOvers.map(({ vdi, pid }) => row('left-over', `${vdi} (pid ${pid}) would be removed first`)),
  ];
}

function diskRows({ member, type, layers, virtualSize, allocatedBytes }: DiskDryRun): string[] {
  const chain = layers === undefined ? 'perhaps with parents' : `${layers} layer${layers === 1 ? '' : 's'}`;
  return [
    row('disk', [member ?? '(the whole image)', type, chain].filter((part) => part !== undefined).join(', ')),
    row('virtual size', `${virtualSize} bytes (${human(virtualSize)})`),
    row('allocated', `${layers === undefined ? 'at least ' : ''}${allocatedBytes} bytes (${human(allocatedBytes)})`),
  ];
}

const KINDS = { device: 'a block device', file: 'a file', 'new-file': 'a new file', other: 'neither a device nor a file' };

function targetRows(found: WriteDryRun): string[] {
  const { target, kind, targetSize, align, direct, bytesAfter, zeroTail } = found;
  const size = targetSize === undefined ? 'of any size' : `of ${targetSize} bytes (${human(targetSize)})`;
  const facts = [
    `${kind === undefined ? '' : `${KINDS[kind]} `}${size}`,
    `sectors of ${align} bytes`,
    direct ? 'direct I/O' : 'through the page cache',
  ];
  const after = bytesAfter === 0 ? 'nothing' : `${bytesAfter} bytes (${human(bytesAfter)}), ${zeroTail ? 'zeroed' : 'left as they are'}`;
  return [row('target', target), row('', facts.join(', ')), row('after disk', after), row('empty', regions(found))];
}

const REGIONS = { skip: 'skipped', zero: 'zeroed', write: 'written as zeros' };

const regions = ({ zero, emptyRegions, readsZero }: Pick<DiskDryRun, 'zero' | 'emptyRegions'> & { readonly readsZero: boolean }): string =>
  `${REGIONS[emptyRegions]} (policy ${zero}; the target ${readsZero ? 'reads as zero' : 'is not known to read as zero'})`;

function freeText({ freeBytes, shortfall }: SrDryRun): string {
  if (freeBytes === undefined) return 'unknown: the SR does not report it';
  const lacking = shortfall === 0 ? '' : `; the disk at its full size needs ${shortfall} bytes (${human(shortfall)}) more`;
  return `${freeBytes} bytes (${human(freeBytes)})${lacking}`;
}
