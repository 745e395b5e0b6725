import { describe, expect, test } from 'vitest';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import { newOwnerTag, parseOwnerTag } from '../../src/xen/owner-tag.ts';

describe('an owner tag', () => {
  const host = '11111111-2222-3333-4444-555555555555';

  test('names the host, the boot, the process and its start time, and is unique to each import', () => {
    const [one, two] = [newOwnerTag(host), newOwnerTag(host)];
    expect(parseOwnerTag(one.text)).toEqual({ text: one.text, host, owner: thisOwner() });
    expect(two.text).not.toBe(one.text);
    expect(one.text).toMatch(/^[a-z0-9.-]+$/);
  });

  test.each([
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
