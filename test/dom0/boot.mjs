/** Boot: runs the machine once, from the start of qemu to the last test, or until it crashes or hangs. */

import { spawn } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { emulator } from './machine.mjs';

/**
 * What the guest reports, one JSON object per line: a test starts, makes progress, passed, failed or hangs, or all tests have run.
 * @typedef {object} Line
 * @property {'start' | 'step' | 'passed' | 'failed' | 'hung' | 'end'} is
 * @property {string} [name]  of the test; missing at the end
 * @property {number} [ms]
 * @property {string} [message]  why it failed
 */

/**
 * @typedef {object} Life
 * @property {string} [broken]  why the machine did not finish
 * @property {string | undefined} [running]  the test that was running then
 * @property {string[]} console  lines printed on the console
 */

const MEMORY = 1536;
const DOM0_MEMORY = 1024;

// Crashes of Xen and Linux, an initrd without a root file system, and failures of init.sh. A soft lockup only means a slow host.
const DEATH = /Kernel panic|Panic on CPU|d0v\d Unhandled|Oops:|BUG: (?!soft lockup)|vdistream-dom0: (?:no root|failed)/;

/**
 * Boots, passes on each line, and kills the machine at the end: nothing on it needs saving.
 * @param {string} machine  folder with its files
 * @param {{ folder: string, payload: string, patience: number, onLine: (line: Line) => void, onConsole?: (line: string) => void }} options
 *   `folder` for files of this run; `patience`: milliseconds without output after which the machine counts as hung
 * @returns {Promise<Life>}
 */
export function boot(machine, { folder, payload, patience, onLine, onConsole }) {
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
        // A crashing kernel prints the reason in the lines that follow.
        setTimeout(kill, reason === '' ? 0 : 1000);
      };
      let over = false;
      const silence = setTimeout(() => end(`no output for ${patience / 1000} s`), patience);

      server.once('connection', (socket) => {
        createInterface(socket).on('line', (text) => {
          silence.refresh();
          const line = parse(text);
          if (line.is === 'step') return;
          if (line.is === 'end') return end('');
          if (line.is === 'hung') end(`a test hangs: ${line.message}`);
          life.running = line.is === 'start' || line.is === 'hung' ? line.name : undefined;
          onLine(line);
        });
      });
      for (const stream of [child.stdout, child.stderr]) {
        createInterface(stream).on('line', (text) => {
          silence.refresh();
          // The console ends a line with more than one character, which makes empty lines.
          if (text === '') return;
          life.console.push(text);
          onConsole?.(text);
          // If the tests cannot even be loaded, the machine is not to blame.
          if (text.endsWith('failed: tests')) life.running ??= 'guest.mjs';
          if (DEATH.test(text)) end(text);
        });
      }
      child.once('error', (error) => end(error.message));
      child.once('close', (status, signal) => {
        end(`qemu exited: ${signal ?? status}`);
        clearTimeout(silence);
        process.off('exit', kill);
        server.close();
        resolve(life);
      });
    });
  });
}

/** A line that is not JSON means that the harness is broken. @param {string} text @returns {Line} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { is: 'hung', name: '', message: `unexpected line from the guest: ${text}` };
  }
}

/** Disks for the volume groups, with sectors of 512 and 4096 bytes. @param {string} folder */
function blankDisks(folder) {
  return [512, 4096].map((sector) => {
    const path = join(folder, `disk-${sector}`);
    writeFileSync(path, '');
    truncateSync(path, 1 << 30);
    return { path, sector };
  });
}

/**
 * Disks in the order in which the guest names them: vda the root, vdb and vdc for volume groups, vdd the payload.
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
    // One plain processor: emulated vector units are slow, and with SMAP, which `-cpu max` includes, Dom0 crashes immediately under qemu
    // before 9.1, which applies SMAP to the processor's own reads of a user's stack.
    ...['-machine', 'pc', '-accel', 'tcg', '-cpu', 'qemu64', '-smp', '1', '-m', String(MEMORY)],
    // Changes are discarded when qemu exits.
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
  // With a multiboot kernel, "initrd" is a list of modules with their arguments, in which a comma must be doubled.
  return ['-kernel', 'xen', '-append', xen, '-initrd', `vmlinux ${linux},initrd.gz`];
}
