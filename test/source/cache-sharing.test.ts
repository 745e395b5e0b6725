import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import { entry, expectImage, image, MiB, other } from '../support/cached-image.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { type CountedOpener, digestOf, failing, imageOpener, nameOf, stalling, use } from '../support/image-opener.ts';
import { testWith } from '../support/needs.ts';
import { openFilesIn } from '../support/open-files.ts';
import { imageServer, type Outcome, stagingProcesses } from '../support/staging-process.ts';

const startProcess = stagingProcesses();

describe('a cancelled call leaves nothing behind', () => {
  async function cancelled(opener: CountedOpener, folder: string): Promise<void> {
    const controller = new AbortController();
    const onRead = (): void => void setImmediate(() => controller.abort());
    expect(await failure(use(opener, folder, { signal: controller.signal, onRead }))).toMatchObject({ code: 'CANCELLED' });
    expect(opener.opened()).toBe(opener.closed());
    expect(openFilesIn(folder)).toEqual([]);
  }

  test('while it fetches the image', async () => {
    const folder = testFolder();
    await cancelled(imageOpener(image, { attempts: [() => stalling(image)] }), folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('while it checks an entry', async () => {
    const folder = testFolder();
    const large = noise(8 * MiB, 3);
    await use(imageOpener(large), folder, {}, 8 * MiB);
    const controller = new AbortController();
    const opening = use(imageOpener(large), folder, { signal: controller.signal, onRead: () => controller.abort() }, 8 * MiB);
    expect(await failure(opening)).toMatchObject({ code: 'CANCELLED' });
    expect([readdirSync(folder), openFilesIn(folder)]).toEqual([[nameOf(digestOf(large))], []]);
  });

  test('while another call fetches the same image and continues', async () => {
    const folder = testFolder();
    const { url, proceed, asked } = await heldServer();
    const process = startProcess({ does: 'cached', url, folder, size: MiB, digest: digestOf(image) });
    await process.said('read');
    const controller = new AbortController();
    const opener = imageOpener(image);
    const opening = use(opener, folder, { signal: controller.signal });
    const refused = failure(opening);
    controller.abort();
    expect(await refused).toMatchObject({ code: 'CANCELLED' });
    proceed();
    expect(await process.outcome()).toEqual({ result: digestOf(image).hex });
    expect([opener.opened(), asked()]).toEqual([0, 1]);
    expect(readdirSync(folder)).toEqual([entry]);
  });
});

/** Yields a third of the image, and the rest when it is released. */
async function heldServer() {
  const rests: (() => void)[] = [];
  const server = await imageServer(image, (response) => {
    response.write(image.subarray(0, 100_000));
    rests.push(() => response.end(image.subarray(100_000)));
  });
  const proceed = (): void => {
    for (const rest of rests.splice(0)) rest();
  };
  return { ...server, proceed };
}

describe('several processes in parallel', () => {
  test('fetch the same image once', async () => {
    const folder = testFolder();
    const { url, proceed, asked } = await heldServer();
    const task = { does: 'cached', url, folder, size: MiB, digest: digestOf(image) };
    const first = startProcess(task);
    await first.said('read');
    const others = [startProcess(task), startProcess(task)];
    for (const { said } of others) await said('owner');
    proceed();
    for (const { outcome } of [first, ...others]) expect(await outcome()).toEqual({ result: digestOf(image).hex });
    expect(asked()).toBe(1);
    expect(readdirSync(folder)).toEqual([entry]);
  });

  test('all succeed with room for three of their images, and keep no more than fits', async () => {
    const folder = testFolder();
    const images = Array.from({ length: 5 }, (_, seed) => noise(150_000, 10 + seed));
    const size = 3 * 150_000;
    const servers = await Promise.all(images.map((bytes) => imageServer(bytes)));
    const processes = Array.from({ length: 8 }, (_, index) => {
      const bytes = images[index % images.length] ?? image;
      const url = servers[index % images.length]?.url;
      return { bytes, process: startProcess({ does: 'cached', url, folder, size, digest: digestOf(bytes) }) };
    });
    for (const { bytes, process } of processes) expect(await process.outcome()).toEqual({ result: digestOf(bytes).hex });
    const names = readdirSync(folder);
    expect(images.map((bytes) => nameOf(digestOf(bytes)))).toEqual(expect.arrayContaining(names));
    expect(names.length).toBeGreaterThan(0);
    expect(names.length * 150_000).toBeLessThanOrEqual(size);
    for (const name of names) expect(nameOf(digestOf(readFileSync(join(folder, name))))).toBe(name);
  });

  test('and several calls in one process fetch the same image once', async () => {
    const folder = testFolder();
    const opener = imageOpener(image);
    await Promise.all(Array.from({ length: 5 }, () => use(opener, folder)));
    expect(opener.opened()).toBe(1);
  });

  test('do not wait for a fetch that has failed in another', async () => {
    const folder = testFolder();
    const broken = imageOpener(image, { attempts: [() => failing(image.subarray(0, 10), new Error('cable'))] });
    let second: Promise<Buffer> | undefined;
    const onRead = (): void => {
      second ??= use(imageOpener(image), folder);
    };
    expect(await failure(use(broken, folder, { onRead }))).toMatchObject({ code: 'SOURCE_READ' });
    expect((await second)?.equals(image)).toBe(true);
  });
});

describe('in a folder shared by users', () => {
  /** What another user than this one gets through the cache. */
  async function ofNobody(folder: string, size: number): Promise<{ readonly outcome: Outcome; readonly asked: number }> {
    const { url, asked } = await imageServer(image);
    const task = { does: 'cached', url, folder, size, digest: digestOf(image) };
    const outcome = await startProcess(task, ['setpriv', '--reuid=65534', '--clear-groups']).outcome();
    return { outcome, asked: asked() };
  }
  const fetched = { outcome: { result: digestOf(image).hex }, asked: 1 };

  testWith('root')('an entry that only another user can read is replaced', async () => {
    const folder = testFolder();
    await use(imageOpener(image), folder);
    chmodSync(folder, 0o777);
    expect(await ofNobody(folder, MiB)).toEqual(fetched);
    expect([readdirSync(folder), statSync(join(folder, entry)).uid]).toEqual([[entry], 65_534]);
  });

  testWith('root')('entries that only another user may remove are kept, and count against the size', async () => {
    const folder = testFolder();
    await use(imageOpener(other), folder);
    chmodSync(folder, 0o1777);
    expect(await ofNobody(folder, other.length + image.length - 1)).toEqual(fetched);
    expect(readdirSync(folder)).toEqual([nameOf(digestOf(other))]);
    expect(await ofNobody(folder, other.length + image.length)).toEqual(fetched);
    expect(readdirSync(folder).sort()).toEqual([entry, nameOf(digestOf(other))].sort());
  });
});

test('the next use removes what a process killed while filling the cache has left behind', async () => {
  const folder = testFolder();
  const { url } = await heldServer();
  const fetching = startProcess({ does: 'cached', url, folder, size: MiB, digest: digestOf(image) });
  const owner = await fetching.said('owner');
  await fetching.said('read');
  await vi.waitFor(() => expect(readdirSync(folder)).toEqual([expect.stringContaining(owner), expect.stringContaining('-lock-')]), 60_000);
  const alive = `.vdistream-${ownerText(thisOwner())}-01234567-89ab-cdef-0123-456789abcdef`;
  writeFileSync(join(folder, alive), 'of this process');
  await fetching.kill();
  expect(readdirSync(folder)).toHaveLength(3);
  const opener = imageOpener(image);
  await expectImage(opener, folder);
  expect(readdirSync(folder).sort()).toEqual([alive, entry].sort());
  expect(opener.opened()).toBe(1);
});
