/** Refusals of the toolstack: maps xapi's codes to VdiStreamError codes, and decides what an error proves about the toolstack's state. */

import { type ErrorCode, hasRemedy, VdiStreamError } from '../errors.ts';

/** By xapi's code. Numbers are from the storage manager (sm: drivers/XE_SR_ERRORCODES.xml). */
const CODES: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ['SR_FULL', 'SR_FULL'],
  ['SR_BACKEND_FAILURE_44', 'SR_FULL'],
  // A thin volume grows to its full size when it is attached.
  ['SR_BACKEND_FAILURE_180', 'SR_FULL'],
  ['SR_NOT_ATTACHED', 'SR_UNAVAILABLE'],
  ['SR_HAS_NO_PBDS', 'SR_UNAVAILABLE'],
  ['SR_NO_PBDS', 'SR_UNAVAILABLE'],
  ['SR_REQUIRES_UPGRADE', 'SR_UNAVAILABLE'],
  ['SR_BACKEND_FAILURE_16', 'SR_UNAVAILABLE'],
  ['SR_BACKEND_FAILURE_40', 'SR_UNAVAILABLE'],
  ['SR_BACKEND_FAILURE_47', 'SR_UNAVAILABLE'],
  ['SR_BACKEND_FAILURE_57', 'SR_UNAVAILABLE'],
  ['SR_BACKEND_FAILURE_58', 'SR_UNAVAILABLE'],
  ['SR_OPERATION_NOT_SUPPORTED', 'SR_UNSUPPORTED'],
  ['SR_BACKEND_FAILURE_66', 'SR_UNSUPPORTED'],
  ['SR_BACKEND_FAILURE_79', 'VDI_SIZE'],
  ['VDI_IN_USE', 'VDI_BUSY'],
  ['SR_BACKEND_FAILURE_24', 'VDI_BUSY'],
  ['SR_BACKEND_FAILURE_46', 'VDI_UNAVAILABLE'],
  ['SR_BACKEND_FAILURE_65', 'VDI_UNAVAILABLE'],
  ['VDI_NOT_AVAILABLE', 'VDI_UNAVAILABLE'],
  ['DEVICE_DETACH_REJECTED', 'VBD_DETACH'],
  ['DEVICE_DETACH_TIMEOUT', 'VBD_DETACH'],
  ['UUID_INVALID', 'XE_UUID'],
  ['HANDLE_INVALID', 'XE_UUID'],
  ['SESSION_AUTHENTICATION_FAILED', 'XAPI_LOGIN'],
  ['SESSION_INVALID', 'XAPI_LOGIN'],
  ['RBAC_PERMISSION_DENIED', 'XAPI_LOGIN'],
]);

/** The error for a xapi code; `other` for one not in the table. */
export const refusalError = (xapi: string, message: string, other: 'XE_FAILED' | 'XAPI_FAILED' = 'XE_FAILED'): VdiStreamError =>
  new VdiStreamError(CODES.get(xapi) ?? other, message, { xapi });

/** Whether the command may have taken effect despite the error. */
export const isOutcomeUnknown = (error: unknown): boolean => hasRemedy(error, 'toolstack', 'again');

/** Whether the toolstack refused the command, or never received it. */
export const isRefused = (error: unknown): boolean =>
  error instanceof VdiStreamError && (error.xapi !== undefined || error.atFault !== 'toolstack');

/** Whether xapi refused it with one of these codes. */
export const isRefusedWith = (error: unknown, codes: readonly string[]): boolean =>
  error instanceof VdiStreamError && error.xapi !== undefined && codes.includes(error.xapi);
