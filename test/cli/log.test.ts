import { once } from 'node:events';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.ts';
import { openLog } from '../../src/cli/log.ts';
import { optionsOf } from '../../src/cli/options.ts';
import type { Warning } from '../../src/warnings.ts';
import { cli } from '../support/cli.ts';
import { testFolder } from '../support/folder.ts';
import { httpServer } from '../support/http-server.ts';
import { dynamicVhd } from '../support/make-vhd.mjs';
import { testWith } from '../support/needs.ts';
import { tarOf } from '../support/tar.ts';
import { tinyFolder } from '../support/tiny-folder.ts';

const MIB = 1 << 20;
const vhd = dynamicVhd({ size: 4 * MIB, blocks: new Map([[0, Buffer.alloc(2 * MIB, 'payload')]]), creator: 'tap' });
/** The footer at the end damaged, which is worth a warning. */
const oddEnd = Buffer.from(vhd);
oddEnd[vhd.length - 400] = 1;

function place(bytes: Uint8Array): { readonly folder: string; readonly source: string; readonly log: string; readonly target: string } {
  const folder = testFolder();
  const source = join(folder, 'image.vhd');
  writeFileSync(source, bytes);
  return { folder, source, log: join(folder, 'log.jsonl'), target: join(folder, 'disk.raw') };
}

type Line = Record<string, unknown> & { readonly error?: Record<string, unknown>; readonly start?: Record<string, unknown> };
const linesOf = (path: string): Line[] => {
  const text = readFileSync(path, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line): Line => JSON.parse(line));
};
/** What each line is about. */
const kinds = (lines: readonly Line[]): (string | undefined)[] => lines.map((line) => Object.keys(line)[2]);

test.each(Object.keys(COMMANDS) as (keyof typeof COMMANDS)[])('%s has the option', (command) => {
  expect(optionsOf(command).map(({ name }) => name)).toContain('log');
});

