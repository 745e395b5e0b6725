/** Import of all disks of an archive: one VDI each, in one pass, all or none. */

import { checkOptions } from '../arguments.ts';
import { inputOf } from '../engine/input.ts';
import { bytesRead } from '../engine/job.ts';
import type { DiskInput } from '../engine/options.ts';
import { summedProgress } from '../engine/progress.ts';
import { refuseToSum, writeTo } from '../engine/write.ts';
import { type ImportResult, importTools } from './import.ts';
import type { ImportDisksOptions } from './options.ts';
import { withPreparedSeries } from './prepare.ts';
import { withVdis } from './vdi.ts';
import { vdiName } from './vdi-name.ts';

/**
 * Creates a VDI on a storage repository for each disk of an archive, and writes the disks in the order in which they come. A chain is one disk.
 *
 * Resolves once the image has been read to its end and checked, all disks are synced to the medium, and all VDIs are detached. Otherwise rejects
 * with a VdiStreamError: all VDIs and their VBDs have been removed, or the error's `left` lists what has not.
 */
export async function importDisks(given: DiskInput, allOptions: ImportDisksOptions): Promise<ImportResult[]> {
  const input = inputOf('importDisks', given);
  checkOptions('importDisks', allOptions);
  const { xe, ...options } = allOptions;
  const { zero, verify, force } = options;
  const { toolstack, reaper, takeOwnership } = importTools(xe);
  const nextProgress = summedProgress(options.onProgress);
  return withPreparedSeries(toolstack, reaper, input, { ...options, dryRun: false }, async (prepared) => {
    const { sr, name: given, source, raw, readsZero, signal, opened } = prepared;
    const { disks, sources, job } = opened;
    /** What was counted before the disk at hand. */
    let before = { bytes: 0, seconds: 0, warnings: 0 };
    const countsSince = () => {
      const now = { bytes: bytesRead(sources), seconds: job.seconds(), warnings: job.warnings.length };
      const warnings = job.warnings.slice(before.warnings);
      const counts = { bytesRead: now.bytes - before.bytes, seconds: now.seconds - before.seconds, warnings };
      before = now;
      return counts;
    };
    return withVdis(
      toolstack,
      async (fill) => {
        const results: ImportResult[] = [];
        let next = await disks.next();
        for (; !next.done; next = await disks.next()) {
          const chosen = next.value;
          if (verify) refuseToSum(chosen.virtualSize);
          const name = vdiName({ name: given, source, member: chosen.member, index: results.length });
          const onProgress = nextProgress();
          const imported = await fill({ sr, name, size: chosen.virtualSize, raw }, async ({ vdi, size, target }) => {
            const written = await writeTo(target, chosen, sources, { zero, zeroTail: true, verify, force, signal, onProgress }, job);
            return { ...written, vdi, sr, name, vdiSize: size };
          });
          results.push({ ...imported, ...countsSince() });
        }
        const { ignored } = next.value;
        return results.map((result) => ({ ...result, ignored }));
      },
      // An explicit `zero` policy applies even if new disks read as zero.
      { readsZero: readsZero && zero === undefined, takeOwnership, signal, onWarning: job.warn },
    );
  });
}
