/** The owner tag of an import from another machine, and what Dom0 makes of it. */

import { afterAll, beforeAll, expect, test as plain } from 'vitest';
import { reap } from '../../src/index.ts';
import { isOwnerTag, newRemoteTag, parseOwnerTag } from '../../src/xen/owner-tag.ts';
import { answer } from '../stand-in/answer.ts';
import { type Host, startHost } from '../stand-in/host.ts';
import { toolstackOf } from '../support/imported.ts';
import { testWith } from '../support/needs.ts';

plain('the tag of a remote import is an owner tag, but of no process here', () => {
  const tag = newRemoteTag();
  expect(tag).toMatch(/^vdistream\.remote\.[0-9a-f]{32}$/);
  expect(newRemoteTag()).not.toBe(tag);
  expect(isOwnerTag(tag)).toBe(true);
  expect(parseOwnerTag(tag)).toBeUndefined();
  for (const other of [`${tag}0`, tag.slice(0, -1), tag.replace('remote', 'other'), `x${tag}`]) expect(isOwnerTag(other)).toBe(false);
});

const test = testWith('root', 'loop', 'g++');
let host: Host;
beforeAll(async () => {
  if (test !== plain.skip) host = await startHost();
});
afterAll(() => host?.stop());

test('a reap in Dom0 neither removes nor judges the VDI of a remote import', async () => {
  const sr = await host.sr('ext');
  const create = ['vdi-create', `sr-uuid=${sr}`, 'name-label=web', 'virtual-size=2097152', `tags:${newRemoteTag()}=`];
  const vdi = await answer(host, create);
  expect(await reap({ xe: toolstackOf(host) })).toMatchObject({ leftOvers: [], removed: 0, failed: 0 });
  expect(host.state().vdi.map(({ uuid }) => uuid)).toContain(vdi);
});
