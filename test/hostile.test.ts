import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { check, VdiStreamError, writeDisk } from '../src/index.ts';
import { type CorpusFile, corpus, unpackChain } from './support/corpus.ts';
import { testFolder } from './support/folder.ts';
import { testWith } from './support/needs.ts';

/** How each hostile file of the corpus is reported: the code of its error, or 'ok'. Every row was compared with the corpus's own note. */
const CODES: Readonly<Record<string, string>> = JSON.parse(readFileSync(new URL('hostile.json', import.meta.url), 'utf8'));

const hostile = corpus().filter(({ expect, mayDiffer }) => expect === 'error' || mayDiffer === true);

/** In these files, reading past the first error leads to other errors. */
const CHECKED: Readonly<Record<string, string>> = { 'hostile/fixed-marked-dynamic.vhd.gz': 'VHD_FOOTER' };

async function codeOf(entry: CorpusFile): Promise<string> {
  try {
    await writeDisk(await unpackChain(entry, testFolder()), 'null:');
    return 'ok';
  } catch (error) {
    if (error instanceof VdiStreamError) return error.code;
    throw error;
  }
}

testWith('corpus').each(hostile)('$file is reported for what it is', async (entry) => {
  const code = CODES[entry.file];
  expect(await codeOf(entry)).toBe(code);
  if (code === 'ok') expect(entry.expect === 'ok' || entry.mayDiffer).toBe(true);
});

testWith('corpus').each(hostile)('check of $file agrees with the table', async (entry) => {
  const code = CHECKED[entry.file] ?? CODES[entry.file] ?? '';
  const { ok, findings } = await check(await unpackChain(entry, testFolder()));
  // Two good disks: nothing is damaged, but writing needs the name of one.
  if (code === 'DISK_AMBIGUOUS') return expect(ok).toBe(true);
  expect(ok, findings.map(({ message }) => message).join('; ')).toBe(code === 'ok');
  if (code !== 'ok') expect(findings.map((finding) => finding.code)).toContain(code);
});

test('the table has exactly one row for each hostile file', () => {
  if (hostile.length > 0) expect(Object.keys(CODES).sort()).toEqual(hostile.map(({ file }) => file).sort());
});
