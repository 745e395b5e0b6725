/**
 * The clean-up of an import that has failed, when that fails too: the first error is reported, with what is left behind, and
 * `reap` removes it once the import's process is gone.
 */

import { closeSync, openSync } from 'node:fs';
import { describe, expect, vi } from 'vitest';
import { type ImportOptions, importImage, reap } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import type { Fault, Rule } from '../stand-in/host.ts';
import { failure } from '../support/failure.ts';
import {
  callsFromNow,
  clientsOf,
  expectArrived,
  type ImportReport,
  importedElsewhere,
  type Place,
  places,
} from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();

/** Milliseconds. */
const NEVER = 30_000;
const SOON = 1500;

/** Once the fault and the process of the import are gone, reap removes everything. */
async function reaped({ host, xe }: Place): Promise<void> {
  expect(clientsOf(host)).toEqual([]);
  await host.noFaults();
  await host.release();
  await host.idle();
  const { failed } = await reap({ xe: { ...xe, timeout: NEVER } });
  expect(failed).toBe(0);
  assertClean(host);
}

/** `left` of an error, with the uuids chosen by the toolstack replaced by names. */
function leftOf({ host }: Place, { error }: ImportReport): string[] {
  const { vdi, vbd } = host.state();
  const names = [...vdi.map(({ uuid }) => [uuid, 'DISK'] as const), ...vbd.map(({ uuid }) => [uuid, 'PLUG'] as const)];
  return (error?.left ?? []).map((sentence) => names.reduce((text, [uuid, name]) => text.replaceAll(uuid, name), sentence));
}

const USAGE = { say: { stdout: 'Usage: xe <cmd> [-s server]\n' } } as const;
const fail = (code: string): Fault => ({ fail: [code, 'OpaqueRef:0'] });

/** What is left of a disk: nothing, or what the error says of it. */
type Left = 'nothing' | RegExp;

const WHAT_VBDS = /^VDI DISK: xe vbd-list/;
const PLUGGED = /^VDI DISK: VBD PLUG is still plugged: xe vbd-unplug/;
const THERE = /^VDI DISK: xe vdi-destroy/;

