/**
 * What a failed xe command said, from its words to an error. The exit status is 1 whatever went wrong. A code is printed only for what
 * xe has no sentence for, or with --trace (xen-api: ocaml/xapi-cli-server/xapi_cli.ml and cli_util.ml).
 */

import { VdiStreamError } from '../errors.ts';
import { refusalError } from './refusal.ts';

/** The sentences of the codes that xe prints without the code itself (xen-api: ocaml/idl/datamodel_errors.ml). */
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

/** The typed form of what a failed command said. Throws nothing. */
export function commandError(command: string, said: string): VdiStreamError {
  const xapi =
    /Raised (?:[\w.]+\.)?Server_error\((\w+)/.exec(said)?.[1] ??
    /^Error code: (\w+)/m.exec(said)?.[1] ??
    SENTENCES.find(([sentence]) => said.includes(sentence))?.[1];
  const message = `xe ${command}: ${inOneLine(said)}`;
  if (xapi !== undefined) return refusalError(xapi, message);
  return new VdiStreamError(UNREACHABLE.test(said) ? 'XE_CONNECTION' : 'XE_FAILED', message);
}

const MAX_SHOWN = 500;

/** Without the trace that was asked for. */
function inOneLine(said: string): string {
  const lines = said.split(/^(?:Raised |Backtrace:)/m)[0]?.split('\n') ?? [];
  const line = lines
    .map((one) => one.trim())
    .filter((one) => one !== '')
    .join('; ');
  return line === '' ? 'it failed and said nothing' : line.replace(/[^ -~]+/g, ' ').slice(0, MAX_SHOWN);
}
