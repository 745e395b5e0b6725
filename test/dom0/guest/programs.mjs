/** Runs programs of Dom0, and vdistream as an operator would. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { step } from './runner.mjs';

const MAIN = '/work/dist/cli/main.js';
const PLUGIN = '/work/dist/plugin/main.js';

/**
 * Runs a program to its end and returns its output. An exit status other than 0 is an error, with the program's message.
 * @param {string} program @param {readonly string[]} args
 */
export function bytes(program, ...args) {
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, {
    maxBuffer: 1 << 26,
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  step();
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? signal ?? `exit status ${status}`}\n${stderr}`);
}

/** Like `bytes`, but returns text. @param {string} program @param {readonly string[]} args */
export const run = (program, ...args) => bytes(program, ...args).toString();

const INTERVAL = 10;
const TRIES = 3000;

/** Polls for a state that no event reports. @param {string} what @param {() => boolean} state */
export async function until(what, state) {
  for (let tries = 0; !state(); tries++) {
    if (tries === TRIES) throw new Error(`timed out waiting until ${what}`);
    await sleep(INTERVAL);
  }
}

/** Like `until`, but synchronous. @param {string} what @param {() => boolean} state */
export function waitFor(what, state) {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let tries = 0; !state(); tries++) {
    if (tries === TRIES) throw new Error(`timed out waiting until ${what}`);
    Atomics.wait(never, 0, 0, INTERVAL);
  }
}

/**
 * Whether a process has submitted data to a block device, finished or not (proc(5)). At least 1 MiB, because updates of file times on the
 * root file system count too. @param {number | undefined} pid
 */
export const isWriting = (pid) => Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]) >= 1 << 20;

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/**
 * @typedef {object} Outcome
 * @property {number | null} status
 * @property {Record<string, unknown>} result  stdout, parsed; empty after an error
 * @property {Record<string, unknown>} error  empty after success
 */

/**
 * Runs `vdistream ARGS --json --quiet`. `under` is a wrapper program with its arguments; `during` is called with the running process.
 * @param {readonly string[]} args
 * @param {{ input?: number | 'pipe', under?: readonly string[], during?: (child: ChildProcess) => Promise<void> }} [options]
 * @returns {Promise<Outcome>}
 */
export async function vdistream(args, { input, under = [], during } = {}) {
  const [program = '', ...rest] = [...under, process.execPath, MAIN, ...args, '--json', '--quiet'];
  const child = spawn(program, rest, { stdio: [input ?? 'ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  /** @type {Promise<number | null>} */
  const closed = new Promise((resolve, reject) => child.once('close', resolve).once('error', reject));
  try {
    await during?.(child);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const status = await closed;
  step();
  const { error } = parse(stderr);
  return { status, result: parse(stdout), error: isObject(error) ? error : stderr === '' ? {} : { code: 'UNPARSED', stderr } };
}

/**
 * Calls a function of the plugin as XAPI does for `xe host-call-plugin`, and returns the document that it prints.
 * @param {string} fn @param {Readonly<Record<string, string>>} args @param {string} xe
 */
export async function plugin(fn, args, xe) {
  const members = Object.entries(args).map(([name, value]) => `<member><name>${name}</name><value>${value}</value></member>`);
  const values = ['OpaqueRef:session', `<struct>${members.join('')}</struct>`];
  const params = values.map((value) => `<param><value>${value}</value></param>`).join('');
  const call = `<methodCall><methodName>${fn}</methodName><params>${params}</params></methodCall>`;
  const env = { PATH: '/sbin:/usr/sbin:/bin:/usr/bin', VDISTREAM_XE: xe };
  const child = spawn(process.execPath, [PLUGIN, call], { stdio: ['ignore', 'pipe', 'inherit'], env });
  let document = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    document += text;
  });
  await once(child, 'close');
  step();
  return document;
}

/** @param {string} text @returns {Record<string, unknown>} */
function parse(text) {
  try {
    const value = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => typeof value === 'object' && value !== null;
