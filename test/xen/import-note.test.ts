/** The step of an import that notes the source in its VDI: it succeeds, or the VDI is removed like after any other step that fails. */

import { describe, expect } from 'vitest';
import type { ErrorCode } from '../../src/index.ts';
import { assertClean } from '../stand-in/clean.ts';
import type { Rule } from '../stand-in/host.ts';
import { callsFromNow, commandLine, expectArrived, imported, places, settled } from '../support/import-host.ts';
import { testWith } from '../support/needs.ts';

const test = testWith('root', 'loop', 'g++');
const onPlace = places();
const command = 'vdi-param-set';

describe('if noting the source', () => {
  test.each<[name: string, rule: Omit<Rule, 'command'>, code: ErrorCode | undefined]>([
    ['is refused', { what: { fail: ['INTERNAL_ERROR', 'x'] } }, 'XE_FAILED'],
    ['has its connection ended', { what: 'die' }, 'XE_CONNECTION'],
    ['has its connection ended after it took effect', { what: 'die', when: 'after' }, undefined],
    ['prints something, and took effect', { what: { say: { stdout: 'what?\n' } }, when: 'after' }, undefined],
    ['prints something instead', { what: { say: { stdout: 'what?\n' } } }, 'XE_FAILED'],
  ])('%s, the import ends accordingly', (_, rule, code) =>
    onPlace(async (place) => {
      const { host } = place;
      await host.fault({ command, ...rule });
      const { vdi, error } = await imported(place, {}, place.image);
      await host.idle();
      expect(error?.code).toBe(code);
      if (code !== undefined) return assertClean(host);
      expectArrived(place, vdi ?? '');
      expect(Object.keys(host.state().vdi[0]?.otherConfig ?? {})).toEqual(['vdistream-source', 'vdistream-vdi']);
    }),
  );

  test('is cancelled, the VDI is removed', () =>
    onPlace(async (place) => {
      const { host } = place;
      const stop = new AbortController();
      await host.fault({ command, what: 'late' });
      const called = await callsFromNow(host);
      const importing = imported(place, { signal: stop.signal, xe: { ...place.xe, grace: 30_000 } }, place.image);
      await called(command);
      stop.abort();
      await host.release();
      expect(await importing).toMatchObject({ error: { code: 'CANCELLED', left: [] } });
      assertClean(host);
    }));

  test.each(['before', 'after'] as const)('is where the import is killed, %s it took effect, the VDI is a left-over', (when) =>
    onPlace(async (place) => {
      const { host, sr } = place;
      await host.fault({ command, what: 'late', when });
      const called = await callsFromNow(host);
      const { child, ended } = commandLine(place, ['import', place.image, '--sr', sr]);
      await called(command);
      child.kill('SIGKILL');
      await ended;
      await host.release();
      await settled(host);
      const [leftOver] = host.state().vdi;
      expect(leftOver?.tags).toHaveLength(1);
      expect(leftOver?.otherConfig['vdistream-vdi']).toBe(leftOver?.uuid);
      // A list does not mistake it for a finished one.
      const { child: second, ended: secondEnded } = commandLine(place, ['import', '--list', '-', '--sr', sr, '--quiet', '--json']);
      second.stdin.end(`${place.image}\n`);
      const { status, stdout } = await secondEnded;
      const { vdi, skipped } = JSON.parse(stdout);
      expect({ status, skipped }).toEqual({ status: 0, skipped: undefined });
      assertClean(host, { vdis: [vdi] });
    }),
  );
});
