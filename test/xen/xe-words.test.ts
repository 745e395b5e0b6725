/** What xe says when the toolstack refuses, and the errors that come of it. */

import { describe, expect, test } from 'vitest';
import { commandError } from '../../src/xen/xe-words.ts';

describe('an error of the toolstack', () => {
  test.each([
    [
      'with a number of the storage manager',
      'Error code: SR_BACKEND_FAILURE_44\nError parameters: , There is insufficient space, \n',
      'SR_FULL',
      'SR_BACKEND_FAILURE_44',
    ],
    [
      'with words only',
      'This operation cannot be performed because this VDI is in use by some other operation\nvdi: x\noperation: destroy\n',
      'VDI_BUSY',
      'VDI_IN_USE',
    ],
    [
      'with a trace',
      'Words of a later age\nRaised Server_error(SR_BACKEND_FAILURE_46, [ ; The VDI is not available;  ])\nBacktrace:\n',
      'VDI_UNAVAILABLE',
      'SR_BACKEND_FAILURE_46',
    ],
    [
      'with a trace that names its module',
      'x\nRaised Api_errors.Server_error(DEVICE_DETACH_REJECTED, [ VBD; r; m ])\n',
      'VBD_DETACH',
      'DEVICE_DETACH_REJECTED',
    ],
    ['for a uuid that does not exist', 'The uuid you supplied was invalid.\ntype: SR\nuuid: x\n', 'XE_UUID', 'UUID_INVALID'],
    ['without a code in vdistream', 'Error code: HOST_OFFLINE\nError parameters: \n', 'XE_FAILED', 'HOST_OFFLINE'],
    ['that is a bug in vdistream', "Required parameter not found: sr-uuid\nFor usage run: 'xe help'\n", 'XE_FAILED', undefined],
    ['caused by a missing server', 'Error: Connection refused (calling connect )\n', 'XE_CONNECTION', undefined],
    ['caused by a dropped connection', 'Lost connection to the server.\n', 'XE_CONNECTION', undefined],
    ['without any text', '', 'XE_FAILED', undefined],
  ])('%s gets its own code', (_, said, code, xapi) => {
    expect(commandError('vdi-create', said)).toMatchObject({ code, xapi });
  });

  test('is reported in one line, without the requested trace', () => {
    const error = commandError(
      'vdi-create',
      'Error code: X\nError parameters: a\x1b[31m, b\nRaised Server_error(X, [ a; b ])\nBacktrace:\n0/1 xapi\n',
    );
    expect(error.message).toBe('xe vdi-create: Error code: X; Error parameters: a [31m, b');
  });
});
