/** The process of an xe command: what reaches it, and what of it counts. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createXe } from '../../src/xen/xe.ts';
import { testFolder } from '../support/folder.ts';

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

test('half of an oversized answer does not count as a complete answer', async () => {
  const program = client(`head -c $((4 * 1024 * 1024 + 1)) /dev/zero | tr '\\0' a`);
  await expect(createXe({ program }).list('vdi-list', {})).rejects.toMatchObject({ code: 'XE_FAILED' });
});

test('a command has no time limit if its caller says so', async () => {
  const program = client('sleep 0.1; echo done');
  expect(await createXe({ program, timeout: Number.POSITIVE_INFINITY }).run('vdi-create', {})).toBe('done');
});

test('a missing program is reported as missing', async () => {
  const xe = createXe({ program: '/nowhere/xe' });
  await expect(xe.run('vdi-list', {})).rejects.toMatchObject({ code: 'XE_MISSING' });
});
