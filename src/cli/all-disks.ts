/** `import --all-disks`, and what it shows of the result. */

import { VdiStreamError } from '../errors.ts';
import { dryRunImportDisks, type ImportDisksDryRun } from '../xen/dry-run-disks.ts';
import type { ImportResult } from '../xen/import.ts';
import { importDisks } from '../xen/import-disks.ts';
import { NOTHING, srRows } from './dry-run-tables.ts';
import { type Invocation, srOptions } from './invocation.ts';
import { human } from './sizes.ts';
import { importSummary, row } from './tables.ts';

interface Lines {
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

/** Throws USAGE for an option that is about one disk. */
export async function importAllDisks(call: Invocation): Promise<Lines & { readonly result: object }> {
  const { values, inputs } = call;
  for (const name of ['disk', 'virtual-size', 'device'] as const) {
    if (values.text(name) !== undefined)
      throw new VdiStreamError('USAGE', `--${name} is about one disk, so it cannot be used with --all-disks`);
  }
  const { disk, virtualSize, ...options } = srOptions(call);
  const quiet = values.flag('quiet');
  if (values.flag('dry-run')) {
    const result = await dryRunImportDisks(inputs, options);
    return { result, stdout: quiet ? [] : dryRunTable(result), stderr: [] };
  }
  const disks = await importDisks(inputs, options);
  // As for one disk, the UUIDs are the result.
  return { result: { disks }, stdout: vdiLines(disks), stderr: quiet ? [] : summary(disks) };
}

/** A line for each VDI: its UUID and, of an archive, the member. */
const vdiLines = (results: readonly ImportResult[]): string[] =>
  results.map(({ vdi, member }) => (member === undefined ? vdi : `${vdi}  ${member}`));

/** The files that belong to no disk are the same in each result. */
function summary(results: readonly ImportResult[]): string[] {
  const lines = results.map((result) => importSummary({ ...result, ignored: [] }));
  const ignored = results[0]?.ignored ?? [];
  return [...lines.flat(), ...(ignored.length === 0 ? [] : [`Not part of a disk: ${ignored.join(', ')}.`])];
}

function dryRunTable(found: ImportDisksDryRun): string[] {
  const disks = found.disks.map(({ name, member, type, layers, virtualSize, allocatedBytes }) => {
    const what = [member ?? '(the whole image)', type, `${layers} layer${layers === 1 ? '' : 's'}`].join(', ');
    return [
      row('disk', what),
      row('', `${virtualSize} bytes (${human(virtualSize)}), ${human(allocatedBytes)} of it allocated`),
      row('', `VDI "${name}"`),
    ];
  });
  const { virtualSize } = found;
  return [
    NOTHING,
    '',
    ...disks.flat(),
    row('all disks', `${found.disks.length}, ${virtualSize} bytes (${human(virtualSize)})`),
    ...srRows(found, 'one for each disk'),
    ...(found.ignored.length === 0 ? [] : [row('ignored', found.ignored.join(', '))]),
  ];
}
