import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { check, info, writeDisk } from '../../src/index.ts';
import { readOvf } from '../../src/ova/ovf.ts';
import { writeOvf } from '../../src/ova/ovf-write.ts';
import { packTar } from '../../src/ova/pack.ts';
import { packOva } from '../../src/ova/pack-ova.ts';
import { encodeVhd } from '../../src/vhd/encode.ts';
import { plainBuffers } from '../support/buffers.ts';
import { collect, noise, reusing } from '../support/chunks.ts';
import { contentOf, diskOfRuns, type Run } from '../support/encoding.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { list } from '../support/tar-listing.ts';

const mtime = 1_700_000_000;
const identity = { creator: 'win ', uniqueId: '0123456789abcdef0123456789abcdef', timestamp: 800_000_000 };
const MiB = 2 ** 20;

const runsOf = (seed: number): Run[] => [
  { kind: 'data', offset: 0, length: 65_536, seed },
  { kind: 'zero', offset: 65_536, length: 4 * MiB, seed: 0 },
  { kind: 'data', offset: 65_536 + 4 * MiB, length: 1536, seed: seed + 1 },
];
const SIZE = 65_536 + 4 * MiB + 1536;

function vhdOf(seed: number) {
  const disk = diskOfRuns(SIZE, runsOf(seed), [
    { offset: 0, length: 65_536 },
    { offset: 65_536 + 4 * MiB, length: 1536 },
  ]);
  const encoded = encodeVhd(disk, { type: 'dynamic', identity });
  return { virtualSize: SIZE, length: encoded.length, bytes: () => encoded.bytes(plainBuffers()) };
}

async function ova(name: string, disks: number): Promise<{ path: string; bytes: Buffer }> {
  const packed = packOva(
    Array.from({ length: disks }, (_, index) => vhdOf(10 * index + 1)),
    { name, mtime },
  );
  const bytes = await collect(packed.bytes());
  expect(bytes.length).toBe(packed.length);
  const path = join(testFolder(), 'machine.ova');
  writeFileSync(path, bytes);
  return { path, bytes };
}

describe('an OVA', () => {
  test('holds the descriptor, the disks and the manifest, in this order', async () => {
    const { bytes } = await ova('web-01', 3);
    const { members, warnings } = await list(bytes);
    expect(warnings).toEqual([]);
    expect(members.map(({ name }) => name)).toEqual([
      'web-01.ovf',
      'web-01-disk1.vhd',
      'web-01-disk2.vhd',
      'web-01-disk3.vhd',
      'web-01.mf',
    ]);
    const manifest = members.slice(0, -1).map(({ name, body }) => `SHA256(${name})= ${createHash('sha256').update(body).digest('hex')}\n`);
    expect(members.at(-1)?.body.toString()).toBe(manifest.join(''));
  });

  test.each([1, 2, 31])('of %i disks has no finding, and each disk is written with its digest verified', async (count) => {
    const { path } = await ova('web-01', count);
    expect(await check(path, { manifest: 'require' })).toMatchObject({ ok: true, findings: [] });
    for (const index of new Set([0, count - 1])) {
      const disk = `web-01-disk${index + 1}.vhd`;
      const raw = join(testFolder(), 'disk.raw');
      expect(await writeDisk(path, raw, { disk, manifest: 'require' })).toMatchObject({ virtualSize: SIZE, warnings: [] });
      expect(readFileSync(raw).equals(contentOf(SIZE, runsOf(10 * index + 1)))).toBe(true);
    }
  });

  test('with a byte of a disk changed does not match its manifest', async () => {
    const { path, bytes } = await ova('web-01', 1);
    bytes[bytes.indexOf('cxsparse') + 4096] = 77;
    writeFileSync(path, bytes);
    const { findings } = await check(path);
    expect(findings.map(({ code, member }) => [code, member])).toContainEqual(['MANIFEST_DIGEST', 'web-01-disk1.vhd']);
  });

  test.each([
    ['Ünïcode <&> "name" \u0000\ud800', 'n_code_name_'],
    ['../../etc/passwd', 'etc_passwd'],
    ['', 'machine'],
    ['日本', 'machine'],
    [' x'.repeat(100), 'x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_x_'],
  ])('called %j has members called %s, and is read', async (name, prefix) => {
    const { path, bytes } = await ova(name, 1);
    expect((await list(bytes)).members.map((member) => member.name)).toEqual([`${prefix}.ovf`, `${prefix}-disk1.vhd`, `${prefix}.mf`]);
    expect((await check(path)).findings).toEqual([]);
    expect(await info(path)).toMatchObject({ virtualSize: SIZE });
  });

  testWith('tar', 'python3')('unpacks with tar, and sha256sum accepts the manifest', async () => {
    const { path } = await ova('web 01', 2);
    const folder = testFolder();
    execFileSync('tar', ['-xf', path, '-C', folder]);
    expect(execFileSync('sha256sum', ['--check', '--strict', 'web_01.mf'], { cwd: folder, encoding: 'utf8' })).toBe(
      ['web_01.ovf', 'web_01-disk1.vhd', 'web_01-disk2.vhd'].map((name) => `${name}: OK\n`).join(''),
    );
  });
});

