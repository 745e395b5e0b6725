/** Commands: the table of commands, and how a command line becomes a call. */

import { booleanOf, parseLine } from './line.mjs';
import { printed } from './printer.mjs';
import { recordCommands } from './records.mjs';
import { failed, misused, Refusal } from './refusal.mjs';
import { srScan } from './sr.mjs';
import { vbdCreate, vbdDestroy, vbdPlug, vbdUnplug } from './vbd.mjs';
import { vdiCreate, vdiDestroy, vdiResize } from './vdi.mjs';

/** @typedef {import('./world.mjs').World} World */
/** @typedef {import('./printer.mjs').Output} Output */

/**
 * @typedef {Toolstack & Values} Call
 *
 * @typedef {object} Values
 * @property {readonly (readonly [name: string, value: string])[]} parameters without the ones common to all commands
 * @property {(name: string) => string} value of a required parameter
 * @property {(name: string) => string | undefined} optional
 * @property {(name: string, fallback: boolean) => boolean} flag
 * @property {(prefix: string) => Record<string, string>} map all `prefix:key=value`
 */

/**
 * @typedef {object} Command
 * @property {readonly string[]} required
 * @property {readonly string[]} optional names, and prefixes that end with a colon
 * @property {boolean} [any] it checks its other parameters itself
 * @property {(call: Call) => Output | void | Promise<void>} run
 */

/** @type {ReadonlyMap<string, Command>} */
const COMMANDS = new Map([
  .../** @type {const} */ (['host', 'pool', 'vm', 'sr', 'pbd', 'vdi', 'vbd']).flatMap(recordCommands),
  ['vdi-create', vdiCreate],
  ['vdi-resize', vdiResize],
  ['vdi-destroy', vdiDestroy],
  ['vbd-create', vbdCreate],
  ['vbd-plug', vbdPlug],
  ['vbd-unplug', vbdUnplug],
  ['vbd-destroy', vbdDestroy],
  ['sr-scan', srScan],
]);

/**
 * The result of a call: text for both streams, and the exit status.
 * @typedef {{ stdout: string, stderr: string, status: number }} Answer
 */

/**
 * @typedef {object} Toolstack
 * @property {World} world
 * @property {import('./storage.mjs').Storage} storage
 * @property {(make: () => void) => void} appear creates the node of a plugged device: immediately, unless a fault delays it
 */

/**
 * Runs a command and returns what it prints.
 * @param {readonly string[]} args @param {Toolstack} toolstack @returns {Promise<Answer>}
 */
export async function carryOut(args, toolstack) {
  const { world } = toolstack;
  try {
    const { command: name, parameters } = parseLine(args);
    const command = COMMANDS.get(name);
    if (command === undefined) throw misused('Unknown command', name);
    // For a list, `trace` is a filter, as in old versions.
    const own = parameters.filter(([parameter]) => parameter !== 'minimal' && (isList(name) || parameter !== 'trace'));
    const output = (await command.run({ ...toolstack, ...valuesOf(command, own) })) ?? {};
    return { stdout: printed(output, isOn(parameters, 'minimal')), stderr: '', status: 0 };
  } catch (error) {
    // Anything else is a bug in the stand-in, and must not pass for an answer.
    if (!(error instanceof Refusal)) throw error;
    return refused(args, error, world);
  } finally {
    world.save();
  }
}

/** What a refusal prints for this call. @param {readonly string[]} args @param {Refusal} refusal @param {World} world @returns {Answer} */
export function refused(args, { lines, raised }, world) {
  const isTraced = !isList(args[0] ?? '') && (args.includes('--trace') || args.includes('trace=true'));
  const trace = isTraced ? [`Raised ${raised}`, 'Backtrace:', ''] : [];
  return { stdout: '', stderr: [...lines(world.describe), ...trace].map((line) => `${line}\n`).join(''), status: 1 };
}

/** @param {string} command */
const isList = (command) => command.endsWith('-list') && !command.endsWith('-param-list');

/** @param {Call['parameters']} parameters @param {string} name */
function isOn(parameters, name) {
  const found = parameters.find(([parameter]) => parameter === name);
  return found !== undefined && booleanOf(name, found[1]);
}

/**
 * Stricter than the real xe, which ignores unknown parameters, and all but the first with the same name: here both are refused.
 * @param {Command} command @param {Call['parameters']} parameters @returns {Values}
 */
function valuesOf({ required, optional, any = false }, parameters) {
  for (const name of required) {
    if (!parameters.some(([parameter]) => parameter === name)) throw misused('Required parameter not found', name);
  }
  const known = [...required, ...optional];
  for (const [index, [name]] of parameters.entries()) {
    const colon = name.indexOf(':') + 1;
    // A prefix without a key does not count.
    const isKnown = colon !== name.length && known.includes(colon > 0 ? name.slice(0, colon) : name);
    if (!isKnown && !any) throw failed(`the stand-in refuses parameter '${name}', which the command does not have`);
    const isFirst = parameters.findIndex(([parameter]) => parameter === name) === index;
    if (!isFirst && isKnown) throw failed(`the stand-in refuses parameter '${name}' a second time`);
  }
  const optionalOf = (/** @type {string} */ name) => parameters.find(([parameter]) => parameter === name)?.[1];
  return {
    parameters,
    value: (name) => optionalOf(name) ?? '',
    optional: optionalOf,
    flag(name, fallback) {
      const text = optionalOf(name);
      return text === undefined ? fallback : booleanOf(name, text);
    },
    map: (prefix) =>
      Object.fromEntries(
        parameters.filter(([name]) => name.startsWith(`${prefix}:`)).map(([name, text]) => [name.slice(prefix.length + 1), text]),
      ),
  };
}
