/** Transfers with the addon, for faults: node native-call.mjs ADDON FILE read|write|zero. Prints the error as JSON. */
// @ts-nocheck: what no type allows is what is tested

import { createRequire } from 'node:module';

const [addonPath = '', path = '', call = ''] = process.argv.slice(2);
const addon = createRequire(import.meta.url)(addonPath);
const LENGTH = 3 << 20;
try {
  const { fd } = await addon.open(path, { write: true, direct: false });
  const memory = new Uint8Array(addon.allocate(LENGTH));
  if (call === 'write') await addon.write(fd, memory.fill(0xa5), 0);
  if (call === 'read') await addon.read(fd, memory, 0);
  if (call === 'zero') await addon.zero(fd, 0, LENGTH, addon.zeroMethods.indexOf('write'));
  if (call === 'many') await Promise.all(Array.from({ length: 32 }, (_, index) => addon.read(fd, memory.subarray(0, 4096), index * 4096)));
  if (call === 'inflate') await new addon.Inflater(0).run(new Uint8Array(1), new Uint8Array(1));
  await addon.close(fd);
  console.log(JSON.stringify({ sum: memory.reduce((sum, byte) => sum + byte, 0) }));
} catch (error) {
  console.log(JSON.stringify({ ...error, name: error.name }));
}
