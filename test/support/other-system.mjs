/**
 * Loaded before a program (`node --import`), it hides what only Linux has, as far as `node:fs` and `process` show it: VDISTREAM_TEST_SYSTEM is
 * `darwin` or `win32`. Any look at /proc and /sys finds nothing.
 */

import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const system = process.env.VDISTREAM_TEST_SYSTEM ?? '';

const HIDDEN = { darwin: /^\/(?:proc|sys|run)(?:\/|$)/, win32: /^\/(?:proc|sys|run|dev)(?:\/|$)/ }[system];
if (HIDDEN === undefined) throw new Error('VDISTREAM_TEST_SYSTEM is darwin or win32');

const missing = (path) => Object.assign(new Error(`ENOENT: no such file or directory, '${path}'`), { code: 'ENOENT', errno: -2, path });
const isHidden = (path) => typeof path === 'string' && HIDDEN.test(path);
/** The way in which a call reports an error: by throwing, to its callback, by rejecting. */
function hiding(call, fail) {
  const replaced = function (...args) {
    return isHidden(args[0]) ? fail(missing(args[0]), args) : call.apply(this, args);
  };
  return Object.assign(replaced, call);
}

const BY_PATH = ['access', 'lstat', 'mkdir', 'open', 'opendir', 'readFile', 'readdir', 'readlink', 'realpath', 'stat', 'statfs'];
for (const name of BY_PATH) {
  fs.promises[name] = hiding(fs.promises[name], (error) => Promise.reject(error));
  fs[`${name}Sync`] = hiding(fs[`${name}Sync`], (error) => {
    throw error;
  });
  fs[name] = hiding(fs[name], (error, args) => void process.nextTick(args.at(-1), error));
}

Object.defineProperty(process, 'platform', { value: system });
if (system === 'win32') {
  for (const name of ['getuid', 'geteuid', 'getgid', 'getegid']) process[name] = undefined;
  const { openSync } = fs;
  // Windows opens no folder as a file.
  const { open } = fs.promises;
  fs.promises.open = async (path, ...rest) => {
    const handle = await open(path, ...rest);
    if (!(await handle.stat()).isDirectory()) return handle;
    await handle.close();
    throw Object.assign(new Error(`EISDIR: illegal operation on a directory, open '${path}'`), { code: 'EISDIR', errno: -4068 });
  };
  fs.openSync = openSync;
}
syncBuiltinESMExports();
