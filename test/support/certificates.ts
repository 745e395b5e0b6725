/** A private authority and certificates of it, made by openssl when a test needs them. */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export interface Authority {
  /** Its own certificate. */
  readonly ca: string;
  readonly key: string;
  /** A certificate for names such as `IP:127.0.0.1`. Of a negative number of days it has been out of date for that long. */
  issue(names: string, days?: number): Certificate;
}

export function certificateAuthority(folder: string): Authority {
  const at = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...newKey, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=vdistream test authority', '-days', '2');
  return {
    ca: readFileSync(at('ca.pem'), 'utf8'),
    key: readFileSync(at('ca.key'), 'utf8'),
    issue(names, days = 2) {
      openssl('req', ...newKey, '-keyout', at('key'), '-out', at('request'), '-subj', '/CN=vdistream test server');
      writeFileSync(at('extensions'), `subjectAltName=${names}\n`);
      const files = ['-in', at('request'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-out', at('cert')];
      openssl('x509', '-req', ...files, '-days', String(days), '-extfile', at('extensions'));
      return { key: readFileSync(at('key'), 'utf8'), cert: readFileSync(at('cert'), 'utf8') };
    },
  };
}
