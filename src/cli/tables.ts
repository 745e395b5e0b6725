/** Results for people. */

import type { DiskInfo, ImageInfo } from '../engine/info.ts';
import type { VerifyResult, WriteResult } from '../engine/write.ts';
import { human, rate } from './sizes.ts';

export function infoTable(source: string, image: ImageInfo): string {
  const kind = image.kind === 'tar' ? 'tar archive' : 'VHD';
  const packed = image.compression === 'none' ? '' : `, ${image.compression}`;
  const blocks = image.disks.map((disk) => diskTable(disk));
  return `${[`${source}: ${kind}${packed}`, ...blocks].join('\n\n')}\n`;
}

function diskTable(disk: DiskInfo): string {
  const share = Math.round((100 * disk.allocatedBytes) / disk.virtualSize);
  const rows: [string, string][] = [
    ['disk', disk.member ?? '(the whole file)'],
    ['type', disk.type],
    ['virtual size', `${disk.virtualSize} bytes (${human(disk.virtualSize)})`],
    ['allocated', `${disk.allocatedBytes} bytes (${human(disk.allocatedBytes)}, ${share}%)`],
    ['block size', disk.blockSize === undefined ? 'none' : human(disk.blockSize)],
    ['creator', disk.creator ?? 'not known'],
    ['data', drawMap(disk.map)],
  ];
  return rows.map(([name, value]) => `  ${name.padEnd(12)}  ${value}`).join('\n');
}

const SHADES = ['░', '▒', '▓', '█'];

/** One character a cell: · for nothing, then a quarter, half, three quarters, all. */
export function drawMap(map: readonly number[]): string {
  return map.map((share) => (share === 0 ? '·' : (SHADES[Math.min(3, Math.floor(share * 4))] ?? ''))).join('');
}

export function writeSummary(result: WriteResult): string {
  const what = result.member === undefined ? 'the disk' : result.member;
  const parts = [`${human(result.bytesWritten)} written`, `${human(result.bytesZeroed)} zeroed`, `${human(result.bytesSkipped)} skipped`];
  const verified = result.verified ? ', verified' : '';
  const pace = `${result.seconds.toFixed(2)} s, ${rate(result.bytesWritten, result.seconds)}`;
  return `Wrote ${what} (${human(result.virtualSize)}) to ${result.target}: ${parts.join(', ')}${verified}; ${pace}.\n`;
}

export function verifySummary(result: VerifyResult): string {
  const pace = `${result.seconds.toFixed(2)} s, ${rate(result.bytesCompared, result.seconds)}`;
  return `${result.target} holds the image: ${human(result.bytesCompared)} compared; ${pace}.\n`;
}
