/** A failure of any one command of an import: the import succeeds anyway, or leaves nothing behind. */

import { describe, expect } from 'vitest';
import type { ErrorCode } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import type { Fault, Rule } from '../stand-in/host.ts';
import { clientsOf, expectArrived, imported, type Place, places, STEPS, type Step } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();

/** How the import ends: `done`, or by this code. `warned` is done, with a warning of what could not be reaped; `retried`, of an unplug. */
type End = 'success' | keyof typeof WARNED | ErrorCode;
/** Of what is done, but not in silence. */
const WARNED = { warned: ['REAP_LEFT'], retried: ['VBD_RETRY'] } as const;

/** Commands that only ask. Nothing of them is tried again. */
const ASKS: readonly Step[] = ['vm-list', 'sr-param-get', 'sr-param-get 2', 'vdi-list', 'vdi-param-get', 'vbd-list'];

/** Commands that print nothing. Whatever is said of one: what counts is whether the toolstack has done it. */
const DOES: readonly Step[] = ['vbd-plug', 'vbd-unplug', 'vbd-destroy', 'vdi-param-remove'];

/** While these are under way nothing else can be done with the disk: test/xen/import-undo.test.ts. */
const AT_WORK: readonly Step[] = ['vdi-create', 'vdi-param-get', 'vbd-plug', 'vbd-list', 'vbd-unplug', 'vbd-destroy', 'vdi-param-remove'];

/** The toolstack does not report the outcome of the command: the import must query it. */
const SILENT: ReadonlyArray<readonly [name: string, what: Fault, end: End]> = [
  ['is never answered', 'hang', 'XE_TIMEOUT'],
  ['is answered too late', 'late', 'XE_TIMEOUT'],
  ['takes effect after its client is gone', 'gone', 'XE_TIMEOUT'],
  ['has its connection ended', 'die', 'XE_CONNECTION'],
  ['has its client killed', { kill: 9 }, 'XE_CONNECTION'],
  ['has its client terminated', { kill: 15 }, 'XE_CONNECTION'],
];