/** The commands of the clean-up: list our own VBDs, list all VBDs, remove ours, remove the disk. */
const CASES: ReadonlyArray<readonly [step: string, ends: string, rule: Omit<Rule, 'command' | 'nth'>, left: Left]> = [
  ['vbd-list 2', 'is refused', { what: fail('INTERNAL_ERROR') }, WHAT_VBDS],
  ['vbd-list 2', 'is never answered', { what: 'hang' }, WHAT_VBDS],
  ['vbd-list 2', 'has its connection ended', { what: 'die' }, WHAT_VBDS],
  ['vbd-list 2', 'has its client killed', { what: { kill: 9 } }, WHAT_VBDS],
  ['vbd-list 2', 'answers senselessly', { what: USAGE }, /^VDI DISK: attached to another VM by VBD PLUG$/],
  ['vbd-list 3', 'is refused', { what: fail('HANDLE_INVALID') }, WHAT_VBDS],
  ['vbd-list 3', 'is never answered', { what: 'hang' }, WHAT_VBDS],
  ['vbd-list 3', 'has its connection ended', { what: 'die' }, WHAT_VBDS],
  ['vbd-list 3', 'answers senselessly', { what: USAGE }, /^VDI DISK: attached to another VM by VBD Usage/],

  ['vbd-unplug', 'is rejected once', { what: fail('DEVICE_DETACH_REJECTED') }, 'nothing'],
  ['vbd-unplug', 'is rejected forever', { what: fail('DEVICE_DETACH_REJECTED'), always: true }, PLUGGED],
  ['vbd-unplug', 'fails forever', { what: fail('INTERNAL_ERROR'), always: true }, PLUGGED],
  ['vbd-unplug', 'times out in the toolstack', { what: fail('DEVICE_DETACH_TIMEOUT') }, PLUGGED],
  ['vbd-unplug', 'times out in the toolstack, but took effect', { what: fail('DEVICE_DETACH_TIMEOUT'), when: 'after' }, 'nothing'],
  ['vbd-unplug', 'is not allowed', { what: fail('VBD_NOT_UNPLUGGABLE') }, PLUGGED],
  ['vbd-unplug', 'is refused by the storage', { what: fail('SR_BACKEND_FAILURE_46') }, PLUGGED],
  ['vbd-unplug', 'is reported as already done', { what: fail('DEVICE_ALREADY_DETACHED') }, PLUGGED],
  ['vbd-unplug', 'is refused for a missing VBD', { what: fail('UUID_INVALID') }, PLUGGED],
  ['vbd-unplug', 'is refused for a missing object', { what: fail('HANDLE_INVALID') }, PLUGGED],
  ['vbd-unplug', 'is never answered', { what: 'hang' }, PLUGGED],
  ['vbd-unplug', 'is never answered, but took effect', { what: 'hang', when: 'after' }, 'nothing'],
  ['vbd-unplug', 'takes effect too late', { what: 'late' }, PLUGGED],
  ['vbd-unplug', 'takes effect after its client is gone', { what: 'gone' }, 'nothing'],
  ['vbd-unplug', 'has its connection ended', { what: 'die' }, PLUGGED],
  ['vbd-unplug', 'has its connection ended, but took effect', { what: 'die', when: 'after' }, 'nothing'],
  ['vbd-unplug', 'has its client killed', { what: { kill: 9 } }, PLUGGED],
  ['vbd-unplug', 'answers with nonsense', { what: USAGE }, PLUGGED],

  ['vdi-destroy', 'is refused by the storage', { what: fail('SR_BACKEND_FAILURE_80') }, THERE],
  ['vdi-destroy', 'is refused by the storage, but took effect', { what: fail('SR_BACKEND_FAILURE_80'), when: 'after' }, 'nothing'],
  ['vdi-destroy', 'finds the disk in use', { what: fail('VDI_IN_USE') }, THERE],
  ['vdi-destroy', 'finds the storage gone', { what: fail('SR_BACKEND_FAILURE_47') }, THERE],
  ['vdi-destroy', 'finds an operation in progress', { what: fail('OTHER_OPERATION_IN_PROGRESS') }, THERE],
  ['vdi-destroy', 'is refused for a missing VDI', { what: fail('UUID_INVALID') }, THERE],
  ['vdi-destroy', 'is refused for a missing object', { what: fail('HANDLE_INVALID') }, THERE],
  ['vdi-destroy', 'is never answered', { what: 'hang' }, THERE],
  ['vdi-destroy', 'is never answered, but took effect', { what: 'hang', when: 'after' }, 'nothing'],
  ['vdi-destroy', 'takes effect too late', { what: 'late' }, THERE],
  ['vdi-destroy', 'takes effect after its client is gone', { what: 'gone' }, 'nothing'],
  ['vdi-destroy', 'has its connection ended', { what: 'die' }, THERE],
  ['vdi-destroy', 'has its connection ended, but took effect', { what: 'die', when: 'after' }, 'nothing'],
  ['vdi-destroy', 'has its client killed', { what: { kill: 9 } }, THERE],
  ['vdi-destroy', 'answers with nonsense', { what: USAGE }, THERE],
];

describe.concurrent('after an image that turned out to be broken', () => {
  test('the clean-up calls exactly the commands tested here', () =>
    onPlace(async (place) => {
      const { error } = await importedElsewhere(place, place.broken);
      expect([error?.code, error?.left]).toEqual(['COMPRESSION_CHECKSUM', []]);
      const commands = (await place.host.calls()).map(([command = '']) => command);
      expect(commands.slice(commands.indexOf('vbd-plug') + 1)).toEqual(['vbd-list', 'vbd-list', 'vbd-list', 'vbd-unplug', 'vdi-destroy']);
      assertClean(place.host);
    }));

  test.each(CASES)('%s %s, and the reported error is still that of the image', (step, _, rule, left) =>
    onPlace(async (place) => {
      const [command = '', nth = '1'] = step.split(' ');
      await place.host.fault({ command, nth: Number(nth), ...rule });
      const timeout = rule.what === 'hang' || rule.what === 'late' || rule.what === 'gone' ? SOON : NEVER;
      const report = await importedElsewhere(place, place.broken, { xe: { ...place.xe, timeout } });
      expect(report.error?.code, report.error?.message).toBe('COMPRESSION_CHECKSUM');
      expect(leftOf(place, report)).toEqual(left === 'nothing' ? [] : [expect.stringMatching(left)]);
      if (left === 'nothing') assertClean(place.host);
      await reaped(place);
    }),
  );
});

