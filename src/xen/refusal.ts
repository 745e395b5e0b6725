/**
 * What the toolstack refuses, from its words to a code. Its command line ends with 1 whatever went wrong, and prints the code only for
 * what it does not know, or when it is asked to trace (DOMAIN 3).
 */

import { type ErrorCode, hasRemedy, VdiStreamError } from '../errors.ts';

/** By xapi's code. The numbers are those of the storage manager. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  SR_FULL: 'SR_FULL',
  SR_BACKEND_FAILURE_44: 'SR_FULL',
  // A thin volume is made full-sized when it is attached.
  SR_BACKEND_FAILURE_180: 'SR_FULL',
  SR_NOT_ATTACHED: 'SR_UNAVAILABLE',
  SR_HAS_NO_PBDS: 'SR_UNAVAILABLE',
  SR_NO_PBDS: 'SR_UNAVAILABLE',
  SR_REQUIRES_UPGRADE: 'SR_UNAVAILABLE',
  SR_BACKEND_FAILURE_16: 'SR_UNAVAILABLE',
  SR_BACKEND_FAILURE_40: 'SR_UNAVAILABLE',
  SR_BACKEND_FAILURE_47: 'SR_UNAVAILABLE',
  SR_BACKEND_FAILURE_57: 'SR_UNAVAILABLE',
  SR_BACKEND_FAILURE_58: 'SR_UNAVAILABLE',
  SR_OPERATION_NOT_SUPPORTED: 'SR_UNSUPPORTED',
  SR_BACKEND_FAILURE_66: 'SR_UNSUPPORTED',
  SR_BACKEND_FAILURE_79: 'VDI_SIZE',
  VDI_IN_USE: 'VDI_BUSY',
  SR_BACKEND_FAILURE_24: 'VDI_BUSY',
  SR_BACKEND_FAILURE_46: 'VDI_UNAVAILABLE',
  SR_BACKEND_FAILURE_65: 'VDI_UNAVAILABLE',
  VDI_NOT_AVAILABLE: 'VDI_UNAVAILABLE',
  DEVICE_DETACH_REJECTED: 'VBD_DETACH',
  DEVICE_DETACH_TIMEOUT: 'VBD_DETACH',
  UUID_INVALID: 'XE_UUID',
  HANDLE_INVALID: 'XE_UUID',
};

/** How xe words the codes that it knows, where it does not tell them. */
const WORDS: ReadonlyArray<readonly [string, string]> = [
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
    WORDS.find(([words]) => said.includes(words))?.[1];
  const message = `xe ${command}: ${told(said)}`;
  if (xapi !== undefined)
    return new VdiStreamError(Object.hasOwn(CODES, xapi) ? (CODES[xapi] ?? 'XE_FAILED') : 'XE_FAILED', message, { xapi });
  return new VdiStreamError(UNREACHABLE.test(said) ? 'XE_CONNECTION' : 'XE_FAILED', message);
}

const MAX_TOLD = 500;

/** One line of what it said, without the trace that was asked for. */
function told(said: string): string {
  const lines = said.split(/^(?:Raised |Backtrace:)/m)[0]?.split('\n') ?? [];
  const line = lines
    .map((one) => one.trim())
    .filter((one) => one !== '')
    .join('; ');
  return line === '' ? 'it failed and said nothing' : line.replace(/[^ -~]+/g, ' ').slice(0, MAX_TOLD);
}

/** Whether the command may have been carried out all the same. */
export const isUnknown = (error: unknown): boolean => hasRemedy(error, 'toolstack', 'again');

/** Whether the toolstack said no, or was never asked. */
export const isRefused = (error: unknown): boolean =>
  error instanceof VdiStreamError && (error.xapi !== undefined || error.atFault !== 'toolstack');

/** Whether it was refused with one of these codes of xapi. */
export const isRefusal = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof VdiStreamError && error.xapi !== undefined && codes.includes(error.xapi);
