/** The libraries that inflate, as far as this machine has them. */

import { INFLATES, type InflateName } from '../../src/codec/inflate.ts';
import { addonIfAny } from '../../src/host/native.ts';

async function isHere(name: InflateName): Promise<boolean> {
  if (name === 'isal' || name === 'zlib') {
    const addon = addonIfAny();
    return addon !== undefined && (name === 'zlib' || addon.loadIsal('libisal.so.2') === undefined);
  }
  if (name !== 'zlib-sync') return true;
  // It is built for one version of Node.
  return import('zlib-sync').then(
    () => true,
    () => false,
  );
}

const names = INFLATES.filter((name): name is InflateName => name !== 'auto');

export const inflates: readonly InflateName[] = (await Promise.all(names.map(async (name) => ((await isHere(name)) ? [name] : [])))).flat();

/** Those that read several members. */
export const streaming = inflates.filter((name) => name !== 'zlib-sync');

/** The library of the addon, where it can be loaded. */
export const usualInflate: InflateName = streaming.includes('zlib') ? 'zlib' : 'node';
