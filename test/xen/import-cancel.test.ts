/** Cancelling an import, in the program and from outside, at each of its steps: CANCELLED, and nothing is left. */

import { describe, expect } from 'vitest';
import { type ImportOptions, importToDevice, reap } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import { failure } from '../support/failure.ts';
import {
  callsFromNow,
  clientsOf,
  commandLine,
  content,
  expectArrived,
  image,
  imported,
  importing,
  inParts,
  type Outcome,
  type Place,
  places,
  STEPS,
  signalled,
} from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';
import { withResolvers } from '../support/with-resolvers.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();

/** Milliseconds. */
const NEVER = 30_000;

const MARK = 'vdi-param-remove';

/** Holds a command of the next import until `release`; `reached` resolves when it is there. */
async function hold({ host }: Place, step: string, when: 'before' | 'after' = 'before') {
  const [command = '', nth = '1'] = step.split(' ');
  const called = await callsFromNow(host);
  await host.fault({ command, nth: Number(nth), when, what: 'late' });
  return { called, reached: called(command, Number(nth)) };
}

function expectCancelled({ host }: Place, { error, vdi }: Outcome): void {
  expect([error?.code, error?.left, vdi], error?.message).toEqual(['CANCELLED', [], undefined]);
  expect(clientsOf(host)).toEqual([]);
  assertClean(host);
}

async function finished({ host }: Place): Promise<void> {
  await host.release();
  await host.idle();
}

