/** Imports of many images by the library: which are skipped, how many run at a time, and how they end. */

import { copyFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import {
  cachedImage,
  httpImage,
  type ImportImagesOptions,
  type ImportItem,
  type ImportOutcome,
  importImage,
  importImages,
  type Opener,
  stagedImage,
} from '../../src/index.ts';
import { answer } from '../stand-in/answer.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { streamOf } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { content, glanceV2, honest, ID, imageAt, vhd } from '../support/glance-stand-in.ts';
import { httpServer, type ServerOptions } from '../support/http-server.ts';
import { callsFromNow } from '../support/import-host.ts';
import { bytesOf, expectDisk, toolstackOf } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');

let host: Host;
let sr: string;
beforeAll(async () => {
  host = await startHost();
  sr = await host.sr('ext');
});
afterAll(() => host?.stop());

const stored = (name = 'image.vhd', bytes: Uint8Array = vhd): string => {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
};

type Image = ImportItem['image'];

const listed = (images: readonly Image[], options: ImportImagesOptions = {}): Promise<ImportOutcome[]> =>
  importImages(
    images.map((image) => ({ image, sr })),
    { xe: toolstackOf(host), ...options },
  );

/** The uuid of the VDI, or the error. */
const vdiOf = (outcome: ImportOutcome | undefined): unknown =>
  outcome?.status === 'imported' ? outcome.result.vdi : outcome?.status === 'skipped' ? outcome.vdi : outcome?.error;

async function importOne(item: Omit<ImportItem, 'sr'>, options: ImportImagesOptions = {}): Promise<ImportOutcome | undefined> {
  const [outcome] = await importImages([{ sr, ...item }], { xe: toolstackOf(host), ...options });
  return outcome;
}

const xe = (...args: string[]): Promise<string> => answer(host, args);

describe('an image is skipped', () => {
  test('if its VDI is there, also from an import of its own', async () => {
    const image = stored();
    const { vdi } = await importImage(image, { sr, xe: toolstackOf(host) });
    expect(await importOne({ image })).toEqual({ status: 'skipped', vdi });
    expect(await importOne({ image, name: 'another name' })).toEqual({ status: 'skipped', vdi });
    await xe('vdi-destroy', `uuid=${vdi}`);
    expect(await importOne({ image })).toMatchObject({ status: 'imported' });
  });

  test('only on the same SR', async () => {
    const image = stored();
    const other = await host.sr('ext');
    const [first, second] = await importImages(
      [
        { image, sr },
        { image, sr: other },
      ],
      { xe: toolstackOf(host) },
    );
    expect([first?.status, second?.status]).toEqual(['imported', 'imported']);
  });

  test.each<[name: string, options: Omit<ImportItem, 'sr' | 'image'>]>([
    ['another disk', { disk: '0.vhd' }],
    ['a raw VDI', { rawVdi: true }],
    ['a raw disk', { raw: true }],
    ['a checksum that was not compared then', { sha256: 'a'.repeat(64) }],
  ])('not if the line asks for %s', async (_, options) => {
    const image = stored();
    expect(await importOne({ image })).toMatchObject({ status: 'imported' });
    expect((await importOne({ image, ...options }))?.status).not.toBe('skipped');
  });

  test('not if the file has another date or size, or another path', async () => {
    const image = stored();
    const [first] = await listed([image]);
    utimesSync(image, 1, 1);
    const [second] = await listed([image]);
    writeFileSync(image, Buffer.concat([vhd.subarray(0, vhd.length - 512), Buffer.alloc(512), vhd.subarray(vhd.length - 512)]));
    utimesSync(image, 1, 1);
    const [third] = await listed([image]);
    const copy = join(testFolder(), 'copy.vhd');
    copyFileSync(image, copy);
    const [fourth] = await listed([copy]);
    for (const outcome of [first, second, third, fourth]) expect(outcome).toMatchObject({ status: 'imported' });
    expect((await listed([image, copy])).map(vdiOf)).toEqual([third, fourth].map(vdiOf));
  });

  test('not if the VDI is unfinished, a snapshot, a copy, or gone from its SR', async () => {
    const image = stored();
    const vdi = String(vdiOf(await importOne({ image })));
    const again = async (): Promise<string | undefined> => (await importOne({ image }))?.status;
    const tag = `vdistream.${ID}.2.${ID}.1.1.1.${'0'.repeat(32)}`;
    await xe('vdi-param-add', `uuid=${vdi}`, 'param-name=tags', `param-key=${tag}`);
    const second = String(vdiOf(await importOne({ image })));
    expect(second).not.toBe(vdi);
    await host.change('vdi', second, { isSnapshot: true });
    const third = String(vdiOf(await importOne({ image })));
    expect([vdi, second]).not.toContain(third);
    await host.change('vdi', third, { missing: true });
    const fourth = String(vdiOf(await importOne({ image })));
    expect([vdi, second, third]).not.toContain(fourth);
    expect(await again()).toBe('skipped');
    // As `xe vdi-copy` leaves it.
    const source = await xe('vdi-param-get', `uuid=${fourth}`, 'param-name=other-config', 'param-key=vdistream-source');
    expect(source).toMatch(/^[0-9a-f]{64}$/);
    const copy = await xe('vdi-create', `sr-uuid=${sr}`, 'name-label=copy', 'virtual-size=2097152');
    await xe('vdi-param-set', `uuid=${copy}`, `other-config:vdistream-source=${source}`, `other-config:vdistream-vdi=${fourth}`);
    await xe('vdi-destroy', `uuid=${fourth}`);
    expect(await again()).toBe('imported');
  });

  test('not if it is a pipe', async () => {
    const [first, second] = await listed([streamOf([vhd]), streamOf([vhd])]);
    expect(vdiOf(second)).not.toBe(vdiOf(first));
    expect(host.state().vdi.find(({ uuid }) => uuid === vdiOf(first))?.otherConfig).toEqual({});
  });

  test('by the first of two lines of one list that are the same', async () => {
    const image = stored();
    const outcomes = await listed([image, image, image], { jobs: 3 });
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['imported', 'skipped', 'skipped']);
    expect(new Set(outcomes.map(vdiOf)).size).toBe(1);
  });
});