describe('a run', () => {
  test('logs its start, phases, warnings, its result and exit status, whatever is printed', async () => {
    for (const options of [[], ['--json'], ['--quiet']]) {
      const { source, target, log } = place(oddEnd);
      const { status, stdout } = await cli(['write', source, target, '--verify', '--log', log, ...options]);
      expect(status).toBe(0);
      const lines = linesOf(log);
      const steps = kinds(lines).filter((kind) => kind !== 'progress');
      expect([...new Set(steps)].toSorted()).toEqual(['phase', 'result', 'start', 'warning']);
      expect(lines.flatMap(({ phase }) => phase ?? [])).toEqual(['read', 'write', 'verify']);
      expect([steps.at(0), steps.at(-1)]).toEqual(['start', 'result']);
      expect(lines.at(-1)).toMatchObject({ status: 0, result: { target, verified: true } });
      if (options[0] === '--json') expect(lines.at(-1)?.result).toEqual(JSON.parse(stdout));
      for (const { time, pid } of lines) {
        expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
        expect(pid).toBe(lines[0]?.pid);
      }
      const command = ['vdistream', 'write', source, target, '--verify', '--log', log, ...options];
      expect(lines[0]?.start).toMatchObject({ command, folder: process.cwd(), node: process.versions.node, decoders: {} });
    }
  });

  test('that fails logs the error as --json prints it, and is appended', async () => {
    const { folder, source, log } = place(vhd.subarray(0, 3000));
    const { status, stderr } = await cli(['info', source, '--log', log, '--json']);
    await cli(['info', join(folder, 'missing'), '--log', log]);
    await cli(['write', source, join(folder, 'x'), '--zero=maybe', '--log', log]);
    const ends = linesOf(log).filter((line) => 'status' in line);
    expect(ends[0]).toMatchObject({ status, error: JSON.parse(stderr).error });
    expect(ends.slice(1).map(({ status, error }) => [status, error?.code])).toEqual([
      [1, 'SOURCE_OPEN'],
      [2, 'USAGE'],
    ]);
  });

  test('logs nothing secret', async () => {
    const { folder, log } = place(vhd);
    const headers = join(folder, 'headers');
    writeFileSync(headers, 'Authorization: SECRET\n');
    const server = await httpServer({ reply: () => ({ status: 401, headers: { 'www-authenticate': 'SECRET' } }) });
    const env = { ...process.env, OS_TOKEN: 'SECRET' };
    const url = `${server.url()}?signature=SECRET#SECRET`;
    const id = '2f5e9b0c-6f4e-4a57-9d43-0f3a3e1b7c11';
    for (const args of [
      ['info', url, '--headers', headers],
      ['write', url, 'null:', `--headers=${headers}`],
      ['info', `http://user:SECRET@127.0.0.1:${server.port}/`],
      ['info', `ftp://user:SECRET@127.0.0.1:${server.port}/`],
      ['info', `glance:${id}`, `--glance=http://user:SECRET@127.0.0.1:${server.port}`],
      ['info', `glance:${id}`, '--glance', server.url('')],
      ['export', headers, '-o', url],
      ['info', url, '--headers', 'X-Auth-Token: SECRET'],
      ['info', url, '--headers=X-Auth-Token: SECRET'],
    ]) {
      const { stderr } = await cli([...args, '--log', log], { env });
      expect(stderr).not.toContain('SECRET');
    }
    expect(linesOf(log).filter((line) => 'start' in line)).toHaveLength(9);
    expect(readFileSync(log, 'utf8')).not.toContain('SECRET');
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('that %s cancels logs that in its last line', async (signal) => {
    const { log, target } = place(vhd);
    const { status } = await cli(['write', '-', target, '--log', log], {
      input: tarOf([['0.vhd', vhd]]).subarray(0, MIB),
      during: (child) => void untilPhase(log).then(() => child.kill(signal)),
    });
    expect(status).toBe(130);
    expect(linesOf(log).at(-1)).toMatchObject({ error: { code: 'CANCELLED' }, status: 130 });
  });

  test('that a second signal ends logs that in its last line', async () => {
    const { log } = place(vhd);
    const server = await httpServer({ image: vhd, reply: () => new Promise(() => {}) });
    const { status } = await cli(['info', server.url(), '--log', log], {
      async during(child) {
        await vi.waitUntil(() => server.requests.length === 1, { timeout: 60_000 });
        child.kill('SIGSTOP');
        // Both are pending when it continues.
        child.kill('SIGINT');
        child.kill('SIGTERM');
        child.kill('SIGCONT');
        await once(child, 'exit');
      },
    });
    expect(status).toBe(130);
    const ends = linesOf(log).filter((line) => 'status' in line);
    expect(ends).toMatchObject([{ error: { code: 'CANCELLED' }, status: 130 }]);
  });
});

/** Resolves once the log has a line about a phase. */
const untilPhase = (log: string): Promise<unknown> =>
  vi.waitUntil(
    () => {
      try {
        return readFileSync(log, 'utf8').includes('"phase":');
      } catch {
        return false;
      }
    },
    { timeout: 60_000 },
  );

describe('the file', () => {
  test('is created for its owner only, and keeps the mode that it has', async () => {
    const { source, log } = place(vhd);
    await cli(['info', source, '--log', log]);
    expect(statSync(log).mode & 0o777).toBe(0o600);
  });

  test('that cannot be a log is LOG_FILE before anything is done, and is not changed', async () => {
    const { folder, source, target } = place(vhd);
    mkdirSync(join(folder, 'folder'));
    symlinkSync(source, join(folder, 'link'));
    for (const log of [source, join(folder, 'link'), join(folder, 'folder'), join(folder, 'missing/log'), '/dev/null']) {
      const { status, stdout, stderr } = await cli(['write', source, target, '--log', log]);
      expect({ status, stdout, stderr }).toEqual({
        status: 1,
        stdout: '',
        stderr: expect.stringMatching(/cannot log to .*\n.*\(LOG_FILE\)\n$/),
      });
    }
    expect(readFileSync(source).equals(vhd)).toBe(true);
    expect(() => statSync(target)).toThrow('ENOENT');
  });

  testWith('root')('on a full file system is one warning, and the work continues', async () => {
    const { source, target } = place(oddEnd);
    const folder = tinyFolder(16_384);
    const log = join(folder.path, 'log');
    writeFileSync(log, '');
    writeFileSync(join(folder.path, 'filler'), Buffer.alloc(folder.room()));
    const { status, stderr } = await cli(['write', source, target, '--log', log, '--json']);
    expect(status).toBe(0);
    const codes = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).warning.code);
    expect(codes.toSorted()).toEqual(['LOG_WRITE', 'VHD_FOOTER_END']);
  });

  test('whose last line was cut is continued on a new line', () => {
    const { log } = place(vhd);
    writeFileSync(log, '{"time":"2026-01-01T00:00:00.000Z","pid":1,"pha');
    const opened = openLog(log, ['info'], () => {});
    opened.end({ status: 0, result: {} });
    const [cut, ...rest] = readFileSync(log, 'utf8').trim().split('\n');
    expect(cut).toMatch(/"pha$/);
    expect(rest.map((line) => Object.keys(JSON.parse(line))[2])).toEqual(['start', 'result']);
  });
});

describe('progress', () => {
  afterEach(() => void vi.useRealTimers());

  test('is logged every ten seconds, also while nothing arrives, and until the end', () => {
    vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
    const { log } = place(vhd);
    const warnings: Warning[] = [];
    const opened = openLog(log, ['write', 'a\u001b\n', 'b'], (warning) => warnings.push(warning));
    vi.advanceTimersByTime(15_000);
    opened.onProgress({ phase: 'write', done: MIB, total: 4 * MIB, moved: MIB, toMove: 2 * MIB });
    vi.advanceTimersByTime(20_000);
    opened.end({ status: 0, result: {} });
    vi.advanceTimersByTime(20_000);
    const lines = linesOf(log);
    expect(lines.map(({ time }) => String(time).slice(17, 19))).toEqual(['00', '15', '20', '30', '35']);
    expect(kinds(lines)).toEqual(['start', 'phase', 'progress', 'progress', 'result']);
    expect(lines[3]?.progress).toEqual({ phase: 'write', done: MIB, total: 4 * MIB, moved: MIB, toMove: 2 * MIB, seconds: 15, idle: 15 });
    expect(warnings).toEqual([]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: no line holds any
    expect(readFileSync(log, 'utf8')).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
  });
});
