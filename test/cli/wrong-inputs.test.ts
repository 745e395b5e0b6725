/** What people pass by mistake, and exactly what the command line prints for it. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { errorText } from '../../src/cli/error-text.ts';
import { parseCommandLine } from '../../src/cli/parse.ts';
import { openSource } from '../../src/engine/open.ts';
import { info } from '../../src/index.ts';
import { noise } from '../support/chunks.ts';
import { failure } from '../support/failure.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer } from '../support/http-server.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';

const vhd = dynamicVhd({ size: 16 << 20, blocks: new Map([[2, noise(2 << 20, 1)]]) });
const unpack = (program: string): string => `Unpack it first (\`${program}\`), and pass the image in it.`;
const CONVERT = 'Convert it first: qemu-img convert -O vpc -o force_size=on IN OUT.vhd';
const VMDK = `${CONVERT}. If its data is in other files, keep them in the same folder.`;
const SERVER =
  'A server has sent this instead of the image. Read it: the address may be wrong, or a login may have expired. Then fetch the image again.';
const LIST = '<value><struct><member><name>version</name><value><struct/></value></member></struct></value>';
const S3 = '\ufeff<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>';
const OVF = '<?xml version="1.0"?>\n<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"/>';

const xva = tarOf([
  ['ova.xml', Buffer.from(LIST)],
  ['Ref:1/00000000', noise(1 << 20, 2)],
]);
const magic = (text: string): Buffer => Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(8192)]);

/** The kind, its bytes, what it is called, and the advice. */
const FORMATS: ReadonlyArray<readonly [string, Uint8Array | string, string, string]> = [
  [
    'XVA',
    xva,
    'an XVA (the export of a whole VM)',
    'Import the VM with `xe vm-import filename=FILE`. Its disk can be exported as a VHD then: `xe vdi-export uuid=VDI format=vhd filename=OUT.vhd`.',
  ],
  [
    'VMA',
    magic('VMA\0'),
    'a VMA (a backup of Proxmox)',
    'Extract it on a Proxmox host (`vma extract FILE FOLDER`), and pass the disk in it, which is raw.',
  ],
  ['ZIP', magic('PK\x03\x04'), 'a ZIP archive', unpack('unzip FILE')],
  ['7z', magic("7z\xbc\xaf'\x1c"), 'a 7z archive', unpack('7z x FILE')],
  ['RAR', magic('Rar!\x1a\x07\x01\0'), 'a RAR archive', unpack('unrar x FILE')],
  ['HTML', '\n<!DOCTYPE Html><HTML><title>Sign in</title>', 'a web page (HTML)', SERVER],
  ['error of S3 with BOM', S3, 'an XML error of an object store', SERVER],
  ['JSON', '{"itemNotFound": {"code": 404}}', 'a JSON document', SERVER],
  [
    'Git LFS pointer',
    'version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 1\n',
    'a Git LFS pointer',
    'The repository has only a pointer to the image: run `git lfs pull` in it, then pass the file again.',
  ],
  [
    'XO alias',
    '../data/5a3c/20240102T030405Z.vhd',
    'an alias of Xen Orchestra (the name of another VHD)',
    'Pass the VHD whose path is in this file. If that is a folder of blocks, export the disk with Xen Orchestra.',
  ],
  [
    'OVF alone',
    OVF,
    'an OVF descriptor without its disks',
    'Pass the VHD that it names, or the whole OVA. For a disk in another format, convert that file first.',
  ],
  ['VHDX', magic('vhdxfile'), 'a VHDX image', CONVERT],
  ['VMDK', magic('KDMV'), 'a VMDK image', VMDK],
];

const printed = (error: unknown): string[] => {
  const text = errorText(error, false, ['info', 'image']);
  return 'json' in text ? [] : [...text];
};

