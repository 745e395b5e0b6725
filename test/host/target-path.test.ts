import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deviceTarget } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;
const NAME = 'vdistream-test-no-such-device';

/** Opens and abandons, to see whether it is allowed. */
async function tryOpen(path: string): Promise<void> {
  await (await deviceTarget(path).open({ size: MIB })).abandon();
}

describe('no file is created among the device nodes', () => {
  test.each([
    ['with two slashes', () => `//dev//${NAME}`],
    ['through a folder beside it', () => `/tmp/../dev/./${NAME}`],
    ['by a relative path', () => relative(process.cwd(), `/dev/${NAME}`)],
    [
      'through a symbolic link to the folder',
      () => {
        const link = join(testFolder(), 'link');
        symlinkSync('/dev', link);
        return join(link, NAME);
      },
    ],
  ])('%s', async (_how, path) => {
    expect(await failure(tryOpen(path()))).toMatchObject({ code: 'TARGET_OPEN', errno: 2 });
    expect(existsSync(`/dev/${NAME}`)).toBe(false);
  });

  testWith('root')('in any place that file system is mounted', async () => {
    const folder = join(testFolder(), 'nodes');
    mkdirSync(folder);
    execFileSync('mount', ['--bind', '/dev', folder]);
    onTestFinished(() => void execFileSync('umount', [folder]));
    expect(await failure(tryOpen(join(folder, NAME)))).toMatchObject({ code: 'TARGET_OPEN', errno: 2 });
    expect(existsSync(`/dev/${NAME}`)).toBe(false);
  });

  testWith('root')('nor is a file written that is there by mistake', async () => {
    const path = `/dev/${NAME}`;
    writeFileSync(path, '');
    onTestFinished(() => unlinkSync(path));
    expect(await failure(tryOpen(path))).toMatchObject({ code: 'TARGET_TYPE', message: expect.stringContaining('among the device nodes') });
    expect(readFileSync(path, 'utf8')).toBe('');
  });

  test('but on a file system that is mounted below it', async () => {
    const path = `/dev/shm/${NAME}`;
    await tryOpen(path);
    expect(existsSync(path)).toBe(false);
  });
});

describe('what is refused by type has not been opened', () => {
  test('the reader of a FIFO keeps waiting for its writer', async () => {
    const path = join(testFolder(), 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = spawn('cat', [path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(reader, 'exit');
    let text = '';
    reader.stdout.on('data', (bytes) => {
      text += String(bytes);
    });
    expect(await failure(tryOpen(path))).toMatchObject({ code: 'TARGET_TYPE', message: expect.stringContaining('a FIFO') });
    // Opening waits for the reader, so the reader is still there.
    writeFileSync(path, 'from its writer');
    await ended;
    expect(text).toBe('from its writer');
  });

  test.each(['/proc/self/mem', '/proc/self/comm', '/sys/kernel/mm/transparent_hugepage/enabled'])(
    '%s is a file of the kernel',
    async (path) => {
      expect(await failure(tryOpen(path))).toMatchObject({
        code: 'TARGET_TYPE',
        exitCode: 3,
        guard: 'type',
        message: expect.stringContaining('a file of the kernel'),
      });
    },
  );

  test.each([
    ['a character device', () => '/dev/null'],
    ['a directory', testFolder],
  ])('%s is named in the message', async (what, path) => {
    expect(await failure(tryOpen(path()))).toMatchObject({ code: 'TARGET_TYPE', message: expect.stringContaining(`is ${what}`) });
  });
});
