/** Results as lines of text for people. */

import type { CheckResult, Finding } from '../engine/check.ts';
import type { ExportResult } from '../engine/export-options.ts';
import type { DiskInfo, ImageInfo, LayerInfo } from '../engine/info.ts';
import type { UploadResult } from '../engine/upload-options.ts';
import type { VerifyResult } from '../engine/verify.ts';
import type { WriteResult } from '../engine/write.ts';
import type { ImportResult } from '../xen/import.ts';
import type { LeftOverVbd } from '../xen/left-over-vbd.ts';
import type { LeftOver, ReapResult } from '../xen/reap.ts';
import { human, rate } from './sizes.ts';

/** `columns` are those of the terminal: a map of the data gets as wide as fits. */
export function infoTable(source: string, image: ImageInfo, columns: number): string[] {
  const kind = { tar: 'tar archive', vhd: 'VHD', raw: 'raw disk' }[image.kind];
  const packed = image.compression === 'none' ? '' : `, ${image.compression}`;
  const disks = image.disks.flatMap((disk) => ['', ...diskTable(disk, columns)]);
  const ignored = image.ignored.length === 0 ? [] : ['', row('ignored', image.ignored.join(', '))];
  return [`${source}: ${kind}${packed}`, ...disks, ...ignored];
}

const LABEL = 12;
export const row = (name: string, value: string): string => `  ${name.padEnd(LABEL)}  ${value}`;

function diskTable(disk: DiskInfo, columns: number): string[] {
  const rows = [
    row('disk', disk.member ?? '(the whole file)'),
    row('type', disk.layers.length === 1 ? disk.type : `chain of ${disk.layers.length} layers`),
    row('virtual size', `${disk.virtualSize} bytes (${human(disk.virtualSize)})`),
  ];
  if (disk.layers.length > 1) return [...rows, ...disk.layers.flatMap((layer, index) => layerRows(layer, index, columns))];
  return [
    ...rows,
    row('allocated', allocated(disk)),
    row('block size', disk.blockSize === undefined ? 'none' : human(disk.blockSize)),
    row('creator', disk.creator ?? 'unknown'),
    row('data', drawMap(disk.map, columns)),
  ];
}

function layerRows(layer: LayerInfo, index: number, columns: number): string[] {
  const blocks = layer.blockSize === undefined ? '' : `, blocks of ${human(layer.blockSize)}`;
  const summary = `${layer.type}, ${human(layer.virtualSize)}, ${allocated(layer)}${blocks}, by ${layer.creator ?? 'unknown'}`;
  return [row(index === 0 ? 'leaf' : `parent ${index}`, `${layer.member ?? '(a file)'}: ${summary}`), row('', drawMap(layer.map, columns))];
}

function allocated({ allocatedBytes, virtualSize }: LayerInfo): string {
  return `${allocatedBytes} bytes (${human(allocatedBytes)}, ${Math.round((100 * allocatedBytes) / virtualSize)}%)`;
}

const SHADES = ['░', '▒', '▓', '█'];

/** One character per cell, or for several: · is empty, then a quarter, half, three quarters, all. */
function drawMap(map: readonly number[], columns: number): string {
  return narrowed(map, Math.max(1, columns - LABEL - 4))
    .map((share) => (share === 0 ? '·' : (SHADES[Math.min(3, Math.floor(share * 4))] ?? '')))
    .join('');
}

/** The same map in at most `width` cells of equal size. Counts in parts of which a cell of the map has `width`, so the sums are exact. */
function narrowed(map: readonly number[], width: number): readonly number[] {
  if (map.length <= width) return map;
  return Array.from({ length: width }, (_, cell) => {
    const [start, end] = [cell * map.length, (cell + 1) * map.length];
    const parts = map.map((share, index) => share * Math.max(0, Math.min(end, (index + 1) * width) - Math.max(start, index * width)));
    return Math.min(1, parts.reduce((sum, part) => sum + part, 0) / map.length);
  });
}

export function writeSummary(result: WriteResult): string[] {
  const name = result.member ?? 'the disk';
  const what = result.layers > 1 ? `${name}, a chain of ${result.layers} layers` : name;
  const parts = [`${human(result.bytesWritten)} written`, `${human(result.bytesZeroed)} zeroed`, `${human(result.bytesSkipped)} skipped`];
  if (result.bytesRewritten > 0) parts.push(`${human(result.bytesRewritten)} written again`);
  const verified = result.verified ? ', verified' : '';
  const pace = `${result.seconds.toFixed(2)} s, ${rate(result.bytesWritten, result.seconds)}`;
  const ignored = result.ignored.length === 0 ? [] : [`Not part of the disk: ${result.ignored.join(', ')}.`];
  return [`Wrote ${what} (${human(result.virtualSize)}) to ${result.target}: ${parts.join(', ')}${verified}; ${pace}.`, ...ignored];
}

