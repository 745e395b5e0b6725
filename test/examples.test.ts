/** The programs in examples/, as they are, beside the package that they import. */

import { copyFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test as plainTest } from 'vitest';
import { assertClean } from './stand-in/clean.ts';
import { testWith } from './support/needs.ts';
import { newReader, type Reader } from './support/reader.ts';
import { IMAGE } from './support/reader-service.ts';

const test = testWith('root', 'loop', 'g++');
const examples = fileURLToPath(new URL('../examples', import.meta.url));
const files = readdirSync(examples);

let reader: Reader;
beforeAll(async () => {
  reader = await newReader({ xen: test !== plainTest.skip });
  for (const file of files) copyFileSync(join(examples, file), join(reader.folder, file));
});
afterAll(() => reader.close());

plainTest('the examples have no type errors', async () => {
  await reader.check(files);
});

/** Data in blocks 1 and 3, as the images are made, and zeros elsewhere. */
function expectDisk(uuid: string, name: string): void {
  const { host } = reader;
  if (host === undefined) throw new Error('there is no host');
  const { vdi } = host.state();
  assertClean(host, { vdis: vdi.map((one) => one.uuid) });
  const found = vdi.find((one) => one.uuid === uuid);
  expect(found).toMatchObject({ sr: reader.sr, nameLabel: name, tags: [], virtualSize: 8 << 20 });
  const expected = Buffer.alloc(8 << 20);
  expected.fill('data', 2 << 20, 4 << 20);
  expected.fill('more', 6 << 20, (6 << 20) + 5000);
  expect(
    readFileSync(found?.disk.path ?? '')
      .subarray(0, 8 << 20)
      .equals(expected),
  ).toBe(true);
}

test('import.mjs imports an image from a web server into a VDI, and prints its uuid', async () => {
  const { stdout, stderr } = await reader.shell('node import.mjs "$URL/image.ova" "$SR" web-1');
  expectDisk(stdout.trim(), 'web-1');
  expect(stderr).toMatch(/\d bytes written, \d+ skipped/);
});

test('import.mjs reports what is wrong, and exits as the command line would', async () => {
  const { stdout } = await reader.shell('node import.mjs missing.ova "$SR" 2>&1 || echo "status $?"');
  expect(stdout).toMatch(/missing\.ova.* \(SOURCE_OPEN\)\n.*\nstatus 1\n$/);
});

/** The document that nova-wrapper.mjs answers to a call, as XAPI makes it. */
async function call(fn: string, members: Readonly<Record<string, string>>): Promise<string> {
  const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const struct = Object.entries({ host_uuid: 'x', ...members })
    .map(([name, text]) => `<member><name>${name}</name>${text === '' ? '<value/>' : `<value>${escaped(text)}</value>`}</member>`)
    .join('');
  const params = `<param><value>OpaqueRef:0</value></param><param><value><struct>${struct}</struct></value></param>`;
  const text = `<methodCall><methodName>${fn}</methodName><params>${params}</params></methodCall>`;
  return (await reader.run(process.execPath, 'nova-wrapper.mjs', text)).stdout;
}

const success = (document: string): string =>
  /<value>Success<\/value>.*<name>Value<\/name><value>([^<]*)<\/value>/.exec(document)?.[1] ?? document;

const disk = (changed: Readonly<Record<string, string>> = {}) => ({ image: IMAGE, endpoints: reader.url, sr: reader.sr, ...changed });

test('nova-wrapper.mjs imports a Glance image into a VDI, and answers with its uuid', async () => {
  const named = await call('make_disk', disk({ name: 'a & b <c>', token: 'gAAA' }));
  expectDisk(success(named), 'a & b <c>');
  const nameless = await call('make_disk', { name: '', ...disk() });
  expectDisk(success(nameless), `glance image ${IMAGE}`);
});

const failure = (document: string): string[] => {
  expect(document).toContain('<value>Failure</value>');
  const [, list = ''] = /<array><data>(.*)<\/data><\/array>/.exec(document) ?? [];
  return [...list.matchAll(/<value>(.*?)<\/value>/g)].map(([, text = '']) => text);
};

test('nova-wrapper.mjs asks for a retry only if that may help', async () => {
  const gone = await call('make_disk', disk({ image: 'no-such-image' }));
  expect(failure(gone)).toEqual(['XENAPI_PLUGIN_FAILURE', 'make_disk', 'PluginError', expect.stringContaining('(HTTP_NOT_FOUND)')]);
  const down = await call('make_disk', disk({ endpoints: 'http://127.0.0.1:1' }));
  expect(failure(down)).toEqual(['XENAPI_PLUGIN_FAILURE', 'make_disk', 'RetryableError', expect.stringContaining('(HTTP_CONNECT)')]);
});

test('nova-wrapper.mjs answers with a document even if it is called incorrectly', async () => {
  const missing = await call('make_disk', { image: IMAGE });
  expect(failure(missing)).toEqual(['XENAPI_PLUGIN_FAILURE', 'make_disk', 'PluginError', expect.stringContaining('endpoints is missing')]);
  expect(failure(await call('no_such_function', {}))).toEqual(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', 'no_such_function']);
});

plainTest.each(['image.vhd', 'image.ova', 'image.tar.gz'])(
  'write-disk.mjs writes the same disk from %s as the command line',
  async (image) => {
    const { stdout } = await reader.shell(`
    node write-disk.mjs ${image} blocks-of-${image}.raw
    vdistream write ${image} ${image}.raw --quiet && cmp ${image}.raw blocks-of-${image}.raw`);
    expect(stdout).toMatch(/^\d+ bytes written, \d+ zeroed, \d+ skipped\n$/);
  },
);

plainTest('write-disk.mjs reports what is wrong, and leaves no partly written file', async () => {
  const { stdout } = await reader.shell(`
    head -c 3000000 image.vhd > cut.vhd
    node write-disk.mjs cut.vhd half.raw 2>&1 || echo "status $?"
    test ! -e half.raw`);
  expect(stdout).toMatch(/\(VHD_BLOCK_RANGE\)\n.*\nstatus 1\n$/);
});
