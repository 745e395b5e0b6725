/** An error of the image service during an upload, worded and classified as in Nova's plugin (os-xenapi: plugins/glance.py). */

import { VdiStreamError } from '../errors.ts';

type UploadFailureKind = 'RetryableError' | 'PluginError' | 'Failure';

/** Statuses that the plugin of Nova retries; it calls others that it does not list "unexpected", and retries those as well. */
const EPHEMERAL = [408, 500, 502, 503, 504, 507];

export class UploadFailure extends Error {
  override readonly name = 'UploadFailure';
  /** `Failure` is an image that does not exist: Nova then ends the snapshot without an error. */
  readonly kind: UploadFailureKind;
  readonly refusal: VdiStreamError;

  private constructor(kind: UploadFailureKind, message: string, refusal: VdiStreamError) {
    super(message, { cause: refusal });
    this.kind = kind;
    this.refusal = refusal;
  }

  /** `error` itself, unless the image service or the connection to it is at fault. */
  static of(error: unknown, image: string, address: string): unknown {
    if (!(error instanceof VdiStreamError) || !/^(?:HTTP|GLANCE|UPLOAD)_/.test(error.code)) return error;
    if (error.code === 'HTTP_NOT_FOUND') return new UploadFailure('Failure', 'ImageNotFound', error);
    const { status } = error;
    const again = isWorthAnotherCall(error);
    const expected = status === undefined || EPHEMERAL.includes(status) ? 'Ephemeral' : 'Unexpected';
    const response = status === undefined ? '' : ` response [${status}]`;
    const what = `Got ${again ? expected : 'Permanent'} Error${response} while uploading image [${image}] to glance [${address}]`;
    return new UploadFailure(again ? 'RetryableError' : 'PluginError', what, error);
  }
}

/** The next call may name another endpoint, so an error that only another server can remedy is worth it. */
const isWorthAnotherCall = (error: VdiStreamError): boolean => error.retryable || error.hasRemedy('elsewhere');
