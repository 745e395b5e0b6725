/**
 * `npm run recording`: makes docs/images/recording.svg, the picture in README.md. Makes an image, opens a shell in a terminal, types the
 * commands below into it, and records what it displays and when. Needs a built checkout, bash, gzip and Python 3, 2 GiB in the
 * folder for temporary files, and a minute or two.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipFile, writeOva } from '../bench/ova.mjs';
import { BLOCK } from '../bench/vhd.mjs';
import { recordingSvg } from './recording-svg.mjs';
import { Terminal } from './terminal.mjs';

const COMMANDS = [
  'vdistream info image.ova',
  'vdistream write image.ova disk.raw --verify',
  'head -c 100M image.ova > cut.ova',
  'vdistream check cut.ova',
];
const COLUMNS = 110;
const ROWS = 30;
const PROMPT = '\x1b[1;32m$\x1b[0m ';
const BASHRC = `PS1='\\[\\e[1;32m\\]$\\[\\e[0m\\] '\n`;

const MiB = 2 ** 20;
const DISK = 4 * 1024 * MiB;
const BLOCKS = 250;

/** Longer pauses are cut to this, so that nobody waits for a machine to think. Seconds. */
const LONGEST_PAUSE = 1;
/** How long the last state is shown. Seconds. */
const REST = 8;

const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const inTerminal = fileURLToPath(new URL('terminal.py', import.meta.url));
const picture = fileURLToPath(new URL('../docs/images/recording.svg', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'vdistream-recording-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => process.exit(130));

await makeFolder();
const states = shortened(await record());
const title = `A terminal: ${COMMANDS.join('; ')}`;
writeFileSync(picture, recordingSvg(states, { columns: COLUMNS, rest: REST, title }));
console.log(`${picture}: ${Math.round(statSync(picture).size / 1024)} KiB, ${states.length} states`);

/** The image, and `vdistream` as a command. */
async function makeFolder() {
  const tar = join(folder, 'image.tar');
  await writeOva(tar, { size: DISK, blocks: makeBlocks() });
  await gzipFile(tar, join(folder, 'image.ova'));
  rmSync(tar);
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/vdistream'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`, { mode: 0o755 });
  writeFileSync(join(folder, 'bashrc'), BASHRC);
  writeFileSync(join(folder, 'inputrc'), 'set enable-bracketed-paste off\n');
}

/** The same on each run: every other word new, so that gzip halves them; scattered over the disk. */
function makeBlocks() {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  /** @type {Map<number, Uint8Array>} */
  const blocks = new Map();
  let number = 0;
  while (blocks.size < BLOCKS) {
    const gap = (random() >>> 16) % 220;
    const run = 5 + ((random() >>> 16) % 60);
    number += gap;
    for (let index = 0; index < run && blocks.size < BLOCKS; index++) {
      blocks.set(number++, new Uint8Array(Uint32Array.from({ length: BLOCK / 4 }, (_, at) => (at % 2 ? random() : at)).buffer));
    }
  }
  return blocks;
}

/** Types the commands, each when the prompt has come back. @returns {Promise<import('./recording-svg.mjs').State[]>} */
async function record() {
  const env = {
    PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
    INPUTRC: join(folder, 'inputrc'),
    TERM: 'xterm-256color',
    LANG: 'C.UTF-8',
    HISTFILE: '',
  };
  const shell = spawn('python3', [inTerminal, String(COLUMNS), String(ROWS), 'bash', '--noprofile', '--rcfile', join(folder, 'bashrc')], {
    cwd: folder,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const terminal = new Terminal(COLUMNS, ROWS);
  const decoder = new TextDecoder();
  const started = performance.now();
  /** @type {import('./recording-svg.mjs').State[]} */
  const states = [];
  let prompts = 0;
  shell.stdout.on('data', (/** @type {Buffer} */ bytes) => {
    const output = decoder.decode(bytes, { stream: true });
    terminal.write(output);
    prompts += output.split(PROMPT).length - 1;
    states.push({ at: (performance.now() - started) / 1000, rows: terminal.rows() });
  });
  let open = true;
  const closed = once(shell, 'close').then(() => (open = false));
  const prompt = async (/** @type {number} */ number) => {
    while (open && prompts < number) await pause(20);
    if (!open) throw new Error('the shell has ended before its time');
  };
  for (const [index, command] of COMMANDS.entries()) {
    await prompt(index + 1);
    await pause(700);
    for (const key of command) {
      shell.stdin.write(key);
      await pause(45);
    }
    await pause(300);
    shell.stdin.write('\r');
  }
  await prompt(COMMANDS.length + 1);
  const shown = states.slice();
  shell.stdin.end('exit\r');
  await closed;
  return shown;
}

/** The same states, from 0 on, with no pause longer than LONGEST_PAUSE. @param {import('./recording-svg.mjs').State[]} states */
function shortened(states) {
  let at = 0;
  let before = states[0]?.at ?? 0;
  return states.map((state) => {
    at += Math.min(state.at - before, LONGEST_PAUSE);
    before = state.at;
    return { ...state, at };
  });
}
