/** One life of the machine: from the start of qemu to the last test, or to the moment in which it turns out to be dead. */

import { spawn } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { emulator } from './machine.mjs';

/**
 * What the guest says, a JSON object a line: that a test begins, how it went, that it does not end, that all are done.
 * @typedef {object} Line
 * @property {'start' | 'passed' | 'failed' | 'hung' | 'end'} is
 * @property {string} [name]  of the test; at the end there is none
 * @property {number} [ms]
 * @property {string} [message]  why it failed
 */

/**
 * @typedef {object} Life
 * @property {string} [broken]  why the machine did not come to its end
 * @property {string | undefined} [running]  the test that ran at that time
 * @property {string[]} console  what was printed there
 */

/** No machine is silent for so long, however slow its host is. */
const SILENCE = 150_000;
const MEMORY = 1536;
const DOM0_MEMORY = 1024;

// Xen and Linux when they give up, the first file system without a root, and init.sh. A soft lockup is a host that is slow.
const DEATH = /Kernel panic|Panic on CPU|d0v\d Unhandled|Oops:|BUG: (?!soft lockup)|vdistream-dom0: (?:no root|failed)/;

/**
 * Boots, passes on each line, and ends the machine: there is nothing on it to save.
 * @param {string} machine  folder of its files
 * @param {{ folder: string, payload: string, timeout: number, onLine: (line: Line) => void, onConsole?: (line: string) => void }} options
 *   `folder` for files of this life; `timeout` in ms
 * @returns {Promise<Life>}
 */
export function boot(machine, { folder, payload, timeout, onLine, onConsole }) {
  /** @type {Life} */
  const life = { console: [] };
  const { command, env } = emulator(machine);
  const channel = join(folder, 'channel');
  const argv = [...command, ...hardware({ disks: blankDisks(folder), payload, channel }), ...software()];

  return new Promise((resolve) => {
    const server = createServer().listen(channel, () => {
      const child = spawn('nice', argv, { cwd: machine, env, stdio: ['ignore', 'pipe', 'pipe'] });
      const kill = () => child.kill('SIGKILL');
      process.once('exit', kill);

      const end = (/** @type {string} */ reason) => {
        if (over) return;
        over = true;
        if (reason !== '') life.broken = reason;
        // A kernel that dies says why in the lines that follow.
        setTimeout(kill, reason === '' ? 0 : 1000);
      };
      let over = false;
      const whole = setTimeout(() => {
        life.running = undefined; // which takes its share of the time, but is not to blame
        end(`it was not done after ${timeout / 1000} s`);
      }, timeout);
      const silence = setTimeout(() => end(`it has been silent for ${SILENCE / 1000} s`), SILENCE);

      server.once('connection', (socket) => {
        createInterface(socket).on('line', (text) => {
          silence.refresh();
          const line = parse(text);
          if (line.is === 'end') return end('');
          if (line.is === 'hung') end(`a test does not end: ${line.message}`);
          life.running = line.is === 'start' || line.is === 'hung' ? line.name : undefined;
          onLine(line);
        });
      });
      for (const stream of [child.stdout, child.stderr]) {
        createInterface(stream).on('line', (text) => {
          silence.refresh();
          // The end of a line is more than one, here.
          if (text === '') return;
          life.console.push(text);
          onConsole?.(text);
          // Not a matter of the machine if the tests cannot even be loaded.
          if (text.endsWith('failed: tests')) life.running ??= 'guest.mjs';
          if (DEATH.test(text)) end(text);
        });
      }
      child.once('error', (error) => end(error.message));
      child.once('close', (status, signal) => {
        end(`qemu ended by itself: ${signal ?? status}`);
        clearTimeout(whole);
        clearTimeout(silence);
        process.off('exit', kill);
        server.close();
        resolve(life);
      });
    });
  });
}

/** A test fails by what it says; a line that is none is a harness that is broken. @param {string} text @returns {Line} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { is: 'hung', name: '', message: `the guest said: ${text}` };
  }
}

/** For the volume groups, without and with sectors of 4096 bytes. @param {string} folder */
function blankDisks(folder) {
  return [512, 4096].map((sector) => {
    const path = join(folder, `disk-${sector}`);
    writeFileSync(path, '');
    truncateSync(path, 1 << 30);
    return { path, sector };
  });
}

/**
 * In the order in which the guest names them: vda the root, vdb and vdc for volume groups, vdd the payload.
 * @param {{ disks: readonly { path: string, sector: number }[], payload: string, channel: string }} options
 */
function hardware({ disks, payload, channel }) {
  const quoted = (/** @type {string} */ path) => path.replaceAll(',', ',,');
  const drive = (/** @type {string} */ file, /** @type {string} */ more, sector = 512) => {
    const id = `disk${count++}`;
    const device = `virtio-blk-pci,drive=${id},logical_block_size=${sector},physical_block_size=${sector}`;
    return ['-drive', `if=none,id=${id},format=raw,file=${quoted(file)},${more}`, '-device', device];
  };
  let count = 0;
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
    // One processor, and a plain one: emulated vector units are slow, and with SMAP, as `-cpu max` has it, Dom0 dies at once
    // under qemu before 9.1, which applies it to reads that the processor itself makes of a user's stack.
    ...['-machine', 'pc', '-accel', 'tcg', '-cpu', 'qemu64', '-smp', '1', '-m', String(MEMORY)],
    // Written to for as long as this life lasts.
    ...drive('root.img', 'snapshot=on'),
    ...disks.flatMap(({ path, sector }) => drive(path, 'cache=unsafe,discard=unmap', sector)),
    ...drive(payload, 'readonly=on'),
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=tests,path=${quoted(channel)}`],
    ...['-device', 'virtserialport,chardev=tests,nr=1'],
  ];
}

function software() {
  const memory = `${DOM0_MEMORY}M`;
  const xen = `dom0_mem=${memory},max:${memory} com1=115200,8n1 console=com1 loglvl=warning guest_loglvl=warning no-real-mode edd=off`;
  const linux = 'console=hvc0 panic=-1 quiet loglevel=4 mitigations=off nokaslr audit=0 random.trust_cpu=on tsc=unstable';
  // A multiboot loader: the "initrd" is a list of modules with their arguments, in which a comma would have to be doubled.
  return ['-kernel', 'xen', '-append', xen, '-initrd', `vmlinux ${linux},initrd.gz`];
}
