import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { defaultLockFolder, defaultRecordFolder, preparePrivateFolder } from '../../src/host/private-folder.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';

describe('a private folder', () => {
  const newPath = (): string => join(testFolder(), 'a', 'private');
  const refused = (path: string): Promise<unknown> => failure((async () => preparePrivateFolder(path, 'RECORD'))());
  const error = (message: string) => expect.objectContaining({ code: 'RECORD', message });

  test('is created for its user alone, and accepted as it is the next time', () => {
    const path = newPath();
    preparePrivateFolder(path, 'RECORD');
    expect(statSync(path).mode % 0o10000).toBe(0o700);
    preparePrivateFolder(path, 'RECORD');
  });

  test('is refused if it is a link, even to a private folder', async () => {
    const folder = testFolder();
    mkdirSync(join(folder, 'real'), { mode: 0o700 });
    symlinkSync('real', join(folder, 'link'));
    const path = join(folder, 'link');
    expect(await refused(path)).toEqual(error(`${path} is not a folder but a link or a file. Find out who created it, then remove it`));
  });

  test('is refused if it is a link that leads nowhere, or a file', async () => {
    const folder = testFolder();
    symlinkSync('nowhere', join(folder, 'link'));
    writeFileSync(join(folder, 'file'), '');
    for (const name of ['link', 'file']) expect(await refused(join(folder, name))).toMatchObject({ code: 'RECORD' });
  });

  testWith('root')('is refused if it belongs to another user', async () => {
    const path = newPath();
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chownSync(path, 65_534, 65_534);
    expect(await refused(path)).toEqual(error(`${path} belongs to user 65534, not to user 0. Find out who created it, then remove it`));
  });

  test.each([0o755, 0o770, 0o701, 0o1777])('is refused if its mode is %o', async (mode) => {
    const path = newPath();
    mkdirSync(path, { recursive: true });
    chmodSync(path, mode);
    const text = `other users may access ${path} (mode ${mode.toString(8)}). Check what is in it, then run: chmod 700 ${path}`;
    expect(await refused(path)).toEqual(error(text));
  });
});

describe('the folder for locks and the one for records', () => {
  test('are those of the system for root', () => {
    vi.spyOn(process, 'geteuid').mockReturnValue(0);
    expect([defaultLockFolder(), defaultRecordFolder()]).toEqual(['/run/vdistream', '/var/lib/vdistream']);
    vi.restoreAllMocks();
  });

  test('belong to the user for anybody else', () => {
    vi.spyOn(process, 'geteuid').mockReturnValue(1234);
    vi.stubEnv('XDG_RUNTIME_DIR', '/run/user/1234');
    vi.stubEnv('XDG_STATE_HOME', '/home/x/.state');
    expect([defaultLockFolder(), defaultRecordFolder()]).toEqual(['/run/user/1234/vdistream', '/home/x/.state/vdistream']);
    vi.stubEnv('XDG_RUNTIME_DIR', '');
    vi.stubEnv('XDG_STATE_HOME', 'relative');
    expect(defaultLockFolder()).toMatch(/\/vdistream-1234$/);
    expect(defaultRecordFolder()).toMatch(/\/\.local\/state\/vdistream$/);
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
  });
});