/** What the toolstack refuses, by its code. */
const REFUSED: Readonly<Record<Step, Readonly<Record<string, End>>>> = {
  'vm-list': { HANDLE_INVALID: 'XE_UUID', INTERNAL_ERROR: 'XE_FAILED' },
  'sr-param-get': { UUID_INVALID: 'XE_UUID', HANDLE_INVALID: 'XE_UUID', INTERNAL_ERROR: 'XE_FAILED' },
  'sr-param-get 2': { UUID_INVALID: 'XE_UUID', HANDLE_INVALID: 'XE_UUID', INTERNAL_ERROR: 'XE_FAILED' },
  'vdi-list': { HANDLE_INVALID: 'warned', INTERNAL_ERROR: 'warned' },
  'vdi-create': {
    SR_BACKEND_FAILURE_16: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_40: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_43: 'XE_FAILED',
    SR_BACKEND_FAILURE_44: 'SR_FULL',
    SR_BACKEND_FAILURE_47: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_57: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_58: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_66: 'SR_UNSUPPORTED',
    SR_BACKEND_FAILURE_78: 'XE_FAILED',
    SR_BACKEND_FAILURE_79: 'VDI_SIZE',
    SR_FULL: 'SR_FULL',
    SR_HAS_NO_PBDS: 'SR_UNAVAILABLE',
    SR_OPERATION_NOT_SUPPORTED: 'SR_UNSUPPORTED',
    UUID_INVALID: 'XE_UUID',
    HANDLE_INVALID: 'XE_UUID',
    INTERNAL_ERROR: 'XE_FAILED',
    MAP_DUPLICATE_KEY: 'XE_FAILED',
    OTHER_OPERATION_IN_PROGRESS: 'XE_FAILED',
  },
  'vdi-param-get': { UUID_INVALID: 'XE_UUID', HANDLE_INVALID: 'XE_UUID', INTERNAL_ERROR: 'XE_FAILED' },
  'vbd-create': {
    INVALID_DEVICE: 'XE_FAILED',
    DEVICE_ALREADY_EXISTS: 'XE_FAILED',
    VDI_READONLY: 'XE_FAILED',
    UUID_INVALID: 'XE_UUID',
    HANDLE_INVALID: 'XE_UUID',
    INTERNAL_ERROR: 'XE_FAILED',
  },
  'vbd-plug': {
    SR_BACKEND_FAILURE_16: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_24: 'VDI_BUSY',
    SR_BACKEND_FAILURE_40: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_44: 'SR_FULL',
    SR_BACKEND_FAILURE_46: 'VDI_UNAVAILABLE',
    SR_BACKEND_FAILURE_47: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_65: 'VDI_UNAVAILABLE',
    SR_BACKEND_FAILURE_144: 'XE_FAILED',
    SR_BACKEND_FAILURE_180: 'SR_FULL',
    VDI_IN_USE: 'VDI_BUSY',
    DEVICE_ATTACH_TIMEOUT: 'XE_FAILED',
    // Impossible for a VBD that is not attached.
    DEVICE_ALREADY_ATTACHED: 'XE_FAILED',
    OTHER_OPERATION_IN_PROGRESS: 'XE_FAILED',
    UUID_INVALID: 'XE_UUID',
    HANDLE_INVALID: 'XE_UUID',
    INTERNAL_ERROR: 'XE_FAILED',
  },
  'vbd-list': { HANDLE_INVALID: 'XE_UUID', INTERNAL_ERROR: 'XE_FAILED' },
  'vbd-unplug': {
    DEVICE_DETACH_REJECTED: 'retried',
    INTERNAL_ERROR: 'retried',
    VM_MISSING_PV_DRIVERS: 'retried',
    // Impossible for a VBD that is attached.
    DEVICE_ALREADY_DETACHED: 'XE_FAILED',
    DEVICE_DETACH_TIMEOUT: 'VBD_DETACH',
    SR_BACKEND_FAILURE_16: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_24: 'VDI_BUSY',
    SR_BACKEND_FAILURE_40: 'SR_UNAVAILABLE',
    SR_BACKEND_FAILURE_46: 'VDI_UNAVAILABLE',
    SR_BACKEND_FAILURE_47: 'SR_UNAVAILABLE',
    VBD_NOT_UNPLUGGABLE: 'XE_FAILED',
    OPERATION_NOT_ALLOWED: 'XE_FAILED',
    OTHER_OPERATION_IN_PROGRESS: 'XE_FAILED',
    // The VBD still exists.
    UUID_INVALID: 'XE_UUID',
    HANDLE_INVALID: 'XE_UUID',
  },
  'vbd-destroy': {
    OPERATION_NOT_ALLOWED: 'XE_FAILED',
    INTERNAL_ERROR: 'XE_FAILED',
    UUID_INVALID: 'XE_UUID',
    HANDLE_INVALID: 'XE_UUID',
  },
  'vdi-param-remove': {
    UUID_INVALID: 'XE_UUID',
    HANDLE_INVALID: 'XE_UUID',
    INTERNAL_ERROR: 'XE_FAILED',
  },
};

/** The client prints this with exit status 0, or ends without a word that means anything. */
const USAGE = { say: { stdout: 'Usage: xe <cmd> [-s server]\n' } } as const;
const EMPTY = { say: { stdout: '\n' } } as const;
const SOME_ERROR = { say: { stderr: 'Server internal error.\n', status: 1 } } as const;

