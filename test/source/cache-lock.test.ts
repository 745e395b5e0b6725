/** The locks of a cache: who fetches an image that several need, and who cannot hold that up. */

import { chownSync, existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { withEntryLock } from '../../src/source/entry-lock.ts';
import type { Warning } from '../../src/warnings.ts';
import { entry, expectImage, image, MiB } from '../support/cached-image.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { digestOf, imageOpener, use } from '../support/image-opener.ts';
import { testWith } from '../support/needs.ts';
import { openFilesIn } from '../support/open-files.ts';
import { imageServer, stagingProcesses } from '../support/staging-process.ts';

const startProcess = stagingProcesses();
const lockOf = (folder: string, uid = process.geteuid?.()): string => join(folder, `.vdistream-lock-${uid}-${entry}`);

function foreignFile(path: string): void {
  writeFileSync(path, '');
  chownSync(path, 65_534, 65_534);
}

/** A process that fetches the image into the folder, and never ends. */
async function fetching(folder: string) {
  const { url } = await imageServer(image, (response) => void response.write(image.subarray(0, 100_000)));
  const fetcher = startProcess({ does: 'cached', url, folder, size: MiB, digest: digestOf(image) });
  await fetcher.said('read');
  return fetcher;
}

describe('the lock of an entry', () => {
  test('that another process holds is waited for, which is reported, and passes on when that process is killed', async () => {
    const folder = testFolder();
    const fetcher = await fetching(folder);
    const warnings: Warning[] = [];
    const opening = expectImage(imageOpener(image), folder, { onWarning: (warning) => warnings.push(warning) });
    const message = `waiting for the lock ${lockOf(folder)}, which process ${fetcher.child.pid} holds`;
    await vi.waitFor(() => expect(warnings).toEqual([{ code: 'LOCK_WAIT', message }]), 60_000);
    await fetcher.kill();
    await opening;
    expect(readdirSync(folder).filter((name) => !name.includes('-2.'))).toEqual([entry]);
  });

  test('is not waited for once the signal has fired', async () => {
    const folder = testFolder();
    const fetcher = await fetching(folder);
    const stop = new AbortController();
    const opening = failure(use(imageOpener(image), folder, { signal: stop.signal, onWarning: () => stop.abort() }));
    expect(await opening).toMatchObject({ code: 'CANCELLED' });
    expect(openFilesIn(folder)).toEqual([]);
    await fetcher.kill();
  });

  test('shows progress while its holder fetches, so that nobody gives up on it', async () => {
    const folder = testFolder();
    let times = 0;
    let seen = 0;
    const opener = imageOpener(image, {
      attempts: [
        async function* () {
          for (let at = 0; at < image.length; at += 100_000) {
            const { mtimeMs } = statSync(lockOf(folder));
            if (mtimeMs !== seen) times++;
            seen = mtimeMs;
            await new Promise((resolve) => setTimeout(resolve, 1100));
            yield image.subarray(at, at + 100_000);
          }
        },
      ],
    });
    await expectImage(opener, folder);
    expect(times).toBeGreaterThanOrEqual(3);
  });

  describe.each([
    ['a link', (path: string) => symlinkSync('/dev/null', path), testWith()],
    ['of another user', foreignFile, testWith('root')],
  ] as const)('is refused if its file is %s', (_, create, run) => {
    run('with the path', async () => {
      const folder = testFolder();
      create(lockOf(folder));
      const error = await failure(use(imageOpener(image), folder));
      expect(error).toMatchObject({ code: 'CACHE', message: expect.stringContaining(lockOf(folder)) });
      rmSync(lockOf(folder));
      await expectImage(imageOpener(image), folder);
    });
  });

  testWith('root')('cannot be held by another user in a shared folder', async () => {
    const folder = testFolder();
    chownSync(folder, 65_534, 65_534);
    const hold = { does: 'hold', path: lockOf(folder, 65_534) };
    const stranger = startProcess(hold, ['setpriv', '--reuid=65534', '--clear-groups']);
    await stranger.said('holding');
    const onWarning = vi.fn();
    await expectImage(imageOpener(image), folder, { onWarning });
    expect(onWarning).not.toHaveBeenCalled();
    expect(existsSync(lockOf(folder, 65_534))).toBe(true);
  });
});

test('the next use of a cache removes lock files of processes that were killed, and no others', async () => {
  const folder = testFolder();
  const fetcher = await fetching(folder);
  expect(readFileSync(lockOf(folder), 'utf8')).toContain(`.${fetcher.child.pid}.`);
  await fetcher.kill();
  const other = Buffer.from('another image');
  await withEntryLock(
    folder,
    digestOf(Buffer.from('third')),
    async () => {
      await use(imageOpener(other), folder);
      const names = readdirSync(folder).filter((name) => name.startsWith('.vdistream-lock-'));
      expect(names).toEqual([expect.stringContaining(digestOf(Buffer.from('third')).hex)]);
    },
    {},
  );
  expect(readdirSync(folder)).toEqual([`sha256-${digestOf(other).hex}`]);
});