function stored(name: string, bytes: Uint8Array | string): string {
  const path = join(testFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

async function refusal(...paths: string[]): Promise<string[]> {
  const folders = paths.map((path) => path.replace(/[^/]*$/, ''));
  return printed(await failure(info(paths))).map((line) => folders.reduce((text, folder) => text.replaceAll(folder, ''), line));
}

const formatLines = (what: string, advice: string): string[] => [
  `vdistream: at byte 0: this is ${what}, not a VHD`,
  `  ${advice} (FORMAT_OTHER)`,
];

describe('another format is named, with one advice, plain and compressed:', () => {
  test.each(FORMATS)('%s', async (_, bytes, what, advice) => {
    expect(await refusal(stored('image.vhd', bytes))).toEqual(formatLines(what, advice));
    expect(await refusal(stored('image.vhd.gz', gzipSync(bytes)))).toEqual(formatLines(what, advice));
  });

  testWith('qemu-img')('qcow2 by qemu-img, also with compressed clusters', async () => {
    const source = stored('image.vhd', vhd);
    for (const options of [[], ['-c']]) {
      const target = `${source}.qcow2`;
      expect(spawnSync('qemu-img', ['convert', ...options, '-O', 'qcow2', source, target]).status).toBe(0);
      expect(await refusal(target)).toEqual(formatLines('a qcow2 image', CONVERT));
    }
  });
});

describe('what cannot be an image says why:', () => {
  test('gzip in gzip is read; once more it is refused', async () => {
    const twice = gzipSync(gzipSync(vhd));
    expect((await info(stored('image.gz', twice))).virtualSize).toBe(16 << 20);
    expect(await refusal(stored('image.gz', gzipSync(twice)))).toEqual([
      'vdistream: the image is compressed more than twice: gzip in gzip in gzip',
      '  Decompress it first. (COMPRESSION_NESTED)',
    ]);
  });

  const join2 = (name: string): string =>
    `  ${name} looks like one part of a file that was split. Join all its parts, in order: cat PARTS | vdistream write - TARGET`;

  test('the parts of a split archive', async () => {
    const archive = gzipSync(tarOf([['0.vhd', vhd]]));
    const half = archive.length >> 1;
    expect(await refusal(stored('image.tar.gz.aa', archive.subarray(0, half)))).toEqual([
      `vdistream: at byte ${half}: the gzip stream is truncated`,
      `${join2('image.tar.gz.aa')} (COMPRESSION_TRUNCATED)`,
    ]);
    expect((await refusal(stored('image.tar.gz.ab', archive.subarray(half)))).slice(0, 2)).toEqual([
      'vdistream: at byte 0: this is neither a VHD nor a tar archive',
      `${join2('image.tar.gz.ab')} (FORMAT_UNKNOWN)`,
    ]);
  });

  test('files in the wrong order', async () => {
    const base = stored('base.vhd', vhd);
    const leaf = stored(
      'leaf.vhd',
      dynamicVhd({ size: 16 << 20, blocks: new Map(), type: 4, parent: { id: Buffer.alloc(16, 7), timestamp: 0 } }),
    );
    expect(await refusal(base, leaf)).toEqual([
      'vdistream: base.vhd: leaf.vhd is a layer over this disk, so it must come first: leaf first',
      '  List the files leaf first, each followed by its parent. (CHAIN_ORDER)',
    ]);
  });

  test('noise, and a file that is cut or empty', async () => {
    expect(await refusal(stored('image.bin', noise(65_536, 3)))).toEqual([
      'vdistream: at byte 0: this is neither a VHD nor a tar archive',
      '  vdistream reads VHD, tar and OVA, plain or compressed. For a raw disk, add --raw. (FORMAT_UNKNOWN)',
      '  because: at byte 65024: no VHD footer, neither at the start nor at the end; perhaps this is a raw disk',
    ]);
    expect(await refusal(stored('image.vhd', vhd.subarray(0, 1_000_000)))).toEqual([
      'vdistream: at byte 1544: block 2 would end at byte 2099712, but the VHD ends at byte 1000000',
      '  The image is damaged or truncated. Fetch or export it again. (VHD_BLOCK_RANGE)',
    ]);
    expect(await refusal(stored('image.vhd', ''))).toEqual([
      'vdistream: at byte 0: image.vhd is empty',
      '  Check the program that should have written it: it may have failed. (SOURCE_EMPTY)',
    ]);
  });
});

describe('a wrong address or argument says what is wrong:', () => {
  test('https to a port that speaks http', async () => {
    const server = await httpServer({ image: vhd });
    const url = `https://127.0.0.1:${server.port}/image.vhd`;
    expect(printed(await failure(info(url)))).toEqual([
      `vdistream: ${url}: the server does not speak TLS on this port`,
      '  Use http:// if that is what the server speaks there, or the port at which it speaks https. (HTTP_TLS)',
    ]);
  });

  test('another scheme, without its password', async () => {
    expect(printed(await failure(openSource('ftp://user:SECRET@host/image.ova')))).toEqual([
      'vdistream: ftp://host/image.ova is a URL, but an image is fetched from http:// or https://; for a file with this name, use ./',
      '  See --help. (USAGE)',
    ]);
  });

  test.each([
    ['import', ['image', '--sr'], '--sr has no value'],
    ['import', ['image', '--sr', ''], '--sr has no value'],
    ['import', ['image', '--sr='], '--sr has no value'],
    ['import', ['image', '--sr', '--verify'], '--sr has no value'],
    ['write', ['image'], 'TARGET is missing'],
    ['write', ['image', ''], 'TARGET is missing'],
    ['write', ['image', 'disk', '--sr', 'x'], "Unknown option '--sr' of write; it belongs to import, reap"],
    ['write', ['image', 'disk', '--forse=content'], 'Unknown option \'--forse\' of write; did you mean "--force"?'],
  ] as const)('%s %j', async (command, args, message) => {
    const error = await failure(Promise.resolve().then(() => parseCommandLine(command, args)));
    expect(printed(error)).toEqual([`vdistream: ${message}`, '  See --help. (USAGE)']);
  });
});
