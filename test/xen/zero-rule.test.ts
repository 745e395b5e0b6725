/** Whether a new VDI reads as zero. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createXeToolstack } from '../../src/xen/xe-toolstack.ts';
import { newDisksReadZero, readsZero } from '../../src/xen/zero-rule.ts';
import { testFolder } from '../support/folder.ts';

describe('a new VDI', () => {
  const vhd = new Map([['use_vhd', 'true']]);
  const none = new Map<string, string>();
  test.each([
    ['an LVM SR with VHDs', { type: 'lvm', raw: false, smConfig: vhd }, true],
    ['an iSCSI SR with VHDs', { type: 'lvmoiscsi', raw: false, smConfig: vhd }, true],
    ['a raw volume on LVM', { type: 'lvm', raw: true, smConfig: vhd }, false],
    ['a raw volume on LVM over iSCSI', { type: 'lvmoiscsi', raw: true, smConfig: vhd }, false],
    ['a raw volume on LVM over HBA', { type: 'lvmohba', raw: true, smConfig: vhd }, false],
    ['an LVM SR from before VHDs', { type: 'lvmohba', raw: false, smConfig: none }, false],
    ['an LVM SR with VHDs disabled', { type: 'lvm', raw: false, smConfig: new Map([['use_vhd', 'false']]) }, false],
    ['a thick EqualLogic volume', { type: 'equal', raw: false, smConfig: new Map([['allocation', 'thick']]) }, false],
    ['a thin EqualLogic volume', { type: 'equal', raw: false, smConfig: new Map([['allocation', 'thin']]) }, true],
    [
      'an EqualLogic volume marked thick in another spelling',
      { type: 'equal', raw: false, smConfig: new Map([['Allocation', 'Thick']]) },
      false,
    ],
    ['a CVSM volume', { type: 'cslg', raw: false, smConfig: none }, false],
    ['a file', { type: 'nfs', raw: false, smConfig: none }, true],
    ['a raw file', { type: 'ext', raw: true, smConfig: none }, true],
    ['a volume of a newer type', { type: 'gfs2', raw: false, smConfig: none }, true],
  ])('on %s reads as zero or not, as in xapi', (_, kind, expected) => {
    expect(readsZero(kind)).toBe(expected);
  });
});

test('the type of an SR is recognized in any spelling', async () => {
  const program = join(testFolder(), 'xe');
  const script = `#!/bin/sh\ncase "$*" in *=type) echo LVMoISCSI;; *) echo 'allocation: thick';; esac\n`;
  writeFileSync(program, script, { mode: 0o755 });
  expect(await newDisksReadZero(createXeToolstack({ program }), '11111111-2222-3333-4444-555555555555', false)).toBe(false);
});
