/** What `--version` prints: the version, and what inflates gzip on this host. */

import { inflateName } from '../codec/inflate.ts';
import { loadIsal } from '../host/native.ts';
import { VERSION } from '../version.ts';
import type { Printed } from './output.ts';

export function versions(json: boolean): Printed {
  const inflate = inflateName();
  const from = inflate === 'isal' ? loadIsal().from : undefined;
  if (json) return { json: { version: VERSION, inflate, from } };
  return [`vdistream ${VERSION}`, from === undefined ? `inflate: ${inflate}` : `inflate: ${inflate}, from ${from}`];
}
