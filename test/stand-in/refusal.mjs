/**
 * Refusal: what xe prints for an error (xen-api: ocaml/xapi-cli-server/cli_util.ml and xapi_cli.ml). A known code is printed as a sentence
 * with named parameters, without the code; any other, such as all codes of the storage manager, as code and parameters. With --trace, the
 * exception follows.
 */

export class Refusal extends Error {
  /**
   * @param {string} raised as printed by --trace
   * @param {(describe: (ref: string) => string) => string[]} lines for stderr; `describe` turns references into names
   */
  constructor(raised, lines) {
    super(raised);
    this.raised = raised;
    this.lines = lines;
  }
}

/**
 * Codes that have a sentence, with the names of their parameters.
 * @type {Readonly<Record<string, readonly [sentence: string, ...parameters: string[]]>>}
 */
const KNOWN = {
  DEVICE_ALREADY_ATTACHED: ['The device is already attached to a VM', 'device'],
  DEVICE_ALREADY_DETACHED: ['The device is not currently attached', 'device'],
  DEVICE_ALREADY_EXISTS: ['A device with the name given already exists on the selected VM', 'device'],
  DEVICE_ATTACH_TIMEOUT: ['A timeout happened while attempting to attach a device to a VM.', 'type', 'ref'],
  DEVICE_DETACH_REJECTED: ['The VM rejected the attempt to detach the device.', 'type', 'ref', 'msg'],
  DEVICE_DETACH_TIMEOUT: ['A timeout happened while attempting to detach a device from a VM.', 'type', 'ref'],
  HANDLE_INVALID: [
    'You gave an invalid object reference.  The object may have recently been deleted.  The class parameter gives the type of reference ' +
      'given, and the handle parameter echoes the bad value given.',
    'class',
    'handle',
  ],
  INTERNAL_ERROR: [
    'The server failed to handle your request, due to an internal error.  The given message may give details useful for debugging ' +
      'the problem.',
    'message',
  ],
  INVALID_DEVICE: ['The device name is invalid', 'device'],
  MAP_DUPLICATE_KEY: ['You tried to add a key-value pair to a map, but that key is already there.', 'type', 'param_name', 'uuid', 'key'],
  OPERATION_NOT_ALLOWED: ['You attempted an operation that was not allowed.', 'reason'],
  OTHER_OPERATION_IN_PROGRESS: ['Another operation involving the object is currently in progress', 'class', 'object'],
  SR_FULL: ['The SR is full. Requested new size exceeds the maximum size', 'requested', 'maximum'],
  SR_HAS_NO_PBDS: ['The SR has no attached PBDs', 'sr'],
  SR_OPERATION_NOT_SUPPORTED: ["The SR backend does not support the operation (check the SR's allowed operations)", 'sr'],
  UUID_INVALID: ['The uuid you supplied was invalid.', 'type', 'uuid'],
  VBD_IS_EMPTY: ['Operation could not be performed because the drive is empty', 'vbd'],
  VBD_CDS_MUST_BE_READONLY: ['Read/write CDs are not supported'],
  VBD_NOT_UNPLUGGABLE: ['Drive could not be hot-unplugged because it is not marked as unpluggable', 'vbd'],
  VDI_IN_USE: ['This operation cannot be performed because this VDI is in use by some other operation', 'vdi', 'operation'],
  VDI_IS_NOT_ISO: ['This operation can only be performed on CD VDIs (iso files or CDROM drives)', 'vdi', 'type'],
  VDI_READONLY: ['The operation required write access but this VDI is read-only', 'vdi'],
  VM_BAD_POWER_STATE: [
    'You attempted an operation on a VM that was not in an appropriate power state at the time; for example, you attempted to start a VM ' +
      "that was already running.  The parameters returned are the VM's handle, and the expected and actual VM state at the time of " +
      'the call.',
    'vm',
    'expected',
    'actual',
  ],
};

/** An error of the API. @param {string} code @param {string[]} values references, uuids and texts */
export function serverError(code, ...values) {
  const [sentence, ...names] = KNOWN[code] ?? [];
  return new Refusal(`Server_error(${code}, [ ${values.join('; ')} ])`, (describe) => {
    if (sentence === undefined) return [`Error code: ${code}`, `Error parameters: ${values.map(describe).join(', ')}`];
    const count = Math.max(names.length, values.length);
    const named = Array.from({ length: count }, (_, index) => {
      const value = values[index];
      return `${names[index] ?? '<extra>'}: ${value === undefined ? '<unknown>' : describe(value)}`;
    });
    return [sentence, ...named];
  });
}

/** An error of the storage manager: three parameters, the middle one being the message. @param {number} number @param {string} text */
export const backendFailure = (number, text) => serverError(`SR_BACKEND_FAILURE_${number}`, '', text, '');

/** An error of the command line itself. @param {string} text */
export const failed = (text) => new Refusal(`Cli_util.Cli_failure(${JSON.stringify(text)})`, () => [`Error: ${text}`]);

/** @param {'Required parameter not found' | 'Unknown command' | 'Syntax error'} what @param {string} about */
export const misused = (what, about) =>
  new Refusal(`Cli_frontend.ParamNotFound(${JSON.stringify(about)})`, () => [`${what}: ${about}`, "For usage run: 'xe help'"]);
