/**
 * xapi: the server of the stand-in toolstack. `node xapi.mjs FOLDER [OPTIONS]` serves FOLDER/socket and keeps its objects in
 * FOLDER/state.json, which the next start reads. It prints `ready` once it is.
 *
 *   FOLDER/xensource-inventory    the uuids of host and Dom0
 *   FOLDER/bin/xe                 the program, compiled from xe.cc
 *
 * SIGTERM ends it and removes its devices. Forked by another Node process, it ends with that process and removes the folder.
 */

import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { xlStorage } from '../dom0/xl-storage.mjs';
import { carryOut, refused } from './commands.mjs';
import { addSr, control } from './control.mjs';
import { createFaults } from './faults.mjs';
import { argumentsOf } from './line.mjs';
import { loopStorage } from './loop.mjs';
import { serverError } from './refusal.mjs';
import { isTooLong, requestFrom, sendAnswer, sendFrame } from './wire.mjs';
import { createWorld } from './world.mjs';

/**
 * @typedef {object} Options
 * @property {keyof typeof STORAGES} [storage]
 * @property {import('./faults.mjs').Rule[]} [faults]
 * @property {{ type: string, options?: import('./control.mjs').SrOptions }[]} [srs] for a host that has none yet
 */

/** Where disks are kept. */
const STORAGES = { loop: loopStorage, xl: xlStorage };

/** @typedef {ReturnType<typeof createToolstack>} Server */

/** @param {string} folder @param {Options} options */
function createToolstack(folder, { storage = 'loop', faults: rules = [], srs = [] }) {
  const world = createWorld(join(folder, 'state.json'));
  if (world.objects.sr.length === 0) for (const { type, options = {} } of srs) addSr(world, type, options);
  const faults = createFaults();
  for (const rule of rules) faults.add(rule);
  return {
    world,
    storage: STORAGES[storage](folder),
    faults,
    /** The arguments of all calls, in order. @type {string[][]} */
    calls: [],
    /** Resumed on `release`. @type {Set<() => void>} */
    late: new Set(),
    /** Pending answers, except those that will never be sent. @type {Set<Promise<void>>} */
    pending: new Set(),
    /** Called for each call. */
    watchers: new Set(/** @type {(() => void)[]} */ ([])),
  };
}

/** @param {Server} server @returns {Promise<void>} */
const released = (server) =>
  new Promise((resolve) => {
    server.late.add(resolve);
  });

/** @param {Server} server @param {import('node:net').Socket} socket @param {string} body */
async function serve(server, socket, body) {
  const args = argumentsOf(body);
  sendFrame(socket, 'v', '');
  server.calls.push(args);
  for (const watcher of server.watchers) watcher();
  if (isTooLong(body)) return sendAnswer(socket, { stdout: '', stderr: 'Server internal error.\n', status: 1 });

  const { what, when = 'before' } = server.faults.of(args) ?? {};
  const node = typeof what === 'object' && 'node' in what ? what.node : 0;
  /** @param {() => void} make */
  const appear = (make) => {
    if (node === 0) make();
    else if (node === 'late') released(server).then(make);
    else if (node !== 'missing') pending(server, sleep(node).then(make));
  };
  const act = () => carryOut(args, { world: server.world, storage: server.storage, appear });
  if (what === undefined || (typeof what === 'object' && 'node' in what)) return sendAnswer(socket, await act());
  if (what === 'late' || what === 'gone') {
    const early = when === 'after' ? await act() : undefined;
    const end = early === undefined ? server.world.begin(args) : () => {};
    await (what === 'late' ? released(server) : socket.closed || once(socket, 'close'));
    end();
    return sendAnswer(socket, early ?? (await act()));
  }
  if (when === 'after') await act();
  if (what === 'die') socket.destroy();
  else if (what === 'hang') return;
  else if ('kill' in what) sendFrame(socket, 'k', String(what.kill));
  else if ('say' in what) sendAnswer(socket, { stdout: '', stderr: '', status: 0, ...what.say });
  else sendAnswer(socket, refused(args, serverError(...what.fail), server.world));
}

/** @param {Server} server @param {import('node:net').Socket} socket */
async function talk(server, socket) {
  const request = await requestFrom(socket);
  if (request === undefined) return;
  if (request.kind === 'control') return void socket.end(JSON.stringify((await control(server, JSON.parse(request.body))) ?? null));
  await pending(server, serve(server, socket, request.body));
}

/** @param {Server} server @param {Promise<void>} work */
async function pending(server, work) {
  server.pending.add(work);
  await work;
  server.pending.delete(work);
}

/** @param {string} folder @param {import('./world.mjs').World} world */
function writeInventory(folder, world) {
  const dom0 = world.objects.vm.find(world.isDom0Here)?.uuid;
  const lines = ["PRODUCT_BRAND='XenServer'", `CONTROL_DOMAIN_UUID='${dom0}'`, `INSTALLATION_UUID='${world.here().uuid}'`];
  writeFileSync(join(folder, 'xensource-inventory'), lines.map((line) => `${line}\n`).join(''));
}

/** @param {string} folder @param {string} options */
async function main(folder, options = '{}') {
  const toolstack = createToolstack(folder, JSON.parse(options));
  writeInventory(folder, toolstack.world);
  const end = () => {
    toolstack.storage.sweep(toolstack.world.objects.sr);
    if (process.send !== undefined) rmSync(folder, { recursive: true, force: true });
    process.exit();
  };
  process.once('SIGTERM', end);
  process.once('disconnect', end);
  rmSync(join(folder, 'socket'), { force: true });
  const server = createServer((socket) => void talk(toolstack, socket));
  server.listen(join(folder, 'socket'));
  await once(server, 'listening');
  if (process.send === undefined) console.log('ready');
  else process.send('ready');
}

const [folder, options] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node xapi.mjs FOLDER [OPTIONS]');
await main(folder, options);
