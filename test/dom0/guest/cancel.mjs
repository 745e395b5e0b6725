/** Ctrl-C while a slow device still has pending writes. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { attached, mapped, volume } from './devices.mjs';
import { full } from './images.mjs';
import { isWriting, until, vdistream } from './programs.mjs';
import { test } from './runner.mjs';

/** Processes that have the device open under any name. @param {string} path */
function holders(path) {
  const { rdev } = statSync(path);
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readdirSync(`/proc/${pid}/fd`).some((fd) => statSync(`/proc/${pid}/fd/${fd}`).rdev === rdev);
    } catch {
      return false; // gone by now
    }
  });
}

/** @param {import('./devices.mjs').Device} target */
async function interrupt({ path }) {
  const { status, error } = await vdistream(['write', full.path, path], {
    async during(child) {
      await until('a write is on its way', () => isWriting(child.pid));
      assert.deepEqual(holders(path), [String(child.pid)]);
      child.kill('SIGINT');
    },
  });
  assert.deepEqual([status, error.code], [130, 'CANCELLED']);
  assert.deepEqual(holders(path), []);
}

/** `Z`: the process has ended, but for threads that the kernel still waits for (proc_pid_stat(5)). @param {number | string | undefined} pid */
const stateOf = (pid) => readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '')[0];

/** Threads that wait for a device, which the kernel cannot interrupt. @param {number | undefined} pid */
const waiting = (pid) => readdirSync(`/proc/${pid}/task`).filter((thread) => stateOf(`${pid}/task/${thread}`) === 'D').length;

test('a second signal ends the process while a device hangs: the kernel alone waits for the device', async (t) => {
  const beneath = volume(t, { size: full.size });
  const { path } = mapped(t, 'hung', [[beneath.size, `delay ${beneath.path} 0 0 ${beneath.path} 0 20000`]]);
  let pending = 0;
  const { status, error } = await vdistream(['write', full.path, path], {
    async during(child) {
      await until('a write is on its way', () => isWriting(child.pid));
      child.kill('SIGINT');
      await until('the first signal has arrived', () => !hasPending(child.pid));
      child.kill('SIGINT');
      await until('the process has ended', () => stateOf(child.pid) === 'Z');
      pending = waiting(child.pid);
    },
  });
  assert(pending > 0, 'the device still hung');
  assert.deepEqual([status, error.code], [130, 'CANCELLED']);
  assert.match(String(error.message), /^a second signal ended it without cleaning up/);
  assert.deepEqual(holders(path), []);
});

/** Whether a signal has been sent that the process has not taken yet. @param {number | undefined} pid */
const hasPending = (pid) => /^ShdPnd:\t0*[1-9a-f]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));

/** A device that delays each write by a second. @param {import('./runner.mjs').Test} t @param {import('./devices.mjs').Device} beneath */
const slow = (t, { path, size }) => mapped(t, 'slow', [[size, `delay ${path} 0 0 ${path} 0 1000`]]);

test('Ctrl-C during a write to a slow device ends with 130, and nobody holds the device: it can be removed at once', async (t) => {
  await interrupt(slow(t, volume(t, { size: full.size })));
});

test('Ctrl-C during a write to an xvd device in front of a slow one ends with 130, and the device can be detached at once', async (t) => {
  await interrupt(attached(t, slow(t, volume(t, { size: full.size }))));
});
