import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, vi } from 'vitest';
import { testFolder } from '../support/folder.ts';
import { testWith } from '../support/needs.ts';
import { answer } from './answer.ts';
import { assertClean } from './clean.ts';
import { type Fault, type Host, type Ran, startHost } from './host.ts';
import { loopsIn, nodesIn } from './loop.mjs';

const MiB = 2 ** 20;
const test = testWith('loop');
const LOST = { stdout: '', stderr: 'Lost connection to the server.\n', status: 1, signal: null };

let host: Host;
let sr: string;

beforeAll(async () => {
  host = await startHost();
  sr = await host.sr('ext');
});
afterEach(async () => {
  await host.noFaults();
  await host.release();
  await host.idle();
  for (const { uuid } of host.state().vbd) await host.run(['vbd-unplug', `uuid=${uuid}`]);
  for (const { uuid } of host.state().vdi) await host.run(['vdi-destroy', `uuid=${uuid}`]);
  assertClean(host);
});
afterAll(() => host.stop());

const xe = (...args: string[]): Promise<string> => answer(host, args);

const creating = (): string[] => ['vdi-create', `sr-uuid=${sr}`, 'name-label=disk', `virtual-size=${4 * MiB}`];

async function newVbd(): Promise<string> {
  const vdi = await xe(...creating());
  return xe('vbd-create', `vm-uuid=${host.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect');
}

/** A client that is under way. */
function start(...args: string[]): { kill(): Promise<void>; ended: Promise<Pick<Ran, 'status' | 'signal' | 'stdout'>> } {
  const child = spawn(host.xe, args, { env: {}, stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const ended = once(child, 'close').then(() => ({ status: child.exitCode, signal: child.signalCode, stdout }));
  return {
    ended,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

describe('a fault', () => {
  test('replaces the effect of one call with an error, or adds the error after it', async () => {
    for (const [when, made] of [
      ['before', 0],
      ['after', 1],
    ] as const) {
      await host.fault({ command: 'vdi-create', when, what: { fail: ['SR_BACKEND_FAILURE_47', '', 'The SR is not available', ''] } });
      expect(await host.run([...creating(), '--trace'])).toMatchObject({
        stdout: '',
        stderr: expect.stringContaining(
          'Error code: SR_BACKEND_FAILURE_47\nError parameters: , The SR is not available, \n' +
            'Raised Server_error(SR_BACKEND_FAILURE_47, [ ; The SR is not available;  ])\nBacktrace:\n',
        ),
        status: 1,
      });
      expect(host.state().vdi).toHaveLength(made);
    }
    await xe(...creating());
    expect(host.state().vdi).toHaveLength(2);
  });

  test('reports a known error code with its sentence, and references as names', async () => {
    const vdi = await xe(...creating());
    const ref = host.state().vdi[0]?.ref ?? '';
    await host.fault({ command: 'vdi-destroy', what: { fail: ['VDI_IN_USE', ref, 'copy', 'more'] } });
    expect((await host.run(['vdi-destroy', `uuid=${vdi}`])).stderr).toBe(
      'This operation cannot be performed because this VDI is in use by some other operation\n' +
        `vdi: ${vdi} (disk)\noperation: copy\n<extra>: more\n`,
    );
    await host.fault({ command: 'vdi-destroy', what: { fail: ['DEVICE_DETACH_TIMEOUT', 'VBD'] } });
    expect((await host.run(['vdi-destroy', `uuid=${vdi}`])).stderr).toBe(
      'A timeout happened while attempting to detach a device from a VM.\ntype: VBD\nref: <unknown>\n',
    );
  });

  test('occurs at the specified call: the nth, the nth and all after it, or the call with an argument', async () => {
    const what: Fault = { fail: ['INTERNAL_ERROR', 'no'] };
    const outcomes = async (): Promise<(number | null)[]> => {
      const statuses: (number | null)[] = [];
      for (let call = 0; call < 4; call++) statuses.push((await host.run(['sr-scan', `uuid=${sr}`])).status);
      return statuses;
    };
    await host.fault({ command: 'sr-scan', nth: 3, what });
    expect(await outcomes()).toEqual([0, 0, 1, 0]);
    await host.fault({ command: 'sr-scan', nth: 2, always: true, what });
    await host.fault({ command: 'vdi-list', always: true, what });
    expect(await outcomes()).toEqual([0, 1, 1, 1]);
    await host.noFaults();
    const other = await host.sr('nfs');
    await host.fault({ command: 'sr-scan', argument: `uuid=${other}`, what });
    expect(await outcomes()).toEqual([0, 0, 0, 0]);
    expect((await host.run(['sr-scan', `uuid=${other}`])).status).toBe(1);
    expect(await outcomes()).toEqual([0, 0, 0, 0]);
  });

  test('can be set from the start', async () => {
    const own = await startHost({ faults: [{ command: 'pool-list', what: { say: { stdout: 'garbage\0', stderr: 'words', status: 3 } } }] });
    onTestFinished(() => own.stop());
    expect(await own.run(['pool-list'])).toEqual({ stdout: 'garbage\0', stderr: 'words', status: 3, signal: null });
    expect(await own.run(['sr-list'])).toEqual({ stdout: '', stderr: '', status: 0, signal: null });
  });

  test('cuts the connection, or kills the client, before or after the effect', async () => {
    for (const when of ['before', 'after'] as const) {
      const made = when === 'before' ? 0 : 1;
      const count = host.state().vdi.length;
      await host.fault({ command: 'vdi-create', when, what: 'die' });
      expect(await host.run(creating())).toEqual(LOST);
      expect(host.state().vdi).toHaveLength(count + made);
      await host.fault({ command: 'vdi-create', when, what: { kill: 9 } });
      expect(await host.run(creating())).toEqual({ stdout: '', stderr: '', status: null, signal: 'SIGKILL' });
      expect(host.state().vdi).toHaveLength(count + 2 * made);
    }
  });

  test('leaves a client without an answer, with or without the effect', async () => {
    for (const [when, made] of [
      ['before', 0],
      ['after', 1],
    ] as const) {
      await host.fault({ command: 'vdi-create', when, what: 'hang' });
      const calls = (await host.calls()).filter(([command]) => command === 'vdi-create').length;
      const client = start(...creating());
      await host.called('vdi-create', calls + 1);
      await host.idle();
      expect(host.state().vdi).toHaveLength(made);
      // Others are served meanwhile.
      await xe('sr-scan', `uuid=${sr}`);
      await client.kill();
    }
  });

  test('holds an answer until it is released, with or without the effect', async () => {
    for (const [when, made] of [
      ['before', 0],
      ['after', 1],
    ] as const) {
      const before = host.state().vdi.length;
      await host.fault({ command: 'vdi-create', when, what: 'late' });
      const calls = (await host.calls()).filter(([command]) => command === 'vdi-create').length;
      const client = start(...creating());
      await host.called('vdi-create', calls + 1);
      await xe('sr-scan', `uuid=${sr}`);
      expect(host.state().vdi).toHaveLength(before + made);
      await host.release();
      const { stdout, status } = await client.ended;
      expect([stdout, status]).toEqual([`${host.state().vdi.at(-1)?.uuid}\n`, 0]);
      expect(host.state().vdi).toHaveLength(before + 1);
    }
  });

  test('delays the effect until the client is gone', async () => {
    const vbd = await newVbd();
    await host.fault({ command: 'vbd-plug', what: 'gone' });
    const client = start('vbd-plug', `uuid=${vbd}`);
    await host.called('vbd-plug');
    expect(host.state().vbd[0]?.currentlyAttached).toBe(false);
    // Until then its objects are not for others, except that a VBD can be destroyed.
    const [{ ref = '', uuid = '' } = {}] = host.state().vdi;
    expect((await host.run(['vdi-destroy', `uuid=${uuid}`, '--trace'])).stderr).toContain(`(OTHER_OPERATION_IN_PROGRESS, [ VDI; ${ref} ])`);
    expect((await host.run(['vbd-unplug', `uuid=${vbd}`, '--trace'])).stderr).toContain('(OTHER_OPERATION_IN_PROGRESS, [ VBD; OpaqueRef:');
    await client.kill();
    await host.idle();
    expect(host.state().vbd[0]?.currentlyAttached).toBe(true);
    expect(existsSync(join('/dev', host.state().vbd[0]?.device ?? 'nothing'))).toBe(true);
  });

  test('withholds the node of a device, indefinitely, until it is released, or for some time', async () => {
    const vbd = await newVbd();
    for (const node of ['missing', 'late', 20] as const) {
      await host.fault({ command: 'vbd-plug', what: { node } });
      await xe('vbd-plug', `uuid=${vbd}`);
      const path = join('/dev', host.state().vbd[0]?.device ?? 'nothing');
      if (node !== 20) expect(existsSync(path)).toBe(false);
      await host.release();
      await host.idle();
      expect(existsSync(path)).toBe(node !== 'missing');
      await xe('vbd-unplug', `uuid=${vbd}`);
      expect(existsSync(path)).toBe(false);
    }
  });
});

describe('the client', () => {
  test('has its own parameters, which the server never sees', async () => {
    const own = ['port=1', 'username=a', 'password=b', 'passwordfile=c', 'nossl=true', 'debug=true', 'debugonfail=false', 'traceparent=d'];
    await xe('sr-scan', ...own, '--nossl', `uuid=${sr}`, '-u', 'name', '-pw', 'secret', '--debug', 'server=localhost');
    expect((await host.calls()).at(-1)).toEqual(['sr-scan', `uuid=${sr}`]);
  });

  test('connects to the server that its environment or home folder specifies', async () => {
    const home = testFolder();
    const scan = ['sr-scan', `uuid=${sr}`];
    const elsewhere = { stdout: '', stderr: 'Error: Connection refused (calling connect )\n', status: 1, signal: null };
    expect(await host.run(scan, { HOME: home })).toMatchObject({ status: 0 });
    expect(await host.run(scan, { HOME: home, XE_EXTRA_ARGS: 'server=192.0.2.1,port=443' })).toEqual(elsewhere);
    expect(await host.run([...scan, 'server=127.0.0.1'], { XE_EXTRA_ARGS: 'server=192.0.2.1' })).toMatchObject({ status: 0 });
    expect(await host.run(['pool-list', 'params=master'], { XE_EXTRA_ARGS: 'minimal=true,uuid=a\\,b' })).toMatchObject({ stdout: '\n' });
    expect((await host.calls()).at(-1)).toEqual(['pool-list', 'params=master', 'minimal=true', 'uuid=a,b']);
    writeFileSync(join(home, '.xe'), 'username=root\n\nserver=192.0.2.1\n');
    expect(await host.run(scan, { HOME: home })).toEqual(elsewhere);
    writeFileSync(join(home, '.xe'), 'minimal=true\n');
    expect(await host.run(scan, { HOME: home })).toMatchObject({ status: 0, stdout: '\n' });
  });

  test('without a command prints its usage, and succeeds', async () => {
    for (const args of [[], ['server=localhost'], ['vdi-list', '--help']]) {
      expect(await host.run(args)).toMatchObject({ stdout: '', stderr: expect.stringContaining('Usage: '), status: 0 });
    }
  });

  test('reports that there is no server, and runs from any folder', async () => {
    const folder = testFolder();
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin', 'xe'), readFileSync(host.xe), { mode: 0o755 });
    const child = spawn(join(folder, 'bin', 'xe'), ['vdi-list'], { env: {}, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await once(child, 'close');
    expect([child.exitCode, said]).toEqual([1, 'Error: Connection refused (calling connect )\n']);
  });
});

describe('the host', () => {
  test('continues from its last state after its server was killed', async () => {
    const vbd = await newVbd();
    await xe('vbd-plug', `uuid=${vbd}`);
    const path = join('/dev', host.state().vbd[0]?.device ?? 'nothing');
    const state = host.state();
    await host.fault({ command: 'vdi-list', what: 'hang' });
    const client = start('vdi-list');
    await host.called('vdi-list');
    await host.kill();
    expect((await client.ended).status).toBe(1);
    expect((await host.run(['vdi-list'])).stderr).toBe('Error: Connection refused (calling connect )\n');
    expect(statSync(path).isBlockDevice()).toBe(true);
    await host.restart();
    expect(host.state()).toEqual(state);
    await xe('vbd-unplug', `uuid=${vbd}`);
    expect(existsSync(path)).toBe(false);
  });

  test('reports what is not clean', async () => {
    const vbd = await newVbd();
    const vdi = host.state().vdi[0]?.uuid ?? '';
    expect(() => assertClean(host)).toThrow(`VBD ${vbd} is left`);
    expect(() => assertClean(host, { vbds: [vbd] })).toThrow(`VDI ${vdi} (disk) is left`);
    assertClean(host, { vbds: [vbd], vdis: [vdi] });
    await xe('vbd-plug', `uuid=${vbd}`);
    const { node = '' } = host.state().vdi[0]?.disk.plugged ?? {};
    assertClean(host, { vbds: [vbd], vdis: [vdi] });
    expect(() => assertClean(host, { vdis: [vdi] })).toThrow(`${node} is attached; ${join('/dev/sm/backend', sr, vdi)} is there`);
    await xe('vbd-unplug', `uuid=${vbd}`);
    await xe('vdi-destroy', `uuid=${vdi}`);
    expect(() => assertClean(host, { vbds: [vbd], vdis: [vdi] })).toThrow(`VBD ${vbd} is gone; VDI ${vdi} is gone`);
    assertClean(host);
  });

  test('removes everything when it stops, even what is open', async () => {
    const own = await startHost();
    const ownSr = await own.sr('lvm');
    const run = async (...args: string[]): Promise<string> => (await own.run(args)).stdout.trim();
    const vdi = await run('vdi-create', `sr-uuid=${ownSr}`, 'name-label=a', 'virtual-size=4MiB', 'sm-config:type=raw');
    const vbd = await run('vbd-create', `vm-uuid=${own.dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect');
    await own.fault({ command: 'vdi-list', what: 'hang' });
    await run('vbd-plug', `uuid=${vbd}`);
    const file = openSync(join('/dev/sm/backend', ownSr, vdi), 'r');
    const hanging = own.run(['vdi-list']);
    await own.called('vdi-list');
    await own.stop();
    expect(await hanging).toEqual(LOST);
    closeSync(file);
    expect([existsSync(own.folder), nodesIn('backend', ownSr), nodesIn('phy', ownSr)]).toEqual([false, [], []]);
    // The device disappears when its last user closes it, which may be a losetup of another test.
    await vi.waitFor(() => expect(loopsIn(own.folder)).toEqual([]), { timeout: 30_000 });
  });

  test('can be run by a standalone program, which removes the devices when it is signalled to exit', async () => {
    const folder = testFolder();
    const options = JSON.stringify({ srs: [{ type: 'lvm', options: { sector: 4096 } }] });
    const program = fileURLToPath(new URL('xapi.mjs', import.meta.url));
    const server = spawn(process.execPath, [program, folder, options], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void server.kill('SIGKILL'));
    expect(String((await once(server.stdout, 'data'))[0])).toBe('ready\n');
    mkdirSync(join(folder, 'bin'));
    writeFileSync(join(folder, 'bin', 'xe'), readFileSync(host.xe), { mode: 0o755 });
    const run = (...args: string[]): string => execFileSync(join(folder, 'bin', 'xe'), args, { encoding: 'utf8', env: {} }).trim();
    const dom0 = /^CONTROL_DOMAIN_UUID='(.*)'$/m.exec(readFileSync(join(folder, 'xensource-inventory'), 'utf8'))?.[1];
    const vdi = run('vdi-create', `sr-uuid=${run('sr-list', '--minimal')}`, 'name-label=a', 'virtual-size=1GiB');
    const vbd = run('vbd-create', `vm-uuid=${dom0}`, `vdi-uuid=${vdi}`, 'device=autodetect');
    run('vbd-plug', `uuid=${vbd}`);
    const path = join('/dev', run('vbd-param-get', `uuid=${vbd}`, 'param-name=device'));
    expect(statSync(path).isBlockDevice()).toBe(true);
    server.kill('SIGTERM');
    await once(server, 'exit');
    expect([existsSync(path), loopsIn(folder)]).toEqual([false, []]);
  });

  test('ends with the process that started it, however that process ends', async () => {
    const folder = testFolder();
    mkdirSync(join(folder, 'host'));
    const program = fileURLToPath(new URL('xapi.mjs', import.meta.url));
    const script = `const child = require('node:child_process').fork(${JSON.stringify(program)}, [${JSON.stringify(join(folder, 'host'))}]);
      child.on('message', (text) => console.log(text, child.pid));`;
    const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void parent.kill('SIGKILL'));
    const [text] = await once(parent.stdout.setEncoding('utf8'), 'data');
    expect(String(text)).toMatch(/^ready \d+\n$/);
    const gone = once(parent.stdout, 'close'); // the server holds the other end too
    parent.kill('SIGKILL');
    await gone;
    expect(existsSync(join(folder, 'host'))).toBe(false);
  });
});