test('an exception from a callback does not hide what is left behind', () =>
  onPlace(async (place) => {
    const { host, sr, xe } = place;
    await host.fault({ command: 'vdi-destroy', what: fail('SR_BACKEND_FAILURE_80') });
    const onProgress: ImportOptions['onProgress'] = ({ phase }) => {
      if (phase === 'write') throw new Error('the caller has a fault');
    };
    const error = await failure(importImage(place.image, { sr, xe, onProgress }));
    expect(error.message).toBe('the caller has a fault');
    expect(leftOf(place, { error })).toEqual([expect.stringMatching(THERE)]);
    // Its owner still runs, but has given it up.
    await reaped(place);
  }));

describe.concurrent('an import of a good image', () => {
  test.each([
    ['is rejected forever', 'DEVICE_DETACH_REJECTED', 'VBD_DETACH'],
    ['fails forever', 'INTERNAL_ERROR', 'XE_FAILED'],
  ])('fails if the unplug %s', (_, xapi, code) =>
    onPlace(async (place) => {
      await place.host.fault({ command: 'vbd-unplug', always: true, what: fail(xapi) });
      const report = await importedElsewhere(place, place.image);
      expect(report.error?.code).toBe(code);
      expect(leftOf(place, report)).toEqual([expect.stringMatching(PLUGGED)]);
      await reaped(place);
    }),
  );

  /** Opens the device as soon as it is plugged. */
  async function held(place: Place) {
    const { host } = place;
    const called = await callsFromNow(host);
    await host.fault({ command: 'vbd-plug', when: 'after', what: 'late' });
    const running = importedElsewhere(place, place.image);
    await called('vbd-plug');
    const device = await vi.waitUntil(() => host.state().vbd.find((vbd) => vbd.currentlyAttached)?.device, { timeout: 30_000 });
    const file = openSync(`/dev/${device}`, 'r');
    await host.release();
    return { running, file, called };
  }

  test('succeeds if the process that has its device open closes it in time', () =>
    onPlace(async (place) => {
      const { running, file, called } = await held(place);
      await called('vbd-unplug', 3);
      closeSync(file);
      const { vdi = '', error } = await running;
      expect(error).toBe(undefined);
      expectArrived(place, vdi);
    }));

  test('fails if a process keeps its device open', () =>
    onPlace(async (place) => {
      const { running, file } = await held(place);
      const report = await running;
      expect(report.error?.code).toBe('VBD_DETACH');
      expect(leftOf(place, report)).toEqual([expect.stringMatching(PLUGGED)]);
      closeSync(file);
      await reaped(place);
    }));
});

describe.concurrent('a command that completes too late:', () => {
  test('a created disk can be found by its owner tag', () =>
    onPlace(async (place) => {
      const { host, xe } = place;
      await host.fault({ command: 'vdi-create', what: 'late' });
      const told = await importedElsewhere(place, place.image, { xe: { ...xe, timeout: SOON } });
      expect(told.error).toMatchObject({ code: 'XE_TIMEOUT', left: [expect.stringMatching(/^perhaps a VDI that xapi is still creating/)] });
      assertClean(host);
      await host.release();
      await host.idle();
      expect(host.state().vdi).toMatchObject([{ nameLabel: 'image' }]);
      await reaped(place);
    }));

  test.each(['vdi-param-get', 'vbd-create', 'vbd-plug', 'vbd-list', 'vbd-unplug', 'vbd-destroy'])(
    '%s leaves nothing, or something that is reported',
    (command) =>
      onPlace(async (place) => {
        await place.host.fault({ command, what: 'late' });
        const report = await importedElsewhere(place, place.image, { xe: { ...place.xe, timeout: SOON } });
        expect(report.error?.code).toBe('XE_TIMEOUT');
        if (leftOf(place, report).length === 0) assertClean(place.host);
        else expect(leftOf(place, report)).toEqual([expect.stringMatching(/^VDI DISK: /)]);
        await reaped(place);
      }),
  );

  test('vdi-param-remove leaves nothing, or a finished disk that is reported', () =>
    onPlace(async (place) => {
      const { host, xe } = place;
      await host.fault({ command: 'vdi-param-remove', what: 'late' });
      const report = await importedElsewhere(place, place.image, { xe: { ...xe, timeout: SOON } });
      expect(report.error?.code).toBe('XE_TIMEOUT');
      await host.release();
      await host.idle();
      if (leftOf(place, report).length === 0) assertClean(host);
      else await finished(place, report);
    }));
});

