import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isAlive, type Owner, ownerText, parseOwner, parseStat, thisOwner } from '../../src/host/owner.ts';
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

/** A shell that runs `script`, with its owner, once that has printed a line. */
async function shell(script: string): Promise<{ readonly child: ChildProcess; readonly line: string; readonly owner: Owner }> {
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  const [text] = await once(child.stdout, 'data');
  return { child, line: String(text).trim(), owner: { boot: bootId, pid: child.pid ?? 0, start: startOf(child.pid ?? 0) } };
}

describe('the serialized owner', () => {
  test('has the boot id, the pid and the start time, and only characters that are valid in a file name and a tag', () => {
    expect(ownerText(thisOwner())).toBe(`${bootId}.${process.pid}.${startOf(process.pid)}`);
    expect(ownerText(thisOwner())).toMatch(/^[0-9a-f.-]+$/);
  });

  test('is parsed back into the same owner', () => {
    const owners = fc.record({
      boot: fc.uuid(),
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
  const others = [
    ...['', boot, `${boot}.1`, `${boot}..1`, `${boot}.0.1`, `${boot}.-1.1`, `${boot}.01.1`, `${boot}.1.01`, `${boot}.1.1.`, ` ${boot}.1.1`],
    ...[`${boot}.1.1\n`, `${boot}.1e3.1`, `${boot}.1.1x`, `${boot.slice(1)}.1.1`, `${boot.replace('4', 'F')}.1.1`, `${boot}.9999999999.1`],
    ...[`${boot}.1.${'1'.repeat(21)}`, `../${boot}.1.1`],
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
    expect(isAlive({ boot: bootId, pid, start: startOf(pid) })).toBe(false);
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

test('the state and start time of a process are found after any process name', () => {
  const line = (name: string): string => `7 (${name}) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456789 10 11 12\n`;
  fc.assert(
    fc.property(fc.oneof(fc.string({ maxLength: 15 }), fc.constantFrom(') Z 1', '(', ')) ', 'a\nb')), (name) => {
      expect(parseStat(line(name))).toEqual({ state: 'S', start: '123456789' });
    }),
  );
});
