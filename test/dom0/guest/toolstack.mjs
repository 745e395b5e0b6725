/** The stand-in toolstack (test/stand-in/) in a real Dom0: its disks are logical volumes, plugged by Xen. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ask } from '../../stand-in/ask.mjs';
import { run } from './programs.mjs';

/** @typedef {import('../../stand-in/world.mjs').Objects} Objects */

/** Where vdistream looks for the uuids of its host. */
const INVENTORY = '/etc/xensource-inventory';

/** @param {import('./runner.mjs').Test} t */
export async function toolstack(t) {
  const folder = mkdtempSync('/tmp/xapi-');
  const xe = join(folder, 'bin/xe');
  mkdirSync(join(folder, 'bin'));
  copyFileSync('/work/xe', xe);
  const argv = ['/work/test/stand-in/xapi.mjs', folder, JSON.stringify({ storage: 'xl' })];
  const server = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(async () => {
    const closed = once(server, 'close');
    server.kill();
    await closed;
    rmSync(folder, { recursive: true });
    rmSync(INVENTORY, { force: true });
  });
  await once(server.stdout, 'data');

  /** @returns {Objects} */
  const state = () => JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8'));
  const { host, vm } = state();
  const dom0 = vm.find(({ residentOn, domId }) => residentOn === host[0]?.uuid && domId === 0)?.uuid ?? '';
  writeFileSync(INVENTORY, `INSTALLATION_UUID='${host[0]?.uuid}'\nCONTROL_DOMAIN_UUID='${dom0}'\n`);
  return {
    xe,
    dom0,
    state,
    /** Runs an xe command and returns its output. @param {readonly string[]} args */
    run: (...args) => run(xe, ...args).trim(),
    /** Adds an SR and returns its uuid. @param {string} type @param {number} sector */
    sr: async (type, sector) => String(await ask(join(folder, 'socket'), { do: 'sr', type, options: { sector, device: 'kernel' } })),
  };
}