export function exportSummary(result: ExportResult): string[] {
  const names = result.disks.map(({ source, virtualSize }) => `${source} (${human(virtualSize)})`).join(', ');
  const data = result.disks.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0);
  const verified = result.verified ? ', verified' : '';
  const pace = `${result.seconds.toFixed(2)} s, ${rate(data, result.seconds)}`;
  return [`Exported ${names} to ${result.output}: ${human(data)} of data in ${human(result.bytesWritten)}${verified}; ${pace}.`];
}

export function uploadSummary(result: UploadResult): string[] {
  const { image, endpoint, diskFormat, containerFormat, bytesWritten, compared, seconds } = result;
  const checked = compared === undefined ? 'not compared' : `${compared} compared`;
  const pace = `${seconds.toFixed(2)} s, ${rate(bytesWritten, seconds)}`;
  return [`Uploaded ${human(bytesWritten)} to image ${image} at ${endpoint} (${diskFormat}, ${containerFormat}): ${checked}; ${pace}.`];
}

export function verifySummary(result: VerifyResult): string[] {
  const pace = `${result.seconds.toFixed(2)} s, ${rate(result.bytesCompared, result.seconds)}`;
  return [`${result.target} holds the image: ${human(result.bytesCompared)} compared; ${pace}.`];
}

export function checkTable(source: string, { findings, disks, ok }: CheckResult): string[] {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const counts = `${count(errors, 'error')}, ${count(findings.length - errors, 'warning')}, ${count(disks.length, 'disk')}`;
  return [...findings.flatMap(findingLines), `${source}: ${ok ? 'good' : 'damaged'}: ${counts}`];
}

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

function findingLines({ severity, code, message, advice, member, offset }: Finding): string[] {
  const place = [member, offset === undefined ? undefined : `at byte ${offset}`].filter((part) => part !== undefined).join(' ');
  const line = `${severity.padEnd(8)} ${place === '' ? '' : `${place}: `}${message} (${code})`;
  return advice === undefined ? [line] : [line, `         ${advice}`];
}

export const importSummary = (result: ImportResult): string[] => [
  ...writeSummary(result),
  `VDI ${result.vdi} "${result.name}" has ${human(result.vdiSize)} on SR ${result.sr}.`,
];

export function reapTable(result: ReapResult): string[] {
  const lines = reapLines(result);
  return lines.length === 0 ? ['No left-over VDIs found.'] : lines;
}

/** What could not be removed, which --quiet does not suppress. */
export const reapFailures = ({ leftOvers, leftOverVbds }: ReapResult): string[] =>
  reapLines({
    leftOvers: leftOvers.filter(({ left }) => left.length > 0),
    leftOverVbds: leftOverVbds.filter(({ left }) => left.length > 0),
  });

const reapLines = ({ leftOvers, leftOverVbds }: Pick<ReapResult, 'leftOvers' | 'leftOverVbds'>): string[] => [
  ...leftOverLines(leftOvers),
  ...leftOverVbds.map((leftOver) => `VBD ${leftOver.vbd ?? '(unknown)'} of VDI ${leftOver.vdi}  ${vbdStatusOf(leftOver)}`),
];

function vbdStatusOf({ owner, pid, removed, left, doubt }: LeftOverVbd): string {
  if (owner === 'running') return `left alone: its export is still running (pid ${pid})`;
  if (owner === 'unproven') return `left alone: nothing proves that an export created it: ${doubt}`;
  return removalOf(removed, left);
}

const leftOverLines = (leftOvers: readonly LeftOver[]): string[] =>
  leftOvers.flatMap((leftOver) => [`${leftOver.vdi}  ${statusOf(leftOver)}`, ...commandLines(leftOver)]);

const commandLines = ({ commands }: LeftOver): string[] =>
  Object.entries(commands ?? {}).map(([purpose, command]) => `    to ${`${purpose}:`.padEnd(8)} ${command}`);

function statusOf({ owner, host, pid, removed, left, doubt }: LeftOver): string {
  if (owner === 'running') return `left alone: its import is still running (pid ${pid})`;
  if (owner === 'other-host') return `left alone: its import ran on host ${host}`;
  if (owner === 'unproven') return `left alone: nothing proves that an import created it: ${doubt}`;
  return removalOf(removed, left);
}

function removalOf(removed: boolean, left: readonly string[]): string {
  if (removed) return 'removed';
  return left.length === 0 ? 'a left-over: would be removed' : `could not be removed: ${left.join('; ')}`;
}
