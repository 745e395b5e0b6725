import { describe, expect, test } from 'vitest';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import { newOwnerTag, parseOwnerTag } from '../../src/xen/owner-tag.ts';

describe('an owner tag', () => {
  const host = '11111111-2222-3333-4444-555555555555';

  test('names the host, the boot, the pid namespace, the process and its start time, and has a token of its own', () => {
    const [one, two] = [newOwnerTag(host), newOwnerTag(host)];
    expect(parseOwnerTag(one.text)).toEqual({ text: one.text, host, owner: thisOwner(), token: one.token });
    expect(two.text).not.toBe(one.text);
    expect(one.text).toMatch(/^[a-z0-9.-]+$/);
  });

  test('of the older form is recognized, and has no token', () => {
    const text = `vdistream.${host}.00000000-1111-2222-3333-444444444444.7.99.123`;
    const owner = { boot: '00000000-1111-2222-3333-444444444444', pid: 7, start: '99' };
    expect(parseOwnerTag(text)).toEqual({ text, host, owner });
  });

  test.each([
    `vdistream.${host}.00000000-1111-2222-3333-444444444444.7.99.${'a'.repeat(32)}`,
    `vdistream.${host}.${ownerText(thisOwner())}.${'A'.repeat(32)}`,
    `vdistream.${host}.${ownerText(thisOwner())}.${'a'.repeat(31)}`,
    'vdistream',
    'my vdistream disk',
    `vdistream.${host}`,
    `vdistream.${host}.${ownerText(thisOwner())}`,
    `vdistream.${host}.${ownerText(thisOwner())}.`,
    `vdistream.x.${ownerText(thisOwner())}.1`,
    `xvdistream.${host}.${ownerText(thisOwner())}.1`,
    `vdistream.${host}.${ownerText(thisOwner())}.1 `,
  ])('is not recognized in a similar text: %s', (text) => {
    expect(parseOwnerTag(text)).toBeUndefined();
  });
});
