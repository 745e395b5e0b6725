/** The pool of `--xapi`: its address, its credentials, and what cannot be used with it. Throws USAGE. */

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { messageOf, VdiStreamError } from '../errors.ts';
import { effectiveUser, isOwn } from '../host/user.ts';
import type { XapiOptions } from '../xen/xapi-options.ts';
import type { FlagName, TextName } from './options.ts';
import type { Values } from './parse.ts';
import { certificatesOf } from './sources.ts';

const TEXTS: readonly TextName[] = ['device', 'xe', 'xe-timeout'];
const FLAGS: readonly FlagName[] = ['all-disks', 'dry-run', 'verify'];

/** Undefined without `--xapi`. */
export function xapiOptions(values: Values): XapiOptions | undefined {
  const url = values.text('xapi');
  const [fingerprints, file] = [values.list('fingerprint'), values.text('credentials')];
  if (url === undefined) {
    const needless = file !== undefined ? '--credentials' : fingerprints.length > 0 ? '--fingerprint' : undefined;
    if (needless !== undefined) throw new VdiStreamError('USAGE', `${needless} has no effect without --xapi`);
    return undefined;
  }
  const given = [...TEXTS.filter((name) => values.text(name) !== undefined), ...FLAGS.filter((name) => values.flag(name))];
  if (given.length > 0) throw new VdiStreamError('USAGE', `--${given[0]} cannot be used with --xapi`);
  return {
    url,
    ...(file === undefined ? fromEnvironment() : fromFile(file)),
    ca: certificatesOf(values),
    fingerprints: fingerprints.length === 0 ? undefined : fingerprints,
  };
}

type Credentials = Pick<XapiOptions, 'user' | 'password' | 'session'>;

/** A script may leave variables empty. */
function fromEnvironment(): Credentials {
  const { XAPI_SESSION: session = '', XAPI_USER: user = '', XAPI_PASSWORD: password = '' } = process.env;
  if (session !== '') return { session };
  if (user !== '' && password !== '') return { user, password };
  throw new VdiStreamError(
    'USAGE',
    'a pool needs credentials: set XAPI_USER and XAPI_PASSWORD, or XAPI_SESSION, or add --credentials FILE',
  );
}

/** `user=NAME` and `password=TEXT`, one per line. No message quotes a line. */
function fromFile(path: string): Credentials {
  const fields = new Map<string, string>();
  for (const line of readPrivate(path).split(/\r?\n/)) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, name, value = ''] = /^\s*(user|password)\s*=(.*)$/.exec(line) ?? [];
    if (name === undefined) throw new VdiStreamError('USAGE', `${path}: a line is neither user=NAME nor password=TEXT`);
    fields.set(name, name === 'user' ? value.trim() : value);
  }
  const [user = '', password = ''] = [fields.get('user'), fields.get('password')];
  if (user === '' || password === '') throw new VdiStreamError('USAGE', `${path}: needs the lines user=NAME and password=TEXT`);
  return { user, password };
}

function readPrivate(path: string): string {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const found = fstatSync(file);
    if (effectiveUser() !== undefined && (!isOwn(found) || found.mode % 0o100 !== 0)) {
      throw new VdiStreamError(
        'USAGE',
        `other users may read ${path}, or it belongs to one: run chmod 600 ${path}, and change the password`,
      );
    }
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof VdiStreamError) throw cause;
    const reason = messageOf(cause);
    throw new VdiStreamError('USAGE', `cannot read ${path}: ${reason}`, { cause });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