describe('a descriptor', () => {
  const disks = [
    { name: 'a-disk1.vhd', length: 9 * 2 ** 30, virtualSize: 2040 * 2 ** 30 },
    { name: 'a-disk2.vhd', length: 512, virtualSize: 1536 },
  ];

  test('says which files there are, and which disks, as our own reader reads it', () => {
    const { files, disks: found } = readOvf(Buffer.from(writeOvf('a', disks)), 'a.ovf', () => {});
    expect(files.map(({ href, size }) => [href, size])).toEqual(disks.map(({ name, length }) => [name, length]));
    expect(found.map(({ file, capacity }) => [file?.href, capacity])).toEqual(disks.map(({ name, virtualSize }) => [name, virtualSize]));
  });

  const ITEMS = `import json, sys, xml.etree.ElementTree as ET
E = '{http://schemas.dmtf.org/ovf/envelope/1}'
R = '{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}'
root = ET.parse(sys.stdin).getroot()
items = [{e.tag.replace(R, ''): e.text for e in item} for item in root.iter(E + 'Item')]
disks = [(d.get(E + 'diskId'), d.get(E + 'format')) for d in root.iter(E + 'Disk')]
print(json.dumps({'tags': [e.tag.replace(E, '') for e in root], 'items': items, 'disks': disks, 'name': root.find('%sVirtualSystem/%sName' % (E, E)).text}))`;

  testWith('python3')('is XML of the namespaces of OVF, with every disk attached to a controller of its own number', () => {
    const name = 'R&D "<1>" ü';
    const found = JSON.parse(execFileSync('python3', ['-c', ITEMS], { input: writeOvf(name, disks), encoding: 'utf8' }));
    expect(found.name).toBe(name);
    expect(found.tags).toEqual(['References', 'DiskSection', 'VirtualSystem']);
    expect(found.disks).toEqual(['disk1', 'disk2'].map((id) => [id, 'http://go.microsoft.com/fwlink/?LinkId=137171']));
    const items: Record<string, string>[] = found.items;
    expect(items.map(({ ResourceType }) => ResourceType)).toEqual(['3', '4', '20', '17', '17']);
    expect(new Set(items.map(({ InstanceID }) => InstanceID)).size).toBe(5);
    const controller = items[2]?.InstanceID;
    const attached = items.slice(3).map(({ Parent, AddressOnParent, HostResource }) => [Parent, AddressOnParent, HostResource]);
    expect(attached).toEqual([
      [controller, '0', 'ovf:/disk/disk1'],
      [controller, '1', 'ovf:/disk/disk2'],
    ]);
    // The schema of an Item is a sequence.
    for (const item of items) expect(Object.keys(item)).toEqual(Object.keys(item).toSorted());
  });
});

test('the image of Nova is an archive with the disk as 0.vhd', async () => {
  const { length, bytes } = vhdOf(1);
  const path = join(testFolder(), 'nova.tar');
  writeFileSync(path, await collect(packTar([{ name: '0.vhd', length, bytes }], { mtime }).bytes()));
  expect(await check(path)).toMatchObject({ findings: [], disks: [{ member: '0.vhd', type: 'dynamic', virtualSize: SIZE }] });
});

test('a disk that ends early leaves no manifest', async () => {
  const disk = { virtualSize: MiB, length: 1000, bytes: () => reusing(noise(900, 1)) };
  let tar = Buffer.alloc(0);
  const reading = async (): Promise<void> => {
    for await (const chunk of packOva([disk], { name: 'a', mtime }).bytes()) tar = Buffer.concat([tar, chunk]);
  };
  await expect(reading()).rejects.toThrow('a-disk1.vhd');
  expect(tar.includes('a.mf')).toBe(false);
});
