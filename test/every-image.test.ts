/** Writing, `info` and `check` agree about every image, and with what is known of it. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { check, info, writeDisk } from '../src/index.ts';
import type { WarningCode } from '../src/warnings.ts';
import { corpus } from './support/corpus.ts';
import { codeOf } from './support/failure.ts';
import { testFolder } from './support/folder.ts';
import { eachImage } from './support/images.ts';
import type { Answers, Image } from './support/producers/image.ts';
import { isLong } from './support/rounds.ts';

/** The code of each hostile file of the shared corpus, or `ok`. Every row was held against the corpus's own note. */
const CODES: Readonly<Record<string, string>> = JSON.parse(readFileSync(new URL('hostile.json', import.meta.url), 'utf8'));

const isHostile = ({ expect: outcome, mayDiffer }: Answers): boolean => outcome === 'error' || mayDiffer === true;

/** What `info` does not refuse, and why. */
const DESCRIBED: Readonly<Record<string, string>> = {
  DISK_AMBIGUOUS: 'it lists the disks to choose from',
  CHAIN_PARENT: 'it shows the chain, with a warning',
};

/** There `check` follows the footer at the end instead, and so finds the fault elsewhere. */
const CHECKED: Readonly<Record<string, string>> = {
  'hostile/fixed-marked-dynamic.vhd.gz': 'VHD_FOOTER',
  'made/hostile/fixed-that-says-dynamic': 'VHD_FOOTER',
};

/** Of real producers, and of the shapes made after them. */
const isGood = ({ expect: outcome, mayDiffer, file, virtualSize }: Image): boolean =>
  outcome === 'ok' && mayDiffer !== true && !file.startsWith('hostile/') && (virtualSize ?? 0) <= 256 * 2 ** 20;

/** Warnings that say that an image may be damaged. */
const DAMAGE: readonly WarningCode[] = ['VHD_STRAY', 'VHD_EMPTY_TAIL', 'VHD_LONGER', 'VHD_RESERVED', 'VHD_VERSION', 'VHD_BATMAP'];

/** Gigabytes of zeros that are inflated three times: only in the long form. */
const LARGE = 'ova/big9G-pax.ova.gz';

eachImage('write, info and check agree about $file', { where: ({ file }) => isLong || file !== LARGE }, async (image) => {
  const input = await image.store(testFolder());
  const warnings: WarningCode[] = [];
  const code = await codeOf(writeDisk(input, 'null:', { onWarning: (warning) => void warnings.push(warning.code) }));
  if (isHostile(image)) expect(code, 'as is known').toBe(image.code ?? CODES[image.file]);
  if (code === 'ok') expect(image.expect === 'ok' || image.mayDiffer, 'an error that must be one').toBe(true);
  expect(await codeOf(info(input)), 'info').toBe(code in DESCRIBED ? 'ok' : code);
  const { ok, findings } = await check(input);
  const errors = findings.filter(({ severity }) => severity === 'error').map((finding) => finding.code);
  expect(ok).toBe(errors.length === 0);
  // Two good disks: nothing is damaged, but to write one of them, the caller must choose.
  if (code === 'ok' || code === 'DISK_AMBIGUOUS') expect(errors).toEqual([]);
  // The check reads on, and so may find something else first.
  else expect(errors).toContain(CHECKED[image.file] ?? code);
  const codes = [...findings.map((finding) => finding.code), ...warnings];
  if (isGood(image)) expect(codes.filter((each) => DAMAGE.some((damage) => damage === each))).toEqual([]);
});

test('the table has a row for each hostile file of the shared corpus, and no other', () => {
  const files = corpus().filter(isHostile);
  if (files.length > 0) expect(Object.keys(CODES).sort()).toEqual(files.map(({ file }) => file).sort());
});
