import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { check, VdiStreamError, writeDisk } from '../src/index.ts';
import { corpus } from './support/corpus.ts';
import { testFolder } from './support/folder.ts';
import { eachImage } from './support/images.ts';
import type { Answers, Image } from './support/producers/image.ts';

/** The code of each hostile file of the shared corpus, or `ok`. Every row was held against the corpus's own note. */
const CODES: Readonly<Record<string, string>> = JSON.parse(readFileSync(new URL('hostile.json', import.meta.url), 'utf8'));

const hostile = { where: ({ expect, mayDiffer }: Answers): boolean => expect === 'error' || mayDiffer === true };

const wantedCode = ({ code, file }: Image): string | undefined => code ?? CODES[file];

/** Of these `check` finds something else, since it reads on after the first error. */
const CHECKED: Readonly<Record<string, string>> = {
  'hostile/fixed-marked-dynamic.vhd.gz': 'VHD_FOOTER',
  'made/hostile/fixed-that-says-dynamic': 'VHD_FOOTER',
};

async function codeOf(image: Image): Promise<string> {
  try {
    await writeDisk(await image.store(testFolder()), 'null:');
    return 'ok';
  } catch (error) {
    if (error instanceof VdiStreamError) return error.code;
    throw error;
  }
}

eachImage('$file fails with its code, or is read', hostile, async (image) => {
  const code = wantedCode(image);
  expect(await codeOf(image)).toBe(code);
  if (code === 'ok') expect(image.expect === 'ok' || image.mayDiffer).toBe(true);
});

eachImage('check of $file agrees', hostile, async (image) => {
  const code = CHECKED[image.file] ?? wantedCode(image) ?? '';
  const { ok, findings } = await check(await image.store(testFolder()));
  // Two good disks: nothing is damaged, but writing has to be told which.
  if (code === 'DISK_AMBIGUOUS') {
    expect(ok).toBe(true);
    return;
  }
  expect(ok, findings.map(({ message }) => message).join('; ')).toBe(code === 'ok');
  if (code !== 'ok') expect(findings.map((finding) => finding.code)).toContain(code);
});

test('the table has a row for each hostile file of the shared corpus, and no other', () => {
  const files = corpus().filter(hostile.where);
  if (files.length > 0) expect(Object.keys(CODES).sort()).toEqual(files.map(({ file }) => file).sort());
});
