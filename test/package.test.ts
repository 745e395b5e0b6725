/** The package as a user gets it: packed, installed with install scripts blocked, imported, run, compiled against. */

import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { installPackage } from './support/installed-package.ts';
import { dynamicVhd } from './support/make-vhd.mjs';
import { testWith } from './support/needs.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const prebuilt = `prebuilds/${process.platform}-${process.arch}.node`;
const isal = `prebuilds/${process.platform}-${process.arch}.libisal.so.2`;
const isalTest = testWith('libisal', 'objdump');
const data = Buffer.alloc(3000, 'some data');
const SIZE = 4 << 20;

let folder = '';
let installed = '';
let checkout = '';
let tarball = '';
let packed: readonly string[] = [];

beforeAll(async () => {
  ({ folder, installed, checkout, tarball, packed } = await installPackage());
  writeFileSync(join(folder, 'image.vhd'), dynamicVhd({ size: SIZE, blocks: new Map([[1, data]]) }));
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a module in the folder in which the package is installed. */
async function script(text: string): Promise<string> {
  return (await run(process.execPath, ['--input-type=module', '--eval', text], { cwd: folder })).stdout;
}

test('the package holds the compiled library, the bundled programs, the addon, the documents and the completions, and nothing else', () => {
  const modules = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/^(cli|plugin)\//.test(name))
    .flatMap((name) => ['.js', '.d.ts'].map((end) => `dist/${name.replace(/\.ts$/, end)}`));
  const pages = ['docs', 'examples', 'completions', 'man'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name))),
  );
  const documents = ['ARCHITECTURE.md', 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', ...pages];
  const prebuilds = readdirSync(join(checkout, 'prebuilds')).map((name) => `prebuilds/${name}`);
  expect(packed).toContain(prebuilt);
  expect(packed).toEqual([...modules, 'dist/cli/main.js', 'dist/plugin/main.js', ...documents, ...prebuilds].sort());
});

isalTest('ISA-L as Debian builds it travels in the package with its licence, and is the one that is used', async () => {
  expect(packed).toContain(isal);
  expect(readFileSync(join(installed, isal.replace('so.2', 'copyright')), 'utf8')).toContain(
    'Redistribution and use in source and binary forms',
  );
  const { stdout } = await run(join(folder, 'node_modules/.bin/vdistream'), ['--version', '--json']);
  expect(JSON.parse(stdout)).toMatchObject({ inflate: 'isal', from: join(installed, isal) });
});

isalTest('it needs no newer C library than glibc 2.14', async () => {
  const { stdout } = await run('objdump', ['-T', join(installed, isal)]);
  const versions = [...stdout.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  expect(versions.length).toBeGreaterThan(0);
  expect(Math.max(...versions)).toBeLessThanOrEqual(14);
});

test('packing compiles nothing that is built, and leaves the checkout as it was', () => {
  const [before = 0, after = 0] = [root, checkout].map((place) => statSync(join(place, 'build/Release/vdistream.node')).mtimeMs);
  // A copy has the time of its original but for its fractions.
  expect(Math.abs(after - before)).toBeLessThan(1000);
  expect(readFileSync(join(checkout, 'package.json'), 'utf8')).toBe(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(existsSync(join(checkout, '.package.json'))).toBe(false);
});

test('publint and arethetypeswrong find nothing to complain about', async () => {
  const bin = (name: string): string => join(root, 'node_modules/.bin', name);
  expect((await run(bin('publint'), ['run', '--strict', tarball])).stdout).toContain('All good!');
  // Rejects with its report if there are problems.
  await run(bin('attw'), ['--profile', 'esm-only', tarball]);
});

test('installing runs nothing: there is no script, and nothing makes npm run node-gyp', () => {
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const name of ['scripts', 'devDependencies']) expect(manifest).not.toHaveProperty(name);
  expect(manifest.gypfile).toBe(false);
  expect(existsSync(join(installed, 'binding.gyp'))).toBe(false);
  const { packages } = JSON.parse(readFileSync(join(folder, 'node_modules/.package-lock.json'), 'utf8'));
  expect(Object.keys(packages).filter((name) => packages[name].hasInstallScript)).toEqual([]);
});

test('it can be installed on any system', () => {
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const field of ['os', 'cpu', 'libc']) expect(manifest).not.toHaveProperty(field);
});

test('its only dependencies are cli-progress, sax, tar-stream and undici, and theirs', () => {
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  expect(Object.keys(manifest.dependencies)).toEqual(['cli-progress', 'sax', 'tar-stream', 'undici']);
  for (const kind of ['optionalDependencies', 'bundleDependencies']) expect(manifest).not.toHaveProperty(kind);
  // What npm does not install.
  expect(Object.keys(manifest.peerDependencies)).toEqual(['zlib-sync']);
  expect(manifest.peerDependenciesMeta).toEqual({ 'zlib-sync': { optional: true } });
  expect(existsSync(join(folder, 'node_modules/zlib-sync'))).toBe(false);
});

