/**
 * Turns the output of a failed xe command into an error. The exit status is always 1, and xe prints a code only if it has no sentence for
 * it, or with --trace (xen-api: ocaml/xapi-cli-server/xapi_cli.ml and cli_util.ml).
 */

import { VdiStreamError } from '../errors.ts';
import { refusalError } from './refusal.ts';

/** The sentences that xe prints in place of a code (xen-api: ocaml/idl/datamodel_errors.ml). */
const SENTENCES: ReadonlyArray<readonly [string, string]> = [
  ['The SR is full.', 'SR_FULL'],
  ['This operation cannot be performed because this VDI is in use', 'VDI_IN_USE'],
  ['The VM rejected the attempt to detach the device', 'DEVICE_DETACH_REJECTED'],
  ['A timeout happened while attempting to detach a device', 'DEVICE_DETACH_TIMEOUT'],
  ['The device is not currently attached', 'DEVICE_ALREADY_DETACHED'],
  ['The device is already attached', 'DEVICE_ALREADY_ATTACHED'],
  ['The uuid you supplied was invalid', 'UUID_INVALID'],
  ['You gave an invalid object reference', 'HANDLE_INVALID'],
  ['The SR is not attached', 'SR_NOT_ATTACHED'],
];

const UNREACHABLE = /Lost connection to the server|Unable to contact server|Connection refused|Connection reset/;

/** The typed error for what a failed command printed. */
export function commandError(command: string, printed: string): VdiStreamError {
  const xapi =
    /Raised (?:[\w.]+\.)?Server_error\((\w+)/.exec(printed)?.[1] ??
    /^Error code: (\w+)/m.exec(printed)?.[1] ??
    SENTENCES.find(([sentence]) => printed.includes(sentence))?.[1];
  const message = `xe ${command}: ${inOneLine(printed)}`;
  if (xapi !== undefined) return refusalError(xapi, message);
  return new VdiStreamError(UNREACHABLE.test(printed) ? 'XE_CONNECTION' : 'XE_FAILED', message);
}

const MAX_SHOWN = 500;

/** Without the output of --trace. */
function inOneLine(printed: string): string {
  const lines = printed.split(/^(?:Raised |Backtrace:)/m)[0]?.split('\n') ?? [];
  const joined = lines
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('; ');
  return joined === '' ? 'failed without a message' : joined.replace(/[^ -~]+/g, ' ').slice(0, MAX_SHOWN);
}
