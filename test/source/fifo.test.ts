import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openSource } from '../../src/engine/open.ts';
import { info, writeDisk } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { openFilesIn } from '../support/open-files.ts';

const MiB = 2 ** 20;

const data = Buffer.alloc(2 * MiB, 'data');
const vhd = dynamicVhd({ size: 8 * MiB, blocks: new Map([[1, data]]) });

function fifo(): { readonly folder: string; readonly path: string } {
  const folder = testFolder();
  const path = join(folder, 'fifo');
  execFileSync('mkfifo', [path]);
  return { folder, path };
}

/** Has both ends open, so that no other end is waited for; until it is closed, the pipe does not end. */
function holder(path: string): { write(bytes: Uint8Array): void; close(): void } {
  const fd = openSync(path, 'r+');
  return { write: (bytes) => void writeSync(fd, bytes), close: () => closeSync(fd) };
}

test('reading a named pipe without a writer stops when the signal fires', async () => {
  const { folder, path } = fifo();
  onTestFinished(() => holder(path).close());
  const controller = new AbortController();
  const reading = failure(info(path, { signal: controller.signal }));
  setImmediate(() => controller.abort());
  expect(await reading).toMatchObject({ code: 'CANCELLED' });
  expect(openFilesIn(folder)).toEqual([]);
});

test('reading a named pipe with a stalled writer stops when the signal fires', async () => {
  const { folder, path } = fifo();
  const writer = holder(path);
  onTestFinished(writer.close);
  writer.write(vhd.subarray(0, 1000));
  const controller = new AbortController();
  const source = await openSource(path, { signal: controller.signal, onRead: () => setImmediate(() => controller.abort()) });
  expect(await failure(source.cursor.read(2000))).toMatchObject({ code: 'CANCELLED' });
  await source.close();
  expect(openFilesIn(folder)).toEqual([path]); // the writer
});

test('a named pipe whose writer opens it late is read to the end', async () => {
  const { folder, path } = fifo();
  const target = join(folder, 'disk.raw');
  const writing = writeDisk(path, target, { verify: true });
  await writeFile(path, vhd);
  expect(await writing).toMatchObject({ verified: true });
  expect(
    readFileSync(target)
      .subarray(2 * MiB, 4 * MiB)
      .equals(data),
  ).toBe(true);
});