describe.concurrent('a signal that fires', () => {
  const moments = STEPS.flatMap((step) => [[step, 'is running', 'before'] as const, [step, 'has just completed', 'after'] as const]);
  test.each(moments)('while %s %s is obeyed once that call has ended', (step, _, when) =>
    onPlace(async (place) => {
      const stop = new AbortController();
      const { reached } = await hold(place, step, when);
      const running = imported(place, { signal: stop.signal, xe: { ...place.xe, grace: NEVER } });
      await reached;
      stop.abort();
      await finished(place);
      const outcome = await running;
      // Then it is too late: the disk belongs to the caller.
      if (step === MARK) expectArrived(place, outcome.vdi ?? '');
      else expectCancelled(place, outcome);
    }),
  );

  test.each(['vm-list', 'sr-param-get', 'sr-param-get 2', 'vdi-list', 'vdi-create', 'vdi-param-get', 'vbd-create', 'vbd-plug', 'vbd-list'])(
    'while %s never ends is obeyed after the grace period',
    (step) =>
      onPlace(async (place) => {
        const { host } = place;
        const { reached } = await hold(place, step);
        const { child, ended } = importing(place, place.image, { xe: { ...place.xe, grace: 100 } });
        await reached;
        child.kill('SIGTERM');
        const { error } = await ended;
        expect(error?.code).toBe('CANCELLED');
        expect(clientsOf(host)).toEqual([]);
        // What is still at work on the disk may keep it from being removed, or make it when nobody is there any more.
        if (step === 'vdi-create') expect(error?.left).toEqual([expect.stringMatching(/^perhaps a VDI that xapi is still creating/)]);
        else if (error?.left.length === 0) assertClean(host);
        else expect(error?.left).toEqual([expect.stringMatching(/^VDI \S+: .* Another operation/)]);
        await finished(place);
        expect((await reap({ xe: place.xe })).failed).toBe(0);
        assertClean(host);
      }),
  );

  test('before an import begins keeps it from making any call', () =>
    onPlace(async (place) => {
      const before = await place.host.calls();
      expectCancelled(place, await imported(place, { signal: AbortSignal.abort() }));
      expect(await place.host.calls()).toEqual(before);
    }));

  test('while the source has not yielded a byte creates no VDI', () =>
    onPlace(async (place) => {
      const stop = new AbortController();
      const before = (await place.host.calls()).length;
      const { reached } = await hold(place, 'vdi-list');
      const running = imported(place, { signal: stop.signal, xe: { ...place.xe, grace: NEVER } }, stalling(image.subarray(0, 0)).input);
      await reached;
      await finished(place);
      stop.abort();
      expectCancelled(place, await running);
      expect((await place.host.calls()).slice(before).map(([command]) => command)).not.toContain('vdi-create');
    }));

  test.each([
    ['its first block', 3000],
    ['the middle', image.length / 2],
    ['the end', image.length - 1],
  ])('while the source stalls at %s is obeyed immediately', (_, length) =>
    onPlace(async (place) => {
      const stop = new AbortController();
      const { input, stalled } = stalling(image.subarray(0, length));
      const called = await callsFromNow(place.host);
      const running = imported(place, { signal: stop.signal }, input);
      await Promise.all([stalled, called('vbd-list')]);
      stop.abort();
      expectCancelled(place, await running);
    }),
  );

  test.each(['write', 'verify'] as const)('in the phase "%s" is obeyed', (wanted) =>
    onPlace(async (place) => {
      const stop = new AbortController();
      const onProgress = ({ phase }: { phase: string }): void => {
        if (phase === wanted) stop.abort();
      };
      expectCancelled(place, await imported(place, { signal: stop.signal, verify: true, onProgress }));
      expect(stop.signal.aborted).toBe(true);
    }),
  );

  test('during a query about a device that the caller has attached is obeyed', () =>
    onPlace(async (place) => {
      const stop = new AbortController();
      const { reached } = await hold(place, 'sr-param-get');
      const running = failure(importToDevice(place.image, '/dev/null', { sr: place.sr, xe: place.xe, signal: stop.signal }));
      await reached;
      stop.abort();
      expect((await running).code).toBe('CANCELLED');
      await finished(place);
    }));

  test('while the node of the device is waited for is obeyed', () =>
    onPlace(async (place) => {
      const stop = new AbortController();
      const called = await callsFromNow(place.host);
      await place.host.fault({ command: 'vbd-plug', what: { node: 'missing' } });
      const running = imported(place, { signal: stop.signal });
      await called('vbd-list');
      stop.abort();
      expectCancelled(place, await running);
    }));

  test('while another import plugs its VBD keeps this one from plugging', () =>
    onPlace((other) =>
      onPlace(async (place) => {
        const { reached } = await hold(other, 'vbd-plug');
        const first = imported(other);
        await reached;
        const stop = new AbortController();
        const before = (await place.host.calls()).length;
        const waits = withResolvers();
        const onWarning: ImportOptions['onWarning'] = ({ code }) => code === 'LOCK_WAIT' && waits.resolve();
        // Two toolstacks stand for one here: both imports take the lock of the same host.
        const running = imported(place, { signal: stop.signal, xe: { ...place.xe, locks: other.xe.locks }, onWarning });
        await waits.promise;
        stop.abort();
        expectCancelled(place, await running);
        await other.host.release();
        expect((await place.host.calls()).slice(before).map(([command]) => command)).not.toContain('vbd-plug');
        expectArrived(other, (await first).vdi ?? '');
      }),
    ));

  test('while cleaning up after a broken image does not hide what was wrong with it', () =>
    onPlace(async (place) => {
      const { reached } = await hold(place, 'vdi-destroy');
      const { child, ended } = importing(place, place.broken);
      await reached;
      child.kill('SIGTERM');
      await finished(place);
      expect((await ended).error).toMatchObject({ code: 'COMPRESSION_CHECKSUM', left: [] });
      assertClean(place.host);
    }));

  test('while the unplug is retried is obeyed once the unplug has succeeded', () =>
    onPlace(async (place) => {
      const { host } = place;
      const stop = new AbortController();
      const called = await callsFromNow(host);
      await host.fault({ command: 'vbd-unplug', always: true, what: { fail: ['DEVICE_DETACH_REJECTED', 'VBD'] } });
      const running = imported(place, { signal: stop.signal });
      await called('vbd-unplug', 3);
      stop.abort();
      await host.noFaults();
      expectCancelled(place, await running);
    }));
});

/** A stream that stalls after `bytes`; `stalled` resolves when more is requested. */
function stalling(bytes: Uint8Array) {
  let markStalled = (): void => {};
  const stalled = new Promise<void>((resolve) => {
    markStalled = resolve;
  });
  async function* read(): AsyncIterable<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
    markStalled();
    await new Promise(() => {});
  }
  return { input: read(), stalled };
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

