/** A failure of any one command of an export of a VDI: it succeeds anyway, or leaves nothing behind. */

import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect } from 'vitest';
import { type ErrorCode, reap } from '../../src/index.ts';
import type { Fault, Rule } from '../stand-in/host.ts';
import {
  EXPORT_STEPS,
  type ExportStep,
  expectImage,
  expectUntouched,
  exported,
  filesOf,
  guestVdi,
  keptRecords,
  outputOf,
} from '../support/export-host.ts';
import { clientsOf, type Place, places } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();

type End = 'success' | 'retried' | ErrorCode;

/** Commands that only ask. */
const ASKS: readonly ExportStep[] = EXPORT_STEPS.filter((step) => /^\w+-(?:list|param-get)/.test(step));
/** What becomes of them does not decide whether the image is complete. */
const HARMLESS: readonly ExportStep[] = ['vbd-param-set', 'vbd-unplug', 'vbd-destroy'];

const SILENT: ReadonlyArray<readonly [name: string, what: Fault, end: ErrorCode]> = [
  ['is never answered', 'hang', 'XE_TIMEOUT'],
  ['takes effect after its client is gone', 'gone', 'XE_TIMEOUT'],
  ['has its connection ended', 'die', 'XE_CONNECTION'],
  ['has its client killed', { kill: 9 }, 'XE_CONNECTION'],
];

const REFUSED: readonly string[] = ['UUID_INVALID', 'INTERNAL_ERROR', 'OTHER_OPERATION_IN_PROGRESS'];
const CODES: Readonly<Record<string, ErrorCode>> = { UUID_INVALID: 'XE_UUID' };

type When = 'before' | 'after';
const MOMENTS: Readonly<Record<When, string>> = { before: 'without its effect', after: 'although it had its effect' };

function rule(step: ExportStep, what: Fault, when: When): Rule {
  const [command = '', nth = '1'] = step.split(' ');
  return { command, nth: Number(nth), what, when };
}

const withVdi = (work: (place: Place, vdi: string) => Promise<void>): Promise<void> =>
  onPlace(async (place) => {
    rmSync(dirname(outputOf(place)), { recursive: true, force: true });
    rmSync(place.xe.records ?? '', { recursive: true, force: true });
    mkdirSync(dirname(outputOf(place)));
    await work(place, await guestVdi(place));
  });

/** An export with this fault, after which nothing is left. */
const exports = (fault: Rule, end: End, timeout: number): Promise<void> =>
  withVdi(async (place, vdi) => {
    const { host, xe } = place;
    await host.fault(fault);
    const { error, warnings } = await exported(place, vdi, {}, { ...xe, timeout });
    expect(clientsOf(host)).toEqual([]);
    await host.release();
    await host.idle();
    const [expected, warned] = end === 'retried' ? ['success', ['VBD_RETRY']] : [end, []];
    expect([error?.code ?? 'success', warnings], error?.message).toEqual([expected, warned]);
    if (error === undefined) {
      expect(keptRecords(place)).toEqual([]);
      return expectImage(place, vdi);
    }
    // Without an answer, the VBD may still be created later.
    const isOpen = fault.command === 'vbd-create' && ['XE_TIMEOUT', 'XE_CONNECTION'].includes(error.code);
    expect(error.left).toEqual(isOpen ? [expect.stringMatching(/^perhaps a VBD of VDI /)] : []);
    expect(keptRecords(place).length).toBe(isOpen ? 1 : 0);
    expect(filesOf(place)).toEqual([]);
    expectUntouched(place, vdi);
  });

const NEVER = 30_000;
const SOON = 2500;

test('an export calls exactly the commands tested in this file', () =>
  withVdi(async (place, vdi) => {
    const before = (await place.host.calls()).length;
    expect(await exported(place, vdi)).toEqual({ warnings: [] });
    const made = (await place.host.calls()).slice(before).map(([command = '']) => command);
    expect(made.sort()).toEqual(EXPORT_STEPS.map((step) => step.split(' ')[0]).sort());
  }));

describe.concurrent.each(EXPORT_STEPS)('%s', (step) => {
  const moments: readonly When[] = ASKS.includes(step) ? ['before'] : ['before', 'after'];

  const refusals = REFUSED.flatMap((code) =>
    moments.map((when): readonly [string, string, End, When] => {
      const isRetried = step === 'vbd-unplug' && code === 'INTERNAL_ERROR' && when === 'before';
      const isDone = HARMLESS.includes(step) || (step === 'vbd-plug' && when === 'after');
      return [code, MOMENTS[when], isRetried ? 'retried' : isDone ? 'success' : (CODES[code] ?? 'XE_FAILED'), when];
    }),
  );
  test.each(refusals)('that is refused with %s, %s, ends in %s', (code, _, end, when) =>
    exports(rule(step, { fail: [code, 'OpaqueRef:0'] }, when), end, NEVER),
  );

  const silences = SILENT.flatMap(([name, what, end]) =>
    moments.map((when): readonly [string, string, End, When, Fault] => {
      const isDone = HARMLESS.includes(step) || (!ASKS.includes(step) && (when === 'after' || what === 'gone'));
      return [name, MOMENTS[when], isDone ? 'success' : end, when, what];
    }),
  );
  test.each(silences)('that %s, %s, ends in %s', (_name, _moment, end, when, what) =>
    exports(rule(step, what, when), end, what === 'hang' || what === 'gone' ? SOON : NEVER),
  );
});

