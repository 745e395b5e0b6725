import { execFileSync } from 'node:child_process';
import { expect } from 'vitest';
import { deviceTarget, type Target } from '../../src/index.ts';
import { failure } from '../support/failure.ts';
import { withLoop } from '../support/loop.ts';
import { testWith } from '../support/needs.ts';

const MIB = 1 << 20;

testWith('loop', 'mkswap')('a refusal says that an earlier write to the device did not finish, until one has', async () => {
  const refusal = /holds a swap area, .*; it may come from a write by vdistream that began at \d{4}-\d\d-\d\dT[\d:.]+Z and did not finish$/;
  await withLoop({ size: 8 * MIB }, async ({ path }) => {
    const open = (force: readonly 'content'[] = []): Promise<Target> => deviceTarget(path).open({ size: MIB, force });
    execFileSync('mkswap', [path], { stdio: 'ignore' });
    expect((await failure(open())).message).toMatch(/holds a swap area, signature at byte \d+$/);
    await (await open(['content'])).abandon();
    expect((await failure(open())).message).toMatch(refusal);
    await (await open(['content'])).close();
    expect((await failure(open())).message).toMatch(/holds a swap area, signature at byte \d+$/);
  });
});
