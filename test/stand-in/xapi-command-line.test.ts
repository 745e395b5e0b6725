import { describe, expect, test } from 'vitest';
import { ext, host, param, raised, refusal, withVdi, xe } from '../support/xe.ts';

const NOBODY = '00000000-0000-4000-8000-000000000000';

describe('a command line', () => {
  const needed: [string, string[], string][] = [
    ['vdi-create', [], 'sr-uuid'],
    ['vdi-create', [`sr-uuid=${NOBODY}`], 'name-label'],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a'], 'virtual-size'],
    ['vdi-destroy', [], 'uuid'],
    ['vdi-resize', [`uuid=${NOBODY}`], 'disk-size'],
    ['vbd-create', ['device=0'], 'vm-uuid'],
    ['vbd-create', [`vm-uuid=${NOBODY}`], 'device'],
    ['vbd-plug', [], 'uuid'],
    ['vbd-unplug', [], 'uuid'],
    ['vbd-destroy', [], 'uuid'],
    ['sr-scan', [], 'uuid'],
    ['vdi-param-get', [`uuid=${NOBODY}`], 'param-name'],
    ['vdi-param-set', [], 'uuid'],
    ['vdi-param-add', [`uuid=${NOBODY}`], 'param-name'],
    ['vdi-param-remove', [`uuid=${NOBODY}`, 'param-name=tags'], 'param-key'],
    ['vdi-param-clear', [`uuid=${NOBODY}`], 'param-name'],
    ['vdi-param-list', [], 'uuid'],
    ['vbd-param-get', [], 'uuid'],
    ['sr-param-get', [], 'uuid'],
  ];

  test.each(needed)('of %s %j needs %s', async (command, args, missing) => {
    expect(await refusal(command, ...args)).toBe(`Required parameter not found: ${missing}\nFor usage run: 'xe help'\n`);
  });

  const unknown: [string, string[]][] = [
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'other-config:a=b']],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'name-description=b']],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'tags=b']],
    ['vdi-create', [`sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1', 'tags:=b']],
    ['vdi-destroy', [`uuid=${NOBODY}`, 'force=true']],
    ['vdi-resize', [`uuid=${NOBODY}`, 'disk-size=1', 'size=2']],
    ['vbd-create', [`vm-uuid=${NOBODY}`, 'device=0', 'sr-uuid=1']],
    ['vbd-plug', [`uuid=${NOBODY}`, '--force']],
    ['vbd-unplug', [`uuid=${NOBODY}`, 'wait=1']],
    ['vbd-destroy', [`uuid=${NOBODY}`, 'word']],
    ['sr-scan', [`uuid=${NOBODY}`, 'all=1']],
    ['vdi-param-get', [`uuid=${NOBODY}`, 'param-name=uuid', 'param=a']],
    ['vdi-param-remove', [`uuid=${NOBODY}`, 'param-name=tags', 'param-key=a', 'b=c']],
    ['vdi-param-clear', [`uuid=${NOBODY}`, 'param-name=tags', 'param-key=a']],
    ['vdi-param-list', [`uuid=${NOBODY}`, 'params=all']],
  ];

  test.each(unknown)('of %s %j is refused for an unknown parameter', async (command, args) => {
    const last = args.at(-1)?.replace('--', '').split('=')[0];
    expect(await refusal(command, ...args)).toBe(`Error: the stand-in refuses parameter '${last}', which the command does not have\n`);
  });

  test('may have each parameter only once', async () => {
    expect(await refusal('vdi-destroy', `uuid=${NOBODY}`, `uuid=${NOBODY}`)).toContain("refuses parameter 'uuid' a second time");
  });

  test('must begin with a command', async () => {
    expect(await refusal('vdi-burn')).toBe("Unknown command: vdi-burn\nFor usage run: 'xe help'\n");
    expect(await refusal('uuid=1')).toBe("Syntax error: \nFor usage run: 'xe help'\n");
    expect(await refusal('vdi-list', '-x', '1')).toBe("Syntax error: \nFor usage run: 'xe help'\n");
  });

  test('is split at newlines, so a newline in a value starts another argument', async () => {
    await withVdi(async (vdi) => {
      expect(await param('vdi', vdi, 'name-label')).toBe('disk');
      expect(await param('vdi', vdi, 'tags')).toBe('injected');
    }, 'type=user\ntags:injected=');
  });

  test('has its parameters split at the first equals sign', async () => {
    await withVdi(async (vdi) => {
      await xe('vdi-param-set', `uuid=${vdi}`, 'name-label=a=b=c', 'other-config:k=d=e');
      expect(await param('vdi', vdi, 'name-label')).toBe('a=b=c');
      expect(await param('vdi', vdi, 'other-config', 'param-key=k')).toBe('d=e');
    });
  });

  test('may have at most 200 KiB', async () => {
    expect(await refusal('vdi-list', ...['name-label', 'uuid'].map((name) => `${name}=${'a'.repeat(100 * 1024)}`))).toBe(
      'Server internal error.\n',
    );
  });

  test('that names an unknown object is refused with the kind of the object', async () => {
    for (const [command, type] of [
      ['vdi-destroy', 'VDI'],
      ['vbd-plug', 'VBD'],
      ['sr-scan', 'SR'],
    ] as const) {
      expect(await refusal(command, `uuid=${NOBODY}`)).toBe(`The uuid you supplied was invalid.\ntype: ${type}\nuuid: ${NOBODY}\n`);
      expect(await raised(command, `uuid=${NOBODY}`)).toBe(`UUID_INVALID, [ ${type}; ${NOBODY} ]`);
    }
    expect(await raised('vbd-create', `vm-uuid=${NOBODY}`, 'device=0')).toBe(`UUID_INVALID, [ VM; ${NOBODY} ]`);
    expect(await raised('vbd-create', `vm-uuid=${host.dom0}`, 'device=0', `vdi-uuid=${NOBODY}`)).toBe(`UUID_INVALID, [ VDI; ${NOBODY} ]`);
    expect(await raised('vdi-create', `sr-uuid=${NOBODY}`, 'name-label=a', 'virtual-size=1')).toBe(`UUID_INVALID, [ SR; ${NOBODY} ]`);
  });

  test('without output prints nothing, or an empty line with --minimal', async () => {
    for (const [more, printed] of [
      [[], ''],
      [['--minimal'], '\n'],
      [['minimal=true'], '\n'],
    ] as const) {
      expect((await host.run(['sr-scan', `uuid=${ext}`, ...more])).stdout).toBe(printed);
      expect((await host.run(['vdi-list', `uuid=${NOBODY}`, ...more])).stdout).toBe(printed);
    }
  });
});
