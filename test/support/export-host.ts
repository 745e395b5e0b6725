/** Exports of a VDI that belongs to others, on the hosts of import-host.ts. */

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type ExportOptions, exportDisk, VdiStreamError, vdiDisk, verifyDisk } from '../../src/index.ts';
import { answer } from '../stand-in/answer.ts';
import { assertClean, type Kept } from '../stand-in/clean.ts';
import { content, type Place } from './import-host.ts';
import { bytesOf } from './imported.ts';

/** The commands of an export in their order; a number distinguishes repeated ones. */
export const EXPORT_STEPS = [
  'vm-list',
  'vdi-param-get',
  'vdi-param-get 2',
  'vdi-list',
  'vbd-list',
  'vbd-list 2',
  'vbd-list 3',
  'vbd-create',
  'vbd-param-set',
  'vbd-plug',
  'vbd-list 4',
  'vbd-list 5',
  'vbd-unplug',
  'vbd-destroy',
] as const;

export type ExportStep = (typeof EXPORT_STEPS)[number];

/** A VDI of 6 MiB that holds `content`, as its guest left it. Not of a raw volume, which gets old data when it is plugged first. */
export async function guestVdi({ host, sr }: Place, ...more: readonly string[]): Promise<string> {
  const vdi = await answer(host, ['vdi-create', `sr-uuid=${sr}`, 'name-label=guest', `virtual-size=${6 * 2 ** 20}`, ...more]);
  const { disk } = host.state().vdi.find(({ uuid }) => uuid === vdi) ?? {};
  writeFileSync(disk?.path ?? '', content, { flag: 'r+' });
  return vdi;
}

/** Where `exported` writes: the only file in its folder. */
export const outputOf = ({ host }: Place): string => join(host.folder, 'out', 'image.vhd');

export interface Exported {
  readonly error?: VdiStreamError;
  readonly warnings: readonly string[];
}

export async function exported(place: Place, vdi: string, options: ExportOptions = {}, xe = place.xe): Promise<Exported> {
  const warnings: string[] = [];
  try {
    await exportDisk(vdiDisk(vdi, { xe }), outputOf(place), { onWarning: ({ code }) => void warnings.push(code), ...options });
    return { warnings };
  } catch (error) {
    if (!(error instanceof VdiStreamError)) throw error;
    return { error, warnings };
  }
}

/** The image is that of the VDI, whose bytes are as they were. */
export async function expectImage(place: Place, vdi: string, output = outputOf(place)): Promise<void> {
  const { disk } = place.host.state().vdi.find(({ uuid }) => uuid === vdi) ?? {};
  expect(await verifyDisk(output, disk?.path ?? '')).toMatchObject({ virtualSize: 6 * 2 ** 20 });
  expectUntouched(place, vdi);
}

/** The VDI is there, with its bytes and without a tag; nothing is attached. */
export function expectUntouched({ host }: Place, vdi: string, { vdis = [], vbds = [] }: Kept = {}): void {
  assertClean(host, { vdis: [...vdis, vdi], vbds });
  expect(host.state().vdi.find(({ uuid }) => uuid === vdi)).toMatchObject({ nameLabel: 'guest', tags: [], otherConfig: {} });
  expect(Buffer.compare(bytesOf(host, vdi).subarray(0, content.length), content)).toBe(0);
}

/** Tokens of the records that are kept. */
export const keptRecords = ({ xe: { records = '' } }: Place): string[] => (existsSync(records) ? readdirSync(records) : []);

/** Names in the folder of the output, hidden ones too. */
export const filesOf = (place: Place): string[] => readdirSync(join(place.host.folder, 'out'));

export const removeOutput = (place: Place): void => rmSync(outputOf(place), { force: true });

export const imageBytes = (place: Place): Buffer => readFileSync(outputOf(place));
