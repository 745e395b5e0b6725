/**
 * The manifest (.mf) and the certificate file (.cert) of an OVF package (DMTF DSP0243). A line of either is
 *
 *   SHA256(box.ovf)= 9f86d0…        OVF tools
 *   SHA1 (disk.vhd) = 9F86D0…       sha1sum --tag, older VMware tools
 *   SHA2-256(disk.vhd)= 9f86d0…     OpenSSL 3
 *
 * A file may have several lines, each with another algorithm.
 *
 * The .cert has one such line, with the signature of the manifest instead of a digest, before the PEM of the signer's certificate.
 */

import { createHash, createVerify, X509Certificate } from 'node:crypto';
import { MiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';
import { plainName } from './select.ts';

/** The largest manifest or certificate file that is read. */
export const MAX_MANIFEST_BYTES = 1 * MiB;
export const MAX_MANIFEST_LINES = 65_536;

export type Algorithm = 'sha1' | 'sha256' | 'sha512';

const HEX_DIGITS: Readonly<Record<Algorithm, number>> = { sha1: 40, sha256: 64, sha512: 128 };

/** Lower-case hex, by algorithm: one file may have a digest of each. */
export type ManifestDigests = ReadonlyMap<Algorithm, string>;

/** By the name of the member, without a leading "./". */
export type Manifest = ReadonlyMap<string, ManifestDigests>;

export interface Certificate {
  readonly algorithm: Algorithm;
  /** The name of the manifest that is signed, without a leading "./". */
  readonly manifestName: string;
  readonly signature: Uint8Array;
  /** One or more certificates, that of the signer first. */
  readonly pem: string;
}

/** Throws MANIFEST_SYNTAX with the offset of the line. `member` is the name of the manifest itself. */
export function readManifest(bytes: Uint8Array, member: string): Manifest {
  const manifest = new Map<string, Map<Algorithm, string>>();
  for (const { text, offset } of textLines(bytes, member)) {
    if (text === '') continue;
    const { algorithm, name, hex } = parseLine(text, member, offset);
    if (hex.length !== HEX_DIGITS[algorithm]) {
      throw syntax(`a digest has ${hex.length} hex digits, but ${algorithm} has ${HEX_DIGITS[algorithm]}`, member, offset);
    }
    const digests = manifest.get(name) ?? new Map<Algorithm, string>();
    if ((digests.get(algorithm) ?? hex) !== hex) {
      throw syntax(`the manifest lists two different ${algorithm} digests for ${quote(name)}`, member, offset);
    }
    manifest.set(name, digests.set(algorithm, hex));
  }
  return manifest;
}

/** Throws MANIFEST_SYNTAX, as `readManifest` does. */
export function readCertificate(bytes: Uint8Array, member: string): Certificate {
  let signed: DigestLine | undefined;
  let signedAt = 0;
  let block: { text: string; readonly offset: number } | undefined;
  let pem = '';
  for (const { text, offset } of textLines(bytes, member)) {
    if (signed === undefined) {
      if (text !== '') signed = parseLine(text, member, offset);
      signedAt = offset;
      continue;
    }
    // Text around the blocks is ignored (RFC 7468).
    if (text === '-----BEGIN CERTIFICATE-----') block = { text: '', offset };
    if (block === undefined) continue;
    block.text += `${text}\n`;
    if (text !== '-----END CERTIFICATE-----') continue;
    checkCertificate(block.text, member, block.offset);
    pem += block.text;
    block = undefined;
  }
  if (signed === undefined) throw syntax('the certificate file has no signature', member, 0);
  if (signed.hex.length % 2 > 0) throw syntax('the signature has an odd number of hex digits', member, signedAt);
  if (block !== undefined) throw syntax('a certificate has no END line', member, block.offset);
  if (pem === '') throw syntax('the certificate file has no certificate', member, bytes.length);
  const { algorithm, name, hex } = signed;
  return { algorithm, manifestName: name, signature: Uint8Array.from(Buffer.from(hex, 'hex')), pem };
}

function checkCertificate(pem: string, member: string, offset: number): void {
  try {
    new X509Certificate(pem);
  } catch (cause) {
    throw new VdiStreamError('MANIFEST_SYNTAX', 'a certificate is not a valid X.509 certificate', { member, offset, cause });
  }
}

/**
 * Throws MANIFEST_SIGNATURE if the signature does not verify over `manifest` with the key of the certificate. Does not check whether the
 * certificate is trusted, in date or issued for this purpose: anyone can make a certificate and sign with it.
 */
export function checkSignature(certificate: Certificate, manifest: Uint8Array): void {
  const { algorithm, manifestName: member, signature, pem } = certificate;
  let cause: unknown;
  try {
    if (createVerify(algorithm).update(manifest).verify(pem, signature)) return;
  } catch (error) {
    // The wrong kind of key, or a digest that the system's crypto policy forbids.
    cause = error;
  }
  throw new VdiStreamError('MANIFEST_SIGNATURE', `the signature of ${quote(member)} does not verify with the certificate`, {
    member,
    cause,
  });
}

export interface Digester {
  update(chunk: Uint8Array): void;
  /** Lower-case hex digests of all bytes so far, by algorithm. */
  digests(): Readonly<Partial<Record<Algorithm, string>>>;
}

/** Computes several digests in one pass. */
export function digester(algorithms: readonly Algorithm[]): Digester {
  const hashes = new Map(algorithms.map((algorithm) => [algorithm, createHash(algorithm)]));
  return {
    update: (chunk) => {
      for (const hash of hashes.values()) hash.update(chunk);
    },
    digests: () => {
      const digests: Partial<Record<Algorithm, string>> = {};
      for (const [algorithm, hash] of hashes) digests[algorithm] = hash.copy().digest('hex');
      return digests;
    },
  };
}

interface DigestLine {
  readonly algorithm: Algorithm;
  readonly name: string;
  /** Lower-case. */
  readonly hex: string;
}

function parseLine(text: string, member: string, offset: number): DigestLine {
  // Only names may contain parentheses, so the name is everything between the first and the last one.
  const start = text.indexOf('(');
  const end = text.lastIndexOf(')');
  const hex = /^\s*=\s*([0-9a-f]+)$/i.exec(text.slice(end + 1))?.[1];
  const written = text.slice(0, Math.max(start, 0)).trim();
  if (start < 0 || end < start || hex === undefined || !/^[a-z0-9-]+$/i.test(written)) {
    throw syntax(`a line does not have the form "SHA256(name)= digest": ${quote(text)}`, member, offset);
  }
  const algorithm = algorithmOf(written);
  if (algorithm === undefined) throw syntax(`the algorithm ${quote(written)} is not SHA1, SHA256 or SHA512`, member, offset);
  const name = plainName(text.slice(start + 1, end));
  if (name === '' || /\p{Cc}/u.test(name)) throw syntax(`a line has no file name: ${quote(text)}`, member, offset);
  return { algorithm, name, hex: hex.toLowerCase() };
}

/** "SHA256", "sha256", "SHA-256", OpenSSL 3's "SHA2-256", and "RSA-SHA256" as `openssl dgst -sign` writes it. */
function algorithmOf(written: string): Algorithm | undefined {
  switch (written.toLowerCase().replace(/^(?:rsa-)?sha(?:2-|-)?/, 'sha')) {
    case 'sha1':
      return 'sha1';
    case 'sha256':
      return 'sha256';
    case 'sha512':
      return 'sha512';
    default:
      return undefined;
  }
}

/** The lines, without trailing white space, each with its byte offset. */
function* textLines(bytes: Uint8Array, member: string): Generator<{ readonly text: string; readonly offset: number }, void, void> {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw syntax(`the file has ${bytes.length} bytes, more than the limit of ${MAX_MANIFEST_BYTES}`, member, MAX_MANIFEST_BYTES);
  }
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const hasByteOrderMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  let count = 0;
  for (let offset = hasByteOrderMark ? 3 : 0; offset < bytes.length; ) {
    if (++count > MAX_MANIFEST_LINES) throw syntax(`the file has more than ${MAX_MANIFEST_LINES} lines`, member, offset);
    const newline = bytes.indexOf(0x0a, offset);
    const end = newline < 0 ? bytes.length : newline;
    let text: string;
    try {
      text = decoder.decode(bytes.subarray(offset, end)).trimEnd();
    } catch (cause) {
      throw new VdiStreamError('MANIFEST_SYNTAX', 'a line is not UTF-8 text', { member, offset, cause });
    }
    yield { text, offset };
    offset = end + 1;
  }
}

const syntax = (message: string, member: string, offset: number): VdiStreamError =>
  new VdiStreamError('MANIFEST_SYNTAX', message, { member, offset });
