/** The generated files as shells and man read them: completions/ and man/vdistream.1. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { cli } from '../support/cli.ts';
import { testWith } from '../support/needs.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What each shell offers for a line, sorted. The last word is the one to complete. */
const OFFERS = {
  bash(line: string): string[] {
    // As bash splits it: an equals sign is a word of its own.
    const words = line.split(/(?<==)|(?==)| /);
    const script = `source completions/vdistream.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vdistream; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return lines(execFileSync('bash', ['-c', script, 'bash', ...words], { cwd: root, encoding: 'utf8' }));
  },
  zsh: (line: string): string[] =>
    lines(execFileSync('zsh', ['-f', 'test/support/zsh-complete.zsh', 'completions/_vdistream', line], { cwd: root, encoding: 'utf8' })),
  fish(line: string): string[] {
    const script = `source completions/vdistream.fish; complete -C ${JSON.stringify(line)}`;
    const offers = lines(execFileSync('fish', ['--no-config', '-c', script], { cwd: root, encoding: 'utf8' }));
    return offers.map((offer) => offer.replace(/\t.*/, '').replace(/^--[a-z-]+=|\/$/g, ''));
  },
};

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

describe.each(['bash', 'zsh', 'fish'] as const)('%s', (shell) => {
  const here = shell === 'bash' ? test : testWith(shell);
  const offers = (line: string): string[] => OFFERS[shell](line).sort();

  here.each([
    ['vdistream wr', ['write']],
    ['vdistream reap --xe', ['--xe', '--xe-timeout']],
    ['vdistream import --zero ', ['assume-zero', 'auto', 'write']],
    ['vdistream write --zero=as', ['assume-zero']],
    ['vdistream verify --force ', ['parent', 'size', 'type']],
    ['vdistream write --force b', ['busy']],
    ['vdistream info --glance-version ', ['1', '2']],
    ['vdistream check package.j', ['package.json']],
    ['vdistream import --cache scr', ['scripts']],
    ['vdistream info --ca package.j', ['package.json']],
    ['vdistream completion ', ['bash', 'fish', 'zsh']],
    ['vdistream help so', ['sources']],
  ])('completes "%s"', (line, expected) => {
    expect(offers(line)).toEqual(expected);
  });

  here('offers every command, and the options of the command alone', () => {
    const commands = ['check', 'completion', 'help', 'import', 'info', 'reap', 'verify', 'write'];
    expect(offers('vdistream ')).toEqual(expect.arrayContaining(commands));
    expect(offers('vdistream info --')).toEqual(expect.arrayContaining(['--quick', '--disk', '--cache', '--json', '--quiet', '--help']));
    expect(offers('vdistream check --')).not.toContain('--quick');
    expect(offers('vdistream reap --')).not.toContain('--disk');
  });

  test('is what `vdistream completion` prints', async () => {
    const file = { bash: 'vdistream.bash', zsh: '_vdistream', fish: 'vdistream.fish' }[shell];
    const stdout = readFileSync(`${root}/completions/${file}`, 'utf8');
    expect(await cli(['completion', shell])).toEqual({ status: 0, stdout, stderr: '' });
  });
});

test('a shell without a completion is a usage error that lists the shells', async () => {
  expect(await cli(['completion', 'fihs'])).toEqual({
    status: 2,
    stdout: '',
    stderr: expect.stringContaining('completion needs the name of a shell: bash, zsh or fish, not "fihs"; did you mean "fish"?'),
  });
  expect((await cli(['completion'])).status).toBe(2);
});

describe('the man page', () => {
  const page = readFileSync(`${root}/man/vdistream.1`, 'utf8');

  testWith('mandoc')('has no warning from mandoc, except that it has no date', () => {
    const { stdout } = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', 'man/vdistream.1'], { cwd: root, encoding: 'utf8' });
    expect(lines(stdout).filter((line) => !line.includes('missing date'))).toEqual([]);
  });

  testWith('mandoc')('has each option of each --help, and the exit statuses', async () => {
    const text = execFileSync('mandoc', ['-T', 'ascii', '-O', 'width=200', 'man/vdistream.1'], { cwd: root, encoding: 'utf8' });
    const plain = text.replaceAll(/.[\b]/g, '');
    for (const command of ['info', 'check', 'write', 'verify', 'import', 'reap']) {
      expect(plain).toContain(`vdistream ${command} `);
      const { stdout } = await cli([command, '--help']);
      for (const [option] of stdout.matchAll(/(?<=^ {2}(?:-q, )?)--[a-z0-9-]+/gm))
        expect(plain).toMatch(new RegExp(`^ +(-q, )?${option}\\b`, 'm'));
    }
    for (const status of [0, 1, 2, 3, 4, 130]) expect(plain).toMatch(new RegExp(`^ +${status} +\\S`, 'm'));
  });

  test('leaves no markup of other formats in the text', () => {
    expect(page.replaceAll(/^\.\\".*$/gm, '')).not.toMatch(/`|<!--/);
  });
});