describe.concurrent('a disk that was created without an answer', () => {
  test('is reported as possibly left behind if the toolstack cannot be asked for it', () =>
    onPlace(async (place) => {
      const { host } = place;
      await host.fault({ command: 'vdi-create', when: 'after', what: 'die' });
      await host.fault({ command: 'vdi-list', nth: 2, always: true, what: 'die' });
      const report = await importedElsewhere(place, place.image);
      expect(report.error).toMatchObject({
        code: 'XE_CONNECTION',
        left: [expect.stringMatching(/^perhaps a VDI: xapi does not answer/)],
      });
      expect(host.state().vdi.length).toBe(1);
      await reaped(place);
    }));

  test('is also reported if the answers make no sense and it cannot be found', () =>
    onPlace(async (place) => {
      const { host } = place;
      await host.fault({ command: 'vdi-create', when: 'after', what: USAGE });
      await host.fault({ command: 'vdi-list', nth: 2, what: 'die' });
      const report = await importedElsewhere(place, place.image);
      expect(report.error).toMatchObject({
        code: 'XE_FAILED',
        left: [expect.stringMatching(/^perhaps a VDI: xapi does not answer/)],
      });
      expect(host.state().vdi.length).toBe(1);
      await reaped(place);
    }));
});

/** What was finished without anybody knowing it: no owner tag, so no left-over, but reported. */
async function finished(place: Place, report: ImportReport): Promise<void> {
  expect(leftOf(place, report)).toEqual([expect.stringMatching(/^VDI DISK: /)]);
  const [vdi = ''] = place.host.state().vdi.map(({ uuid }) => uuid);
  expect((await reap({ xe: place.xe })).leftOvers).toEqual([]);
  expectArrived(place, vdi);
}

describe.concurrent('a toolstack that dies', () => {
  /** The import's command is under way, with its effect or without. */
  async function dies(place: Place, command: string, when: 'before' | 'after'): Promise<ImportReport> {
    const { host } = place;
    const called = await callsFromNow(host);
    await host.fault({ command, when, what: 'hang' });
    const running = importedElsewhere(place, place.image);
    await called(command);
    if (when === 'after') await host.idle();
    await host.kill();
    return running;
  }

  const MOMENTS = { before: 'without its effect', after: 'although it had its effect' } as const;
  const PERHAPS = /^perhaps a VDI: xapi does not answer \(/;
  const NOT_ASKED = /^VDI DISK: xe vbd-list: /;
  const LEFT: Readonly<Record<string, RegExp | undefined>> = {
    'vm-list': undefined,
    'sr-param-get': undefined,
    'vdi-list': PERHAPS,
    'vdi-create': PERHAPS,
    'vdi-param-get': NOT_ASKED,
    'vbd-create': NOT_ASKED,
    'vbd-plug': NOT_ASKED,
    'vbd-list': NOT_ASKED,
    'vbd-unplug': NOT_ASKED,
    'vbd-destroy': NOT_ASKED,
    'vdi-param-remove': NOT_ASKED,
  };
  const cases = Object.entries(LEFT).flatMap(([command, left]) =>
    (['before', 'after'] as const)
      .filter((when) => when === 'before' || /create|plug|destroy|remove/.test(command))
      .map((when) => [command, MOMENTS[when], when, left] as const),
  );

  test.each(cases)('in %s, %s, leaves nothing unreported', (command, _, when, left) =>
    onPlace(async (place) => {
      const { host } = place;
      const report = await dies(place, command, when);
      expect(report.error?.code, report.error?.message).toBe('XE_CONNECTION');
      expect(leftOf(place, report)).toEqual(left === undefined ? [] : [expect.stringMatching(left)]);
      await host.restart();
      if (command === 'vdi-param-remove' && when === 'after') await finished(place, report);
      else await reaped(place);
    }),
  );
});
