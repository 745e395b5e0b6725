/** `write --dry-run` and `import --dry-run`: a table, or JSON; the exit status of the run itself. */

import { readFileSync, truncateSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { assertClean } from '../stand-in/clean.ts';
import { host, MiB, made, refused, run, sr, stored } from '../support/cli-import.ts';
import { deadImport } from '../support/dead-import.ts';
import { content, vhd } from '../support/glance-stand-in.ts';
import { withLoop } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');
const HEAD = 'Nothing was written. This is what would be:\n\n';
const DISK = `  disk          (the whole image), dynamic, 1 layer\n  virtual size  ${content.length} bytes (`;

const images = () => stored('image.vhd', vhd);

describe('write --dry-run', () => {
  test('prints a table, and leaves the target as it is', async () => {
    const path = stored('disk.raw', Buffer.alloc(content.length + 4096, 0xaa));
    const { status, stdout, stderr } = await run(['write', images(), path, '--dry-run', '--force=content']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.startsWith(`${HEAD}${DISK}`)).toBe(true);
    expect(stdout).toContain(`\n  target        ${path}\n                a file of ${content.length} bytes`);
    expect(stdout).toContain('\n  after disk    nothing\n');
    expect(stdout).toMatch(/\n {2}empty {9}zeroed \(policy auto; the target is not known to read as zero\)\n$/);
    expect(readFileSync(path).equals(Buffer.alloc(content.length + 4096, 0xaa))).toBe(true);
    expect(await run(['write', images(), path, '--dry-run', '--quiet', '--force=content'])).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('prints JSON', async () => {
    const { status, stdout } = await run(['write', images(), 'null:', '--dry-run', '--json']);
    expect({ status, ...JSON.parse(stdout) }).toMatchObject({
      status: 0,
      target: 'null:',
      virtualSize: content.length,
      emptyRegions: 'skip',
    });
  });

  test('exits as the write would', async () => {
    const image = images();
    const statusOf = async (...args: string[]) => {
      const { status, stdout, stderr } = await run(['write', ...args, '--dry-run']);
      expect(stdout).toBe('');
      return { status, code: /\(([A-Z_]+)\)/.exec(stderr)?.[1] };
    };
    expect(await statusOf(image, '/dev/null')).toEqual({ status: 3, code: 'TARGET_TYPE' });
    expect(await statusOf(image, image)).toEqual({ status: 2, code: 'USAGE' });
    expect(await statusOf('/nowhere.vhd', 'null:')).toEqual({ status: 1, code: 'SOURCE_OPEN' });
  });
});

describe('import --dry-run', () => {
  test('prints a table, and creates no VDI', async () => {
    const { status, stdout, stderr } = await run(['import', images(), '--sr', sr, '--dry-run', '--name', 'web']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.startsWith(`${HEAD}${DISK}`)).toBe(true);
    expect(stdout).toContain(`\n  host          ${host.uuid}\n  SR            ${sr} (ext)\n  free          `);
    expect(stdout).toContain('\n  VDI           "web", a VHD, if the SR has them; new disks read as zero\n');
    assertClean(host, { vdis: made });
  });

  test('prints JSON, what the SR lacks, and the VDI that would be removed first', async () => {
    const small = await host.sr('ext', { size: 4096 });
    const left = await deadImport(host, small);
    const args = ['import', images(), '--sr', small, '--dry-run'];
    const { stdout } = await run([...args, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ freeBytes: 0, shortfall: content.length, leftOvers: [{ vdi: left, removed: false }] });
    const table = (await run(args)).stdout;
    expect(table).toContain(`0 bytes (0 B); the disk at its full size needs ${content.length} bytes`);
    expect(table).toContain(`\n  left-over     ${left} (pid 1) would be removed first\n`);
    await host.run(['vdi-destroy', `uuid=${left}`]);
  });

  test('rejects for a volume that cannot fit, and without a destination', async () => {
    const full = await host.sr('lvm', { size: 4096 });
    expect(await refused([images(), '--sr', full, '--dry-run'], 1)).toContain('(SR_FULL)');
    expect(await refused([images(), '--dry-run'], 2)).toContain('import needs a destination');
  });

  test('with --device says whether the device is attached', async () => {
    await withLoop({ size: 4 * MiB, fill: 0xaa }, async ({ path, holds }) => {
      const { status, stdout, stderr } = await run(['import', images(), '--device', path, '--dry-run']);
      expect(status).toBe(0);
      expect(stdout).toMatch(/\n {2}attached {6}no, so all guards apply\n$/);
      expect(stderr).toMatch(/^vdistream: warning: .* \(DEVICE_NOT_ATTACHED\)$/m);
      expect(holds(0xaa, 0, 4 * MiB)).toBe(true);
    });
    const file = stored('small.raw', '');
    truncateSync(file, 4 * MiB);
    expect(await refused([images(), '--device', '/dev/null', '--dry-run'], 3)).toContain('(TARGET_TYPE)');
    expect(await refused([images(), '--device', file, '--dry-run', '--name', 'a'], 2)).toContain('--name has no effect');
  });
});