describe('an image on a server is skipped', () => {
  const TAGGED = { etag: '"one"' };
  const DATED = { 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT', date: 'Tue, 02 Jan 2024 00:00:00 GMT' };

  test.each<[name: string, headers: NonNullable<ServerOptions['headers']>, query: string, status: ImportOutcome['status']]>([
    ['with a strong ETag, whatever its query', TAGGED, '?signature=', 'skipped'],
    ['with a date', DATED, '', 'skipped'],
    ['not with a date and a query, which may name the image', DATED, '?image=', 'imported'],
    ['not with a weak ETag', { etag: 'W/"one"' }, '', 'imported'],
    ['not with neither', {}, '', 'imported'],
  ])('%s', async (_, headers, query, status) => {
    const { url } = await httpServer({ image: vhd, headers });
    const address = (number: number): string => url(query === '' ? '/a.vhd' : `/a.vhd${query}${number}`);
    expect((await listed([address(1)])).map((outcome) => outcome.status)).toEqual(['imported']);
    expect((await listed([address(2)])).map((outcome) => outcome.status)).toEqual([status]);
  });

  test('not once it has changed there', async () => {
    let etag = '"one"';
    const { url } = await httpServer({ image: vhd, reply: () => ({ headers: { etag } }) });
    const [first] = await listed([url()]);
    etag = '"two"';
    const [second] = await listed([url()]);
    const [third] = await listed([url()]);
    expect([first?.status, second?.status, third]).toEqual(['imported', 'imported', { status: 'skipped', vdi: vdiOf(second) }]);
  });

  test('without a request more than one, and one import of it makes no more than before', async () => {
    const server = await httpServer({ image: vhd, headers: TAGGED });
    await importImage(server.url(), { sr, xe: toolstackOf(host) });
    expect(server.requests).toHaveLength(1);
    expect(await listed([server.url()])).toMatchObject([{ status: 'skipped' }]);
    expect(server.requests).toHaveLength(2);
  });

  test.each<[name: string, local: (from: Opener) => Opener]>([
    ['a folder', (from) => stagedImage(from, testFolder())],
    ['a cache', (from) => cachedImage(from, { folder: testFolder(), size: 2 ** 30 })],
  ])('if it was fetched into %s first', async (_, local) => {
    const server = await httpServer({ image: vhd, headers: TAGGED });
    const from = local(httpImage(server.url()));
    const [first] = await listed([from]);
    expect(first).toMatchObject({ status: 'imported' });
    expect(await listed([httpImage(server.url())])).toEqual([{ status: 'skipped', vdi: vdiOf(first) }]);
    expect(await listed([from])).toEqual([{ status: 'skipped', vdi: vdiOf(first) }]);
  });

  test('if Glance has its checksum, and not otherwise', async () => {
    const known = imageAt([await glanceV2(honest)]);
    const [first] = await listed([known]);
    expect(await listed([imageAt([await glanceV2(honest)])])).toEqual([{ status: 'skipped', vdi: vdiOf(first) }]);
    const unknown = imageAt([await glanceV2({ ...honest, checksum: null })]);
    expect((await listed([unknown, unknown])).map(({ status }) => status)).toEqual(['imported', 'imported']);
  });
});

describe('imports of many images', () => {
  test('end in any order, are reported as they end, and all are in the result', async () => {
    const images = [stored('a.vhd'), '/nowhere/b.vhd', stored('c.vhd'), stored('d.vhd', vhd.subarray(0, 100_000))];
    const ended: number[] = [];
    const outcomes = await listed(images, { onOutcome: (_, index) => void ended.push(index) });
    expect(ended.sort()).toEqual([0, 1, 2, 3]);
    expect(outcomes.map(({ status }) => status)).toEqual(['imported', 'failed', 'imported', 'failed']);
    expect(outcomes.map(vdiOf)).toMatchObject({ 1: { code: 'SOURCE_OPEN' }, 3: { code: 'VHD_BLOCK_RANGE' } });
    for (const index of [0, 2]) expectDisk(bytesOf(host, String(vdiOf(outcomes[index]))), content);
    expect(await listed([])).toEqual([]);
  });

  test.each([1, 3])('run %i at a time', async (jobs) => {
    await host.fault({ command: 'vdi-create', always: true, what: 'late' });
    const creates = async (): Promise<number> => (await host.calls()).filter(([name]) => name === 'vdi-create').length;
    const before = await creates();
    const called = await callsFromNow(host);
    const importing = listed(
      Array.from({ length: 5 }, (_, index) => stored(`${index}.vhd`)),
      { jobs },
    );
    await called('vdi-create', jobs);
    // Enough time for one more: every call takes that long.
    for (let times = 0; times < 10; times++) await host.run(['vdi-list']);
    expect((await creates()) - before).toBe(jobs);
    await host.noFaults();
    await host.release();
    expect((await importing).map(({ status }) => status)).toEqual(Array(5).fill('imported'));
  });

  test('that are cancelled remove what is unfinished, start no more, and reject', async () => {
    const before = host.state().vdi.map(({ uuid }) => uuid);
    const stop = new AbortController();
    const outcomes = new Map<number, ImportOutcome>();
    const images = [stored('a.vhd'), stored('b.vhd'), stored('c.vhd'), stored('d.vhd')];
    const importing = listed(images, {
      jobs: 1,
      signal: stop.signal,
      onOutcome: (outcome, index) => void outcomes.set(index, outcome),
      onProgress: (_, index) => index === 1 && stop.abort(),
    });
    expect(await failure(importing)).toMatchObject({ code: 'CANCELLED', left: [] });
    expect([...outcomes.keys()]).toEqual([0, 1]);
    expect(outcomes.get(1)).toMatchObject({ status: 'failed', error: { code: 'CANCELLED' } });
    expect(host.state().vdi.map(({ uuid }) => uuid)).toEqual([...before, vdiOf(outcomes.get(0))]);
    expect(await failure(listed(images, { signal: AbortSignal.abort() }))).toMatchObject({ code: 'CANCELLED' });
  });

  test('reject before the first of them if there is no toolstack', async () => {
    const xe = { ...toolstackOf(host), program: '/nowhere/xe' };
    const ended: number[] = [];
    const rejected = await failure(listed([stored()], { xe, onOutcome: (_, index) => void ended.push(index) }));
    expect([rejected.code, ended]).toEqual(['XE_MISSING', []]);
  });

  test.each<[items: readonly unknown[], options: object, message: string]>([
    [[{ image: 'a', sr: 'local' }], {}, '"local" is not the uuid of a storage repository'],
    [[{ image: 'a' }], {}, 'the option sr is required'],
    [[{ image: 'a', sr: ID, verify: true }], {}, 'without the unknown option "verify"'],
    [[{ image: Buffer.alloc(1), sr: ID }], {}, 'the source is a buffer'],
    [[], { jobs: 17 }, 'importImages: jobs must be a whole number from 1 to 16'],
    [[], { sr: ID }, 'importImages: sr must be given for each image'],
  ])('%j with %j reject with USAGE', async (items, options, message) => {
    const error = await failure(Reflect.apply(importImages, undefined, [items, options]));
    expect(error).toMatchObject({ code: 'USAGE', message: expect.stringContaining(message) });
  });
});
