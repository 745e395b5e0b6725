/** A closed target: its descriptor's number may belong to another file by then. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { allocate } from '../../src/host/memory.ts';
import { native } from '../../src/host/native.ts';
import { deviceTarget, type Target } from '../../src/index.ts';
import { testFolder } from '../support/folder.ts';
import { loopDevice } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;
const SIZE = 8 * MIB;

interface Place {
  readonly path: string;
  end(): void;
}

const PLACES: Readonly<Record<string, () => Place>> = {
  'a device': () => {
    const { path, detach } = loopDevice({ size: SIZE });
    return { path, end: detach };
  },
  'a file': () => {
    const path = join(testFolder(), 'file');
    writeFileSync(path, Buffer.alloc(SIZE));
    return { path, end() {} };
  },
  'a new file': () => ({ path: join(testFolder(), 'file'), end() {} }),
};

describe.each(Object.entries(PLACES))('%s', (name, prepare) => {
  const test = testWith(...(name === 'a device' ? (['root', 'loop'] as const) : []));
  const bytes = new Uint8Array(allocate(MIB)).fill(0xa5);

  async function withTarget(use: (target: Target) => Promise<void>): Promise<void> {
    const place = prepare();
    try {
      await use(await deviceTarget(place.path).open({ size: SIZE }));
    } finally {
      place.end();
    }
  }

  test.each(['close', 'abandon'] as const)('after %s every call is refused, and no other file is written', async (end) => {
    await withTarget(async (target) => {
      await target[end]();
      const victim = join(testFolder(), 'victim');
      writeFileSync(victim, Buffer.alloc(SIZE, 'precious'));
      // They take all numbers that were free, that of the target too.
      const flags = { write: true, direct: false, exclusive: false, create: false };
      const opened = await Promise.all(Array.from({ length: 8 }, () => native().open(victim, flags)));
      try {
        const calls = [
          target.write(bytes, 0),
          target.zero(0, MIB, 'write'),
          target.read(bytes.slice(), 0),
          target.sync(),
          target.uncache?.(SIZE),
        ];
        for (const call of calls)
          await expect(call).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('is closed') });
      } finally {
        for (const { fd } of opened) await native().close(fd);
      }
      expect(readFileSync(victim).equals(Buffer.alloc(SIZE, 'precious'))).toBe(true);
    });
  });

  test.each(['close', 'abandon'] as const)('%s waits for the calls in flight', async (end) => {
    await withTarget(async (target) => {
      let settled = 0;
      const offsets = Array.from({ length: 8 * 16 }, (_, index) => (index % 8) * MIB);
      const writes = offsets.map((offset) => target.write(bytes, offset).finally(() => settled++));
      await target[end]();
      expect(settled).toBe(writes.length);
      await Promise.all(writes);
      await target[end](); // again: nothing happens
    });
  });

  test('it may be closed twice at the same time', async () => {
    await withTarget(async (target) => {
      await Promise.all([target.close(), target.close(), target.abandon()]);
    });
  });
});
