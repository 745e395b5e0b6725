/**
 * Loaded before a program (`node --import`), it hides what only Linux has, as far as `node:fs` and `process` show it: VDISTREAM_TEST_SYSTEM is
 * `darwin` or `win32`. Any look at /proc and /sys finds nothing.
 */

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const system = process.env.VDISTREAM_TEST_SYSTEM;
if (system !== 'darwin' && system !== 'win32') throw new Error('VDISTREAM_TEST_SYSTEM is darwin or win32');

const HIDDEN = { darwin: /^\/(?:proc|sys|run)(?:\/|$)/, win32: /^\/(?:proc|sys|run|dev\/fd)(?:\/|$)/ }[system];

/**
 * @param {string} code
 * @param {string} path
 */
const systemError = (code, path) => Object.assign(new Error(`${code}: ${path}`), { code, path });

/**
 * Replaces a call: for a hidden path, `fail` reports the error in the way of that call.
 * @param {object} owner
 * @param {string} name
 * @param {(error: Error, args: unknown[]) => unknown} fail
 */
function hide(owner, name, fail) {
  const call = Reflect.get(owner, name);
  /** @param {unknown[]} args */
  const replaced = (...args) => {
    const [path] = args;
    if (typeof path === 'string' && HIDDEN.test(path)) return fail(systemError('ENOENT', path), args);
    return Reflect.apply(call, owner, args);
  };
  // With what `promisify` looks for.
  Object.defineProperties(replaced, Object.getOwnPropertyDescriptors(call));
  Reflect.set(owner, name, replaced);
}

for (const name of ['access', 'lstat', 'mkdir', 'open', 'opendir', 'readFile', 'readdir', 'readlink', 'realpath', 'stat', 'statfs']) {
  hide(fs.promises, name, (error) => Promise.reject(error));
  hide(fs, `${name}Sync`, (error) => {
    throw error;
  });
  hide(fs, name, (error, args) => {
    const callback = args.at(-1);
    if (typeof callback === 'function') process.nextTick(() => callback(error));
  });
}

Object.defineProperty(process, 'platform', { value: system });
if (system === 'win32') {
  for (const name of ['getuid', 'geteuid', 'getgid', 'getegid']) Reflect.set(process, name, undefined);
  const { open } = fs.promises;
  // Windows opens no folder as a file.
  fs.promises.open = async (path, flags, mode) => {
    const file = await open(path, flags, mode);
    if (!(await file.stat()).isDirectory()) return file;
    await file.close();
    throw systemError('EISDIR', String(path));
  };
}
syncBuiltinESMExports();