test('once imported it reads an image, and writes its disk with the addon of the package', async () => {
  const text = `
    import { info, writeDisk } from 'vdistream';
    const { virtualSize } = await info('image.vhd');
    const { bytesWritten } = await writeDisk('image.vhd', 'disk.raw', { verify: true });
    console.log(JSON.stringify({ virtualSize, bytesWritten: bytesWritten > 0 }));
    console.log(...process.report.getReport().sharedObjects);`;
  const output = await script(text);
  expect(JSON.parse(output.split('\n')[0] ?? '')).toEqual({ virtualSize: SIZE, bytesWritten: true });
  expect(output).toContain(join('node_modules/vdistream', prebuilt));
  const expected = Buffer.alloc(SIZE);
  expected.set(data, 2 << 20);
  expect(readFileSync(join(folder, 'disk.raw')).equals(expected)).toBe(true);
});

test('it can also be loaded with require()', () => {
  const text = "process.stdout.write(typeof require('vdistream').writeDisk)";
  expect(execFileSync(process.execPath, ['--input-type=commonjs', '--eval', text], { cwd: folder, encoding: 'utf8' })).toBe('function');
});

test('the program runs by name', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const program = join(folder, 'node_modules/.bin/vdistream');
  expect((await run(program, ['--version'])).stdout).toMatch(new RegExp(`^vdistream ${version.replaceAll('.', '\\.')}\n`));
  const { stdout } = await run(program, ['write', 'image.vhd', 'by-name.raw', '--json'], { cwd: folder });
  expect(JSON.parse(stdout)).toMatchObject({ virtualSize: SIZE, target: 'by-name.raw' });
});

test('the plugin runs by name, with nothing in its environment but the PATH that xapi sets', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const env = { PATH: '/sbin:/usr/sbin:/bin:/usr/bin' };
  const members = '<member><name>host_uuid</name><value>5c1f2e86-3c3a-4a53-8df7-f5f6cf3ff8a7</value></member>';
  const params = `<param><value>OpaqueRef:0</value></param><param><value><struct>${members}</struct></value></param>`;
  const call = `<methodCall><methodName>get_version</methodName><params>${params}</params></methodCall>`;
  const plugin = join(installed, 'dist/plugin/main.js');
  expect(existsSync(join(folder, 'node_modules/.bin/vdistream-plugin'))).toBe(true);
  const { stdout, stderr } = await run(process.execPath, [plugin, call], { cwd: '/', env });
  expect(stdout).toContain(`<value>{"version":"2.1","vdistream":"${version}"}</value>`);
  expect(stderr).toBe('');
});

test('the bundle for Dom0, unpacked into a folder, runs with nothing in its environment', { timeout: 300_000 }, async () => {
  const place = join(folder, 'opt');
  mkdirSync(place);
  const bundle = join(place, 'vdistream-dom0.tar.gz');
  await run('npm', ['run', 'bundle:dom0', '--', process.execPath, bundle], { cwd: checkout });
  await run('tar', ['-xzf', bundle, '-C', place]);
  expect(readdirSync(join(place, 'vdistream/bin')).sort()).toEqual(['node', 'vdistream', 'vdistream-plugin']);
  // As /usr/local/bin has it.
  const link = join(folder, 'vdistream');
  symlinkSync(join(place, 'vdistream/bin/vdistream'), link);
  const { stdout, stderr } = await run('env', ['-i', link, 'write', 'image.vhd', 'from-bundle.raw', '--json'], { cwd: folder });
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toMatchObject({ virtualSize: SIZE });
  expect((await run('env', ['-i', join(place, 'vdistream/bin/vdistream-plugin'), 'x'])).stdout).toContain('<methodResponse>');
});

test('it reads an image from a web server with its own HTTP client', async () => {
  const image = readFileSync(join(folder, 'image.vhd'));
  const server = createServer((_, response) => response.end(image)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const program = join(folder, 'node_modules/.bin/vdistream');
    const { stdout } = await run(program, ['info', `http://127.0.0.1:${port}/image.vhd`, '--json'], { cwd: folder });
    expect(JSON.parse(stdout)).toMatchObject({ virtualSize: SIZE });
  } finally {
    server.close();
  }
});

test.each(['NodeNext', 'Bundler'])('its types work in a strict program with %s resolution', async (moduleResolution) => {
  const project = join(folder, moduleResolution);
  mkdirSync(project);
  const text = `
    import { createReadStream } from 'node:fs';
    import { type ErrorCode, glanceImage, importImage, info, type Opener, type Progress, VdiStreamError, writeDisk } from 'vdistream';
    import type { ImportResult, WriteResult } from 'vdistream';
    const size: number | undefined = (await info(createReadStream('image.vhd'))).virtualSize;
    const phases: Progress['phase'][] = [];
    const result: WriteResult = await writeDisk('image.vhd', 'null:', { onProgress: ({ phase }) => phases.push(phase) });
    export const code = (error: unknown): ErrorCode | undefined => (error instanceof VdiStreamError ? error.code : undefined);
    const image: Opener = glanceImage('id', { endpoints: ['http://10.0.0.1:9292'] });
    export const imported = (sr: string): Promise<ImportResult> => importImage(image, { sr });
    // @ts-expect-error: a policy that is not there
    await writeDisk('image.vhd', 'null:', { zero: 'never' });
    console.log(size, result.bytesSkipped);`;
  const compilerOptions = {
    target: 'ES2022',
    module: moduleResolution === 'Bundler' ? 'ESNext' : moduleResolution,
    moduleResolution,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  };
  writeFileSync(join(project, 'program.ts'), text);
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const output = await run(process.execPath, [tsc, '-p', project]).then(
    ({ stdout }) => stdout,
    (error) => error.stdout,
  );
  expect(output).toBe('');
});
