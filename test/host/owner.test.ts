import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isAlive, type Owner, ownerText, parseOwner, parseStat, thisOwner } from '../../src/host/owner.ts';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { stagingProcesses } from '../support/staging-process.ts';

const startProcess = stagingProcesses();

const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** Field 22 of the 52 that proc_pid_stat(5) lists, counted from the end, where no name is in the way. */
const startOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/stat`, 'latin1')
    .trim()
    .split(' ')
    .at(22 - 53) ?? '';

const namespaceOf = (process: string): string => readlinkSync(`/proc/${process}/ns/pid`).slice('pid:['.length, -1);
const namespace = namespaceOf('self');

/** A shell that runs `script`, with its owner, once that has printed a line. */
async function shell(script: string): Promise<{ readonly child: ChildProcess; readonly line: string; readonly owner: Required<Owner> }> {
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  const [text] = await once(child.stdout, 'data');
  return { child, line: String(text).trim(), owner: { boot: bootId, namespace, pid: child.pid ?? 0, start: startOf(child.pid ?? 0) } };
}

describe('the serialized owner', () => {
  test('has a version, the boot id, the pid namespace, the pid and the start time, and only characters that are valid in a file name and a tag', () => {
    expect(ownerText(thisOwner())).toBe(`2.${bootId}.${namespace}.${process.pid}.${startOf(process.pid)}`);
    expect(ownerText(thisOwner())).toMatch(/^[0-9a-f.-]+$/);
  });

  test('is parsed back into the same owner', () => {
    const owners = fc.record({
      boot: fc.uuid(),
      namespace: fc.integer({ min: 1, max: 2 ** 32 - 1 }).map(String),
      pid: fc.integer({ min: 1, max: 4_194_304 }),
      start: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
    });
    fc.assert(
      fc.property(owners, (owner) => {
        expect(parseOwner(ownerText(owner))).toEqual(owner);
      }),
    );
  });

  const boot = '00000000-1111-2222-3333-444444444444';

  test('of the older form is parsed, without a namespace', () => {
    expect(parseOwner(`${boot}.7.99`)).toEqual({ boot, pid: 7, start: '99' });
  });

  const others = [
    ...['', boot, `${boot}.1`, `${boot}..1`, `${boot}.0.1`, `${boot}.-1.1`, `${boot}.01.1`, `${boot}.1.01`, `${boot}.1.1.`, ` ${boot}.1.1`],
    ...[`${boot}.1.1\n`, `${boot}.1e3.1`, `${boot}.1.1x`, `${boot.slice(1)}.1.1`, `${boot.replace('4', 'F')}.1.1`, `${boot}.9999999999.1`],
    ...[`${boot}.1.${'1'.repeat(21)}`, `../${boot}.1.1`, `2.${boot}.1.1`, `1.${boot}.1.1.1`, `3.${boot}.1.1.1`],
    ...[`2.${boot}.0.1.1`, `2.${boot}..1.1`, `2.${boot}.1.1.1.1`, `2.${boot}.x.1.1`, `${boot}.1.1.1`],
  ];
  test.each(others)('cannot be %j', (text) => {
    expect(parseOwner(text)).toBeUndefined();
  });
});

describe('an owner is alive', () => {
  test('as long as its process runs, and not once that was killed', async () => {
    const { child, owner } = await shell('echo; read line');
    expect(isAlive(owner)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'close');
    expect(isAlive(owner)).toBe(false);
  });

  test('whatever the name of its process is', async () => {
    for (const name of ['a) Z 1 2 3', ') Z (', '((', 'x) X 0', ' ', ')']) {
      const { owner } = await shell(`printf '%s' '${name}' >/proc/$$/comm; echo; read line`);
      expect(readFileSync(`/proc/${owner.pid}/comm`, 'latin1')).toBe(`${name}\n`);
      expect({ name, alive: isAlive(owner) }).toEqual({ name, alive: true });
    }
  });

  test('but not if its pid now belongs to another process', () => {
    const owner = thisOwner();
    expect(isAlive(owner)).toBe(true);
    expect(isAlive({ ...owner, start: String(Number(owner.start) - 1) })).toBe(false);
    expect(isAlive({ ...owner, start: `${owner.start}0` })).toBe(false);
  });

  test('but not if the machine has rebooted since', () => {
    expect(isAlive({ ...thisOwner(), boot: bootId.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) })).toBe(false);
  });

  test('but not if its process is a zombie', async () => {
    // The shell becomes a program that never asks what has become of its child, which ends only then.
    const { child, line, owner } = await shell('exec 3<&0; sh -c "read line <&3" & echo $!; exec sleep 1000');
    await vi.waitFor(() => expect(readFileSync(`/proc/${owner.pid}/comm`, 'latin1')).toBe('sleep\n'), 60_000);
    child.stdin?.write('end\n');
    const pid = Number(line);
    await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, 'latin1')).toMatch(/\) Z /), 60_000);
    expect(isAlive({ boot: bootId, namespace, pid, start: startOf(pid) })).toBe(false);
  });

  test('as long as the machine has not rebooted, if the older form does not say in which namespace its pid was counted', () => {
    expect(isAlive({ boot: bootId, pid: 4_000_000, start: '1' })).toBe(true);
    expect(isAlive({ boot: bootId.replace(/^./, (digit) => (digit === '0' ? '1' : '0')), pid: process.pid, start: '1' })).toBe(false);
  });

  testWith('root')('as far as a user without access to the processes of others can see', async () => {
    const seenBy = (uid: string): Promise<unknown> =>
      startProcess({ does: 'alive', owner: ownerText(thisOwner()) }, [
        ...['unshare', '--mount', 'sh', '-c', 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', 'sh'],
        ...['setpriv', `--reuid=${uid}`, '--clear-groups'],
      ]).outcome();
    expect(await seenBy('0')).toEqual({ result: true });
    expect(await seenBy('65534')).toEqual({ result: true });
  });
});

const isInitial = namespace === '4026531836';

describe.runIf(isInitial)('in another pid namespace', () => {
  const unshared = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];

  /** A process in a pid namespace of its own that holds a lock, and its owner as it sees itself. */
  async function contained(): Promise<{ readonly owner: Required<Owner>; end(): Promise<void> }> {
    const holder = startProcess({ does: 'hold', path: join(testFolder(), 'lock') }, unshared);
    const owner = parseOwner(await holder.said('owner'));
    if (owner?.namespace === undefined) throw new Error('no owner');
    await holder.said('holding');
    return {
      owner: { ...owner, namespace: owner.namespace },
      async end() {
        holder.child.stdin?.write('end');
        await holder.outcome();
      },
    };
  }

  testWith('root')('an owner is alive from outside, however small its pid, and not once it has ended', async () => {
    const { owner, end } = await contained();
    expect(owner.namespace).not.toBe(namespace);
    expect(isAlive(owner)).toBe(true);
    expect(isAlive({ ...owner, pid: owner.pid + 1000 })).toBe(false);
    expect(isAlive({ ...owner, start: `${owner.start}0` })).toBe(false);
    await end();
    expect(isAlive(owner)).toBe(false);
  });

  testWith('root')(
    'an owner counts as alive to a process in another namespace, even if its pid there is that of another process',
    async () => {
      const inside = (owner: Required<Owner>): Promise<unknown> =>
        startProcess({ does: 'alive', owner: ownerText(owner) }, unshared).outcome();
      expect(await inside(thisOwner())).toEqual({ result: true });
      expect(await inside({ ...thisOwner(), pid: 1, start: '1' })).toEqual({ result: true });
      expect(await inside({ ...thisOwner(), boot: bootId.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) })).toEqual({
        result: false,
      });
    },
  );

  testWith('root')('with the /proc of the host, a process does not judge pids', async () => {
    const { owner, end } = await contained();
    const inside = startProcess({ does: 'alive', owner: ownerText({ ...owner, pid: owner.pid + 1000 }) }, [
      'unshare',
      '--pid',
      '--fork',
      '--kill-child',
    ]);
    expect(await inside.outcome()).toEqual({ result: true });
    await end();
  });
});

test('the state and start time of a process are found after any process name', () => {
  const line = (name: string): string => `7 (${name}) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456789 10 11 12\n`;
  fc.assert(
    fc.property(fc.oneof(fc.string({ maxLength: 15 }), fc.constantFrom(') Z 1', '(', ')) ', 'a\nb')), (name) => {
      expect(parseStat(line(name))).toEqual({ state: 'S', start: '123456789' });
    }),
  );
});