describe.concurrent('the command line', () => {
  const args = ({ sr, image: file }: Place): string[] => ['import', file, '--sr', sr, '--name', 'image', '--json', '--quiet'];

  test.each(STEPS.flatMap((step) => SIGNALS.map((signal) => [signal, step] as const)))('handles %s in %s', (signal, step) =>
    onPlace(async (place) => {
      const { reached } = await hold(place, step);
      const { child, ended } = commandLine(place, args(place));
      await reached;
      await signalled(child, signal);
      await finished(place);
      const { status, stdout, stderr } = await ended;
      if (step === MARK) {
        expect([status, stderr]).toEqual([0, '']);
        return expectArrived(place, JSON.parse(stdout).vdi);
      }
      expect([status, stdout]).toEqual([130, '']);
      expect(JSON.parse(stderr)).toEqual({ error: { code: 'CANCELLED', message: 'cancelled', advice: expect.any(String) } });
      assertClean(place.host);
    }),
  );

  test.each(SIGNALS)('handles %s while its standard input stalls', (signal) =>
    onPlace(async (place) => {
      const called = await callsFromNow(place.host);
      const { child, ended } = commandLine(place, ['import', '-', '--sr', place.sr]);
      child.stdin.write(image.subarray(0, image.length / 2));
      await called('vbd-list');
      child.kill(signal);
      const { status, stdout } = await ended;
      expect([status, stdout]).toEqual([130, '']);
      assertClean(place.host);
    }),
  );

  test.each(['vdi-create', 'vbd-plug', 'vbd-unplug', 'vbd-destroy'])(
    'shields xe from Ctrl-C, which reaches every process of the terminal, in %s',
    (step) =>
      onPlace(async (place) => {
        const { host } = place;
        const { reached } = await hold(place, step);
        const { child, ended } = commandLine(
          place,
          args(place).filter((word) => word !== '--json'),
        );
        await reached;
        const clients = clientsOf(host);
        expect(clients.length).toBe(1);
        process.kill(-(child.pid ?? Number.NaN), 'SIGINT');
        // By now a client that received the signal would be gone.
        expect((await host.run(['host-list'])).status).toBe(0);
        expect(clientsOf(host)).toEqual(clients);
        await finished(place);
        const { status, stderr } = await ended;
        expect(status).toBe(130);
        // Then a client that had exited before its answer would be reported.
        expect(stderr).not.toContain('because: ');
        expect(stderr).not.toContain('left behind: ');
        assertClean(host);
      }),
  );

  test.each(SIGNALS)('handles %s while it cleans up', (signal) =>
    onPlace(async (place) => {
      const { reached } = await hold(place, 'vdi-destroy');
      const { child, ended } = commandLine(place, ['import', place.broken, '--sr', place.sr, '--quiet']);
      await reached;
      await signalled(child, signal);
      await finished(place);
      const { status, stderr } = await ended;
      expect(status).toBe(130);
      expect(stderr).toMatch(/^ {2}because: .*gzip/m);
      assertClean(place.host);
    }),
  );

  test('reports what it could not remove, even if a signal arrives meanwhile', () =>
    onPlace(async (place) => {
      const { host } = place;
      const { reached } = await hold(place, 'vbd-unplug');
      await host.fault({ command: 'vdi-destroy', what: { fail: ['SR_BACKEND_FAILURE_80', '', 'no', ''] } });
      const { child, ended } = commandLine(place, ['import', place.broken, '--sr', place.sr, '--quiet']);
      await reached;
      await signalled(child, 'SIGINT');
      await finished(place);
      const { status, stderr } = await ended;
      expect(status).toBe(130);
      expect(stderr).toMatch(/^ {2}left behind: VDI /m);
      expect(await reap({ xe: place.xe })).toMatchObject({ removed: 1, failed: 0 });
      assertClean(host);
    }));

  test('exits immediately after a second signal, and what it leaves behind is reaped', () =>
    onPlace(async (place) => {
      const { host } = place;
      const { reached } = await hold(place, 'vbd-plug', 'after');
      const { child, ended } = commandLine(place, args(place));
      await reached;
      child.kill('SIGINT');
      child.kill('SIGTERM');
      expect(await ended).toMatchObject({ status: 130, stdout: '' });
      expect(host.state().vdi.length).toBe(1);
      await finished(place);
      expect(await reap({ xe: place.xe })).toMatchObject({ removed: 1, failed: 0 });
      assertClean(host);
    }));
});

test('after all these cancellations the same process can still import', () =>
  onPlace(async (place) => {
    const { vdi = '' } = await imported(place, { verify: true }, inParts(image, content.length));
    expectArrived(place, vdi);
  }));
