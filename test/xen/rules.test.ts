import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ownerText, thisOwner } from '../../src/host/owner.ts';
import { newMark, parseMark } from '../../src/xen/mark.ts';
import { commandError } from '../../src/xen/refusal.ts';
import { createXe, splitMinimal } from '../../src/xen/xe.ts';
import { newDisksReadZero, parseMap, readsZero } from '../../src/xen/zero-rule.ts';
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
    ['an LVM SR that says no to VHDs', { type: 'lvm', raw: false, smConfig: new Map([['use_vhd', 'false']]) }, false],
    ['a thick EqualLogic volume', { type: 'equal', raw: false, smConfig: new Map([['allocation', 'thick']]) }, false],
    ['a thin EqualLogic volume', { type: 'equal', raw: false, smConfig: new Map([['allocation', 'thin']]) }, true],
    [
      'an EqualLogic volume that is thick by another spelling',
      { type: 'equal', raw: false, smConfig: new Map([['Allocation', 'Thick']]) },
      false,
    ],
    ['a CVSM volume', { type: 'cslg', raw: false, smConfig: none }, false],
    ['a file', { type: 'nfs', raw: false, smConfig: none }, true],
    ['a raw file', { type: 'ext', raw: true, smConfig: none }, true],
    ['a volume of a later kind', { type: 'gfs2', raw: false, smConfig: none }, true],
  ])('on %s reads as zero or not, as xapi has it', (_, kind, expected) => {
    expect(readsZero(kind)).toBe(expected);
  });

  test('has an sm-config that is printed as pairs', () => {
    expect(parseMap('use_vhd: true; allocation: thick; devserial: scsi-3600:01')).toEqual(
      new Map([
        ['use_vhd', 'true'],
        ['allocation', 'thick'],
        ['devserial', 'scsi-3600:01'],
      ]),
    );
    expect(parseMap('')).toEqual(new Map());
  });
});

describe('a refusal of the toolstack', () => {
  test.each([
    [
      'by a number of the storage manager',
      'Error code: SR_BACKEND_FAILURE_44\nError parameters: , There is insufficient space, \n',
      'SR_FULL',
      'SR_BACKEND_FAILURE_44',
    ],
    [
      'by its words',
      'This operation cannot be performed because this VDI is in use by some other operation\nvdi: x\noperation: destroy\n',
      'VDI_BUSY',
      'VDI_IN_USE',
    ],
    [
      'by a trace',
      'Words of a later age\nRaised Server_error(SR_BACKEND_FAILURE_46, [ ; The VDI is not available;  ])\nBacktrace:\n',
      'VDI_UNAVAILABLE',
      'SR_BACKEND_FAILURE_46',
    ],
    [
      'by a trace that names its module',
      'x\nRaised Api_errors.Server_error(DEVICE_DETACH_REJECTED, [ VBD; r; m ])\n',
      'VBD_DETACH',
      'DEVICE_DETACH_REJECTED',
    ],
    ['for a uuid that is not there', 'The uuid you supplied was invalid.\ntype: SR\nuuid: x\n', 'XE_UUID', 'UUID_INVALID'],
    ['of a kind that has no code here', 'Error code: HOST_OFFLINE\nError parameters: \n', 'XE_FAILED', 'HOST_OFFLINE'],
    ['that is a mistake of ours', "Required parameter not found: sr-uuid\nFor usage run: 'xe help'\n", 'XE_FAILED', undefined],
    ['that is none, since nobody is there', 'Error: Connection refused (calling connect )\n', 'XE_CONNECTION', undefined],
    ['that breaks off', 'Lost connection to the server.\n', 'XE_CONNECTION', undefined],
    ['without a word', '', 'XE_FAILED', undefined],
  ])('%s has its code', (_, said, code, xapi) => {
    expect(commandError('vdi-create', said)).toMatchObject({ code, xapi });
  });

  test('is told in one line, without the trace that was asked for', () => {
    const error = commandError(
      'vdi-create',
      'Error code: X\nError parameters: a\x1b[31m, b\nRaised Server_error(X, [ a; b ])\nBacktrace:\n0/1 xapi\n',
    );
    expect(error.message).toBe('xe vdi-create: Error code: X; Error parameters: a [31m, b');
  });
});

describe('a mark', () => {
  const host = '11111111-2222-3333-4444-555555555555';

  test('names the host, the boot, the process and its start, and is another one for each import', () => {
    const [one, two] = [newMark(host), newMark(host)];
    expect(parseMark(one.text)).toEqual({ text: one.text, host, owner: thisOwner() });
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
  ])('is none, if it is only like one: %s', (text) => {
    expect(parseMark(text)).toBeUndefined();
  });
});

describe('the values of a list', () => {
  test('come back as they were, whatever they hold', () => {
    const escaped = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll(',', '\\,');
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, unit: fc.constantFrom('a', ',', '\\', ' ', '"') }), { minLength: 1 }), (values) => {
        expect(splitMinimal(values.map(escaped).join(','))).toEqual(values);
      }),
    );
  });

  test('are none for a list without any', () => {
    expect(splitMinimal('')).toEqual([]);
  });
});

test.each(['a\nname-label=b', 'a\0', '\x7f', 'a\r'])('a value with a control character never reaches xe: %j', async (value) => {
  const xe = createXe({ program: '/bin/false' });
  await expect(xe.run('vdi-create', { 'name-label': value })).rejects.toMatchObject({ code: 'USAGE' });
});

/** A client that runs these lines of shell. */
function client(lines: string): string {
  const program = join(testFolder(), 'xe');
  writeFileSync(program, `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
  return program;
}

test('half of an answer that is too long does not pass for all of it', async () => {
  const program = client(`head -c $((4 * 1024 * 1024 + 1)) /dev/zero | tr '\\0' a`);
  await expect(createXe({ program }).list('vdi-list', {})).rejects.toMatchObject({ code: 'XE_FAILED' });
});

test('a command may take as long as it likes, if its caller says so', async () => {
  const program = client('sleep 0.1; echo done');
  expect(await createXe({ program, timeout: Number.POSITIVE_INFINITY }).run('vdi-create', {})).toBe('done');
});

test('the type of an SR counts however it is written', async () => {
  const program = client(`case "$*" in *=type) echo LVMoISCSI;; *) echo 'allocation: thick';; esac`);
  expect(await newDisksReadZero(createXe({ program }), '11111111-2222-3333-4444-555555555555', false)).toBe(false);
});

test('a program that is not there is told as that', async () => {
  const xe = createXe({ program: '/nowhere/xe' });
  await expect(xe.run('vdi-list', {})).rejects.toMatchObject({ code: 'XE_MISSING' });
});