describe.concurrent('output without sense', () => {
  test.each<readonly [ExportStep, string]>([
    ['vdi-param-get', 'usage: xe'],
    ['vdi-param-get 2', 'usage: xe'],
    ['vdi-param-get 2', ''],
    ['vbd-create', 'usage: xe'],
  ])('of %s, such as %j, ends in XE_FAILED', async (step, stdout) => {
    await exports(rule(step, { say: { stdout: `${stdout}\n` } }, 'before'), 'XE_FAILED', NEVER);
    await exports(rule(step, { say: { stdout: `${stdout}\n` } }, 'after'), 'XE_FAILED', NEVER);
  });
});

describe.concurrent('a VBD that xapi creates only after the export has failed', () => {
  test('is removed by reap', () =>
    withVdi(async (place, vdi) => {
      await place.host.fault({ command: 'vbd-create', what: 'late' });
      const { error } = await exported(place, vdi, {}, { ...place.xe, timeout: SOON });
      expect([error?.code, error?.left]).toEqual(['XE_TIMEOUT', [expect.stringContaining('xapi is still creating')]]);
      expect(await reap({ xe: place.xe })).toMatchObject({ leftOverVbds: [], removed: 0, failed: 0 });
      await place.host.release();
      await place.host.idle();
      const [vbd] = place.host.state().vbd;
      expect(await reap({ xe: place.xe })).toMatchObject({
        leftOverVbds: [{ vbd: vbd?.uuid, vdi, owner: 'dead', removed: true }],
        removed: 1,
      });
      expectUntouched(place, vdi);
      expect(keptRecords(place)).toEqual([]);
    }));
});

describe.concurrent('a cancelled export', () => {
  const steps = EXPORT_STEPS.filter((step) => !['vbd-unplug', 'vbd-destroy'].includes(step));
  test.each(steps)('during %s leaves nothing behind', (step) =>
    withVdi(async (place, vdi) => {
      const stop = new AbortController();
      const [command = '', nth = '1'] = step.split(' ');
      const before = (await place.host.calls()).filter(([name]) => name === command).length;
      await place.host.fault({ command, nth: Number(nth), when: 'after', what: 'late' });
      // Cleaning up is not cancelled: it waits for an answer as long as it may.
      const work = exported(place, vdi, { signal: stop.signal }, { ...place.xe, timeout: 10_000 });
      await place.host.called(command, before + Number(nth));
      stop.abort();
      const { error } = await work;
      expect([error?.code, error?.left], error?.message).toEqual(['CANCELLED', []]);
      await place.host.release();
      await place.host.idle();
      expect([filesOf(place), keptRecords(place)]).toEqual([[], []]);
      expectUntouched(place, vdi);
    }),
  );

  test('while it copies leaves nothing behind', () =>
    withVdi(async (place, vdi) => {
      const stop = new AbortController();
      const { error } = await exported(place, vdi, { signal: stop.signal, onProgress: () => stop.abort() });
      expect([error?.code, error?.left, filesOf(place), keptRecords(place)]).toEqual(['CANCELLED', [], [], []]);
      expectUntouched(place, vdi);
    }));
});

describe.concurrent('a VDI that cannot be detached', () => {
  test.each(['vbd-unplug', 'vbd-destroy'])('because of %s is named in the error, and removed by reap', (command) =>
    withVdi(async (place, vdi) => {
      await place.host.fault({ command, always: true, what: { fail: ['OTHER_OPERATION_IN_PROGRESS', 'VBD', 'OpaqueRef:0'] } });
      const { error } = await exported(place, vdi);
      const [vbd] = place.host.state().vbd;
      expect([error?.code, error?.left]).toEqual([
        'XE_FAILED',
        [expect.stringMatching(`^VBD ${vbd?.uuid} of VDI ${vdi}: xe ${command}: `)],
      ]);
      expect(await reap({ xe: place.xe })).toMatchObject({
        leftOverVbds: [{ vbd: vbd?.uuid, removed: false, left: [expect.stringContaining(`xe ${command}: `)] }],
        removed: 0,
        failed: 1,
      });
      await place.host.noFaults();
      expect(await reap({ xe: place.xe })).toMatchObject({ leftOverVbds: [{ vbd: vbd?.uuid, removed: true, left: [] }], removed: 1 });
      // The image was complete by then.
      await expectImage(place, vdi);
    }),
  );
});
