#!/usr/bin/env node
/**
 * A XAPI plugin built on the library, for a Nova that calls its own plugin. It has plain arguments and returns the uuid of the VDI:
 *
 *   session.call_plugin('boot-disk', 'make_disk', {'image': id, 'endpoints': 'http://10.0.0.1:9292', 'sr': uuid, 'token': token})
 *   xe host-call-plugin host-uuid=HOST plugin=boot-disk fn=make_disk args:image=ID args:endpoints=http://10.0.0.1:9292 args:sr=UUID
 *
 * XAPI runs a plugin with the call, as XML, as its only argument. It expects exactly one document on stdout, and exit status 0 even for
 * errors. docs/dom0.md explains how to install a plugin.
 */

import { glanceImage, importImage, VdiStreamError } from 'vdistream';

/** @typedef {ReadonlyMap<string, string>} Arguments */

/** @type {Readonly<Record<string, (args: Arguments, signal: AbortSignal) => Promise<string>>>} */
const FUNCTIONS = {
  async make_disk(args, signal) {
    const token = args.get('token');
    const image = glanceImage(required(args, 'image'), {
      endpoints: required(args, 'endpoints').split(','),
      headers: token === undefined ? {} : { 'X-Auth-Token': token },
      // Nova retries the call, so there is no need to wait for a server that is down.
      retries: 1,
    });
    const { vdi } = await importImage(image, {
      sr: required(args, 'sr'),
      name: args.get('name'),
      signal,
      onWarning: ({ code, message }) => console.error(`warning: ${message} (${code})`),
      // Unset in Dom0, where the defaults are right.
      xe: { program: process.env.VDISTREAM_XE, inventory: process.env.VDISTREAM_INVENTORY },
    });
    return vdi;
  },
};

/** @param {Arguments} args @param {string} name */
function required(args, name) {
  const value = args.get(name);
  if (value === undefined) throw new VdiStreamError('USAGE', `argument ${name} is missing`);
  return value;
}

/** Nova retries the call if the class is RetryableError. @param {unknown} error */
const classOf = (error) => (error instanceof VdiStreamError && error.retryable ? 'RetryableError' : 'PluginError');

/** @param {unknown} error */
function sentencesOf(error) {
  if (!(error instanceof VdiStreamError)) return [String(error)];
  return [`${error.message} (${error.code}).`, error.advice, ...error.left.map((sentence) => `Left behind: ${sentence}`)];
}

/**
 * XAPI always writes strings without a tag, and an empty one as `<value/>`, which counts as missing here.
 * @param {string} text
 */
function readCall(text) {
  const fn = /<methodName>([^<]*)<\/methodName>/.exec(text)?.[1] ?? '';
  const members = [...text.matchAll(/<member><name>([^<]*)<\/name><value>([^<]*)<\/value><\/member>/g)];
  return { fn: plain(fn), args: new Map(members.map(([, name = '', value = '']) => [plain(name), plain(value)])) };
}

/** @type {Readonly<Record<string, string>>} */
const ENTITIES = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'", '&amp;': '&' };

const plain = (/** @type {string} */ text) => text.replace(/&\w+;/g, (entity) => ENTITIES[entity] ?? entity);
const escaped = (/** @type {string} */ text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @param {string} status @param {string} name @param {string} value */
function answer(status, name, value) {
  const members = `<member><name>Status</name><value>${status}</value></member><member><name>${name}</name><value>${value}</value></member>`;
  process.stdout.write(`<methodResponse><params><param><value><struct>${members}</struct></value></param></params></methodResponse>`);
}

/** @param {readonly string[]} description */
function fail(description) {
  const values = description.map((text) => `<value>${escaped(text)}</value>`).join('');
  answer('Failure', 'ErrorDescription', `<array><data>${values}</data></array>`);
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop.abort(new Error(signal)));

const { fn, args } = readCall(process.argv[2] ?? '');
const work = FUNCTIONS[fn];
if (work === undefined) fail(['UNKNOWN_XENAPI_PLUGIN_FUNCTION', fn]);
else {
  try {
    answer('Success', 'Value', escaped(await work(args, stop.signal)));
  } catch (error) {
    fail(['XENAPI_PLUGIN_FAILURE', fn, classOf(error), sentencesOf(error).join(' ')]);
  }
}
