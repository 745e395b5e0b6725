/**
 * Loaded before a program (`node --import`), it hides what only Linux has, as far as `node:fs` and `process` show it: VDISTREAM_TEST_SYSTEM is
 * `darwin` or `win32`. Any look at /proc and /sys finds nothing. As on Windows, PATH has other separators, and the numbers of files are rounded.
 */

import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';

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

/**
 * Numbers of files as on NTFS, where the high bits count how often a number was used: as a JavaScript number, 256 of them are one.
 * @param {unknown} stats
 */
function roundNumber(stats) {
  const ino = stats instanceof fs.Stats ? stats.ino : undefined;
  if (typeof ino === 'number') Reflect.set(Object(stats), 'ino', Number(2n ** 60n + BigInt(ino)));
  return stats;
}

/**
 * @param {object} owner
 * @param {string} name
 */
function roundResult(owner, name) {
  const call = Reflect.get(owner, name);
  /** @this {unknown} @param {unknown[]} args */
  function replaced(...args) {
    const callback = args.at(-1);
    if (typeof callback === 'function')
      args[args.length - 1] = (/** @type {[unknown, unknown]} */ ...[error, stats]) => callback(error, roundNumber(stats));
    const result = Reflect.apply(call, this, args);
    return result instanceof Promise ? result.then(roundNumber) : roundNumber(result);
  }
  Reflect.set(owner, name, replaced);
}

/** Windows looks for a bare name in the current folder before it looks into the PATH. */
function refuseBareNames() {
  const { spawn } = childProcess;
  /** @param {string} program @param {unknown[]} rest */
  const replaced = (program, ...rest) => {
    if (path.basename(program) === program) throw systemError('EACCES', `${program} in the current folder`);
    return Reflect.apply(spawn, childProcess, [program, ...rest]);
  };
  Reflect.set(childProcess, 'spawn', replaced);
}

Object.defineProperty(process, 'platform', { value: system });
if (system === 'win32') {
  Reflect.set(path, 'delimiter', ';');
  refuseBareNames();
  for (const name of ['stat', 'lstat', 'fstat']) {
    roundResult(fs, name);
    roundResult(fs, `${name}Sync`);
    if (name !== 'fstat') roundResult(fs.promises, name);
  }
  const handle = await fs.promises.open(process.execPath);
  roundResult(Object.getPrototypeOf(handle), 'stat');
  await handle.close();
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
