/** Certificates: which authorities a TLS connection trusts. */

import { VdiStreamError } from '../errors.ts';

/** Node's certificates plus those in `pem`. Throws USAGE if it has none; Node would silently accept that. */
export async function trustedCertificates(pem: string | undefined): Promise<readonly string[] | undefined> {
  if (pem === undefined) return undefined;
  const [{ rootCertificates }, { X509Certificate }] = await Promise.all([import('node:tls'), import('node:crypto')]);
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const invalid = (cause?: unknown): VdiStreamError =>
    new VdiStreamError('USAGE', 'the CA file has no valid certificate in PEM format', { cause });
  if (certificates.length === 0) throw invalid();
  try {
    for (const certificate of certificates) new X509Certificate(certificate);
  } catch (cause) {
    throw invalid(cause);
  }
  return [...rootCertificates, ...certificates];
}
