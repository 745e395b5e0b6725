import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished } from 'vitest';
import { writeDisk } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { loopDevice } from '../support/loop.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;
const vhd = dynamicVhd({ size: 4 * MIB, blocks: new Map([[1, Buffer.alloc(2 * MIB, 'data')]]) });
const child = fileURLToPath(new URL('../support/write-once.mjs', import.meta.url));

/** Every guard is lifted, so that only the rule that source and target differ can refuse. */
const force = ['type', 'busy', 'size', 'vhd', 'content'] as const;

/** Neither may be written over the other; the source is the same before and after. */
async function expectSame(source: string, target: string): Promise<void> {
  const before = readFileSync(source);
  expect(await failure(writeDisk(source, target, { force }))).toMatchObject({
    code: 'USAGE',
    exitCode: 2,
    message: expect.stringContaining('shares bytes'),
  });
  expect(readFileSync(source).equals(before)).toBe(true);
}

/** A file that begins with an image, and a loop device over it. */
function imageOnLoop(): { file: string; loop: string } {
  const file = join(testFolder(), 'image.vhd');
  writeFileSync(file, Buffer.concat([vhd, Buffer.alloc(8 * MIB - vhd.length)]));
  return { file, loop: attached(file) };
}

function attached(file: string, ...options: readonly string[]): string {
  const loop = execFileSync('losetup', ['--find', '--show', ...options, file], { encoding: 'utf8' }).trim();
  onTestFinished(() => void execFileSync('losetup', ['--detach', loop]));
  return loop;
}

describe('source and target are one', () => {
  testWith('loop')('if either is a loop device over the other, or both are over one file', async () => {
    const { file, loop } = imageOnLoop();
    await expectSame(file, loop);
    await expectSame(loop, file);
    await expectSame(loop, attached(file));
    await expectSame(file, attached(loop));
  });

  testWith('loop')('if one is a partition of the other', async () => {
    const device = loopDevice({ size: 16 * MIB, parts: true });
    onTestFinished(device.detach);
    execFileSync('addpart', [device.path, '1', '2048', '16384']);
    onTestFinished(() => void execFileSync('delpart', [device.path, '1']));
    const part = `${device.path}p1`;
    if (!existsSync(part)) {
      const numbers = readFileSync(`/sys/class/block/${basename(part)}/dev`, 'latin1')
        .trim()
        .split(':');
      execFileSync('mknod', [part, 'b', ...numbers]);
      onTestFinished(() => unlinkSync(part));
    }
    execFileSync('dd', [`of=${part}`, 'conv=fsync', 'status=none'], { input: vhd });
    await expectSame(part, device.path);
    execFileSync('dd', [`of=${device.path}`, 'conv=fsync', 'status=none'], { input: vhd });
    await expectSame(device.path, part);
  });

  testWith('loop')('if standard input is the device', async () => {
    const { file, loop } = imageOnLoop();
    for (const target of [loop, file]) {
      const { stdout } = spawnSync(process.execPath, [child, '-', target, JSON.stringify({ force })], {
        stdio: [openSync(loop, 'r'), 'pipe', 'inherit'],
        encoding: 'utf8',
      });
      expect(JSON.parse(stdout)).toMatchObject({ code: 'USAGE', message: expect.stringContaining('shares bytes') });
    }
    expect(readFileSync(file).subarray(0, vhd.length).equals(vhd)).toBe(true);
  });

  testWith('loop')('but a block device as standard input is read', async () => {
    const { loop } = imageOnLoop();
    const target = join(testFolder(), 'disk.raw');
    const { stdout } = spawnSync(process.execPath, [child, '-', target], {
      stdio: [openSync(loop, 'r'), 'pipe', 'inherit'],
      encoding: 'utf8',
    });
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, bytesWritten: 2 * MIB });
  });

  testWith('loop')('but not two loop devices over two files', async () => {
    const { file } = imageOnLoop();
    const other = join(testFolder(), 'other.raw');
    writeFileSync(other, Buffer.alloc(8 * MIB));
    expect(await writeDisk(file, attached(other))).toMatchObject({ bytesWritten: 2 * MIB });
  });
});