/** What is printed makes no sense. */
const SENSELESS: Readonly<Record<Step, ReadonlyArray<readonly [what: Fault, end: End]>>> = {
  'vm-list': [
    [USAGE, 'DOM0_UNKNOWN'],
    [EMPTY, 'DOM0_UNKNOWN'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'sr-param-get': [
    [USAGE, 'XE_FAILED'],
    [EMPTY, 'XE_FAILED'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  // Whether new disks read as zero is not known then, so all is written.
  'sr-param-get 2': [
    [USAGE, 'success'],
    [EMPTY, 'success'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vdi-list': [
    [USAGE, 'success'],
    [EMPTY, 'success'],
    [SOME_ERROR, 'warned'],
  ],
  'vdi-create': [
    [USAGE, 'XE_FAILED'],
    [EMPTY, 'XE_FAILED'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vdi-param-get': [
    [USAGE, 'XE_FAILED'],
    [EMPTY, 'XE_FAILED'],
    [{ say: { stdout: `${5 * 2 ** 20}\n` } }, 'XE_FAILED'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vbd-create': [
    [USAGE, 'XE_FAILED'],
    [EMPTY, 'XE_FAILED'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vbd-plug': [
    [USAGE, 'XE_FAILED'],
    [EMPTY, 'DEVICE_MISSING'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vbd-list': [
    [USAGE, 'DEVICE_MISSING'],
    [EMPTY, 'DEVICE_MISSING'],
    [{ say: { stdout: '../etc\n' } }, 'DEVICE_MISSING'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vbd-unplug': [
    [USAGE, 'XE_FAILED'],
    [EMPTY, 'XE_FAILED'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vbd-destroy': [
    [USAGE, 'XE_FAILED'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
  'vdi-param-remove': [
    [USAGE, 'XE_FAILED'],
    [SOME_ERROR, 'XE_FAILED'],
  ],
};

type When = 'before' | 'after';
const WHEN: readonly When[] = ['before', 'after'];
const MOMENTS: Readonly<Record<When, string>> = { before: 'without its effect', after: 'although it had its effect' };

function rule(step: Step, what: Fault, when: When): Rule {
  const [command = '', nth = '1'] = step.split(' ');
  return { command, nth: Number(nth), what, when };
}

/** An import with this fault, after which nothing is left but unread answers. */
async function imports(place: Place, fault: Rule, end: End, timeout: number, isFound = false): Promise<void> {
  const { host, xe } = place;
  await host.fault(fault);
  const { vdi, error, warnings } = await imported(place, { xe: { ...xe, timeout } });
  expect(clientsOf(host)).toEqual([]);
  await host.release();
  await host.idle();
  const [expected, warned] = end === 'warned' || end === 'retried' ? ['success', WARNED[end]] : [end, []];
  expect([error?.code ?? 'success', warnings], error?.message).toEqual([expected, warned]);
  if (vdi !== undefined) return expectArrived(place, vdi);
  // Without an answer, the object may still be created later.
  const isOpen = !isFound && fault.command === 'vdi-create' && (end === 'XE_TIMEOUT' || end === 'XE_CONNECTION');
  expect(error?.left).toEqual(isOpen ? [expect.stringMatching(/^perhaps a VDI/)] : []);
  assertClean(host);
}

/** Longer than any of this takes, and short enough to wait for. Milliseconds. */
const NEVER = 30_000;
const SOON = 1200;
/** Faults that only the time limit ends. Where it ends nothing, it must not end a query on a busy machine either. */
const WAITED_FOR: readonly Fault[] = ['hang', 'late', 'gone'];

test('an import calls exactly the commands tested in this file', () =>
  onPlace(async (place) => {
    const { vdi = '' } = await imported(place);
    expectArrived(place, vdi);
    const made = (await place.host.calls()).map(([command = '']) => command);
    expect(made.sort()).toEqual(STEPS.map((step) => step.split(' ')[0]).sort());
  }));

// First, since two of them wait for ten seconds.
describe.concurrent('the node of the device', () => {
  test('may appear after the plug', () => onPlace((place) => imports(place, rule('vbd-plug', { node: 300 }, 'before'), 'success', NEVER)));

  test('that never appears ends in DEVICE_MISSING', () =>
    onPlace((place) => imports(place, rule('vbd-plug', { node: 'missing' }, 'before'), 'DEVICE_MISSING', NEVER)));

  test('that is smaller than the VDI is not written to', () =>
    onPlace((place) => imports(place, rule('vdi-param-get', { say: { stdout: `${8 * 2 ** 20}\n` } }, 'before'), 'DEVICE_MISSING', NEVER)));
});

describe.concurrent.each(STEPS)('%s', (step) => {
  // A question has no effect.
  const moments: readonly When[] = ASKS.includes(step) ? ['before'] : WHEN;
  const otherwise = (when: When, end: End): End => (when === 'after' && DOES.includes(step) ? 'success' : end);

  const refusals = Object.entries(REFUSED[step]).flatMap(([code, end]) =>
    moments.map((when) => [code, MOMENTS[when], otherwise(when, end), when] as const),
  );
  test.each(refusals)('that is refused with %s, %s, ends in %s', (code, _, end, when) =>
    onPlace((place) => imports(place, rule(step, { fail: [code, 'OpaqueRef:0'] }, when), end, NEVER)),
  );

  const silences = SILENT.flatMap(([name, what, end]) =>
    moments
      .filter((when) => !(what === 'late' && when === 'before' && AT_WORK.includes(step)))
      .map((when) => {
        const isDone = when === 'after' || what === 'gone';
        return [
          name,
          MOMENTS[when],
          step === 'vdi-list' ? 'warned' : isDone && !ASKS.includes(step) ? 'success' : end,
          when,
          what,
        ] as const;
      }),
  );
  test.each(silences)('that %s, %s, ends in %s', (_name, _moment, end, when, what) =>
    onPlace((place) => imports(place, rule(step, what, when), end, WAITED_FOR.includes(what) ? SOON : NEVER)),
  );

  const words = SENSELESS[step].flatMap(([what, end]) =>
    moments.map((when) => [JSON.stringify(what), MOMENTS[when], otherwise(when, end), when, what] as const),
  );
  test.each(words)('that answers with %s, %s, ends in %s', (_words, _moment, end, when, what) =>
    onPlace((place) => imports(place, rule(step, what, when), end, NEVER)),
  );
});

test('a client that cannot be started is reported as a typed error, and nothing is created', () =>
  onPlace(async (place) => {
    // No argument of a program can be as long.
    const { error } = await imported(place, { name: 'x'.repeat(2 ** 18) });
    expect([error?.code, error?.left]).toEqual(['XE_FAILED', []]);
    expect(error?.message).toContain('E2BIG');
    assertClean(place.host);
  }));

test('a command still running when another one fails is waited for', () =>
  onPlace(async (place) => {
    await place.host.fault({ command: 'vm-list', what: 'hang' });
    await place.host.fault({ command: 'sr-param-get', what: { fail: ['UUID_INVALID'] } });
    const { error } = await imported(place, { xe: { ...place.xe, timeout: SOON } });
    expect([error?.code, clientsOf(place.host)]).toEqual(['XE_UUID', []]);
  }));

describe.concurrent('a toolstack whose connection drops, and drops again when asked for the outcome of', () => {
  const looks: ReadonlyArray<readonly [Step, question: string]> = [
    ['vdi-create', 'vdi-list 2'],
    ['vbd-create', 'vbd-list'],
    ['vbd-plug', 'vbd-list'],
    ['vbd-unplug', 'vbd-list 2'],
    ['vbd-destroy', 'vbd-list 2'],
    ['vdi-param-remove', 'vdi-list 2'],
  ];
  const cases = looks.flatMap(([step, question]) => WHEN.map((when) => [step, MOMENTS[when], question, when] as const));
  test.each(cases)('%s, %s, ends in XE_CONNECTION', (step, _, question, when) =>
    onPlace(async (place) => {
      const [command = '', nth = '1'] = question.split(' ');
      await place.host.fault({ command, nth: Number(nth), what: 'die' });
      const fault = rule(step, 'die', when);
      // It is looked for once more in the end.
      await imports(place, fault, 'XE_CONNECTION', NEVER, step === 'vdi-create' && when === 'after');
    }),
  );
});
