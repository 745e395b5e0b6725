import { expect } from 'vitest';
import { check, writeDisk } from '../src/index.ts';
import type { WarningCode } from '../src/warnings.ts';
import { testFolder } from './support/folder.ts';
import { eachImage } from './support/images.ts';
import type { Answers } from './support/producers/image.ts';

/** Good images of real producers and of the shapes made after them. */
const isGood = ({ expect: outcome, mayDiffer, file, virtualSize }: Answers & { readonly file: string }): boolean =>
  outcome === 'ok' && mayDiffer !== true && !file.startsWith('hostile/') && (virtualSize ?? 0) <= 256 * 2 ** 20;

/** Warnings that say that an image may be damaged. */
const DAMAGE: readonly WarningCode[] = ['VHD_STRAY', 'VHD_EMPTY_TAIL', 'VHD_LONGER', 'VHD_RESERVED', 'VHD_VERSION', 'VHD_BATMAP'];

eachImage('$file, which is good, gets no warning that it may be damaged', { where: isGood }, async (image) => {
  const source = await image.store(testFolder());
  const { findings } = await check(source);
  const { warnings } = await writeDisk(source, 'null:');
  const codes = [...findings, ...warnings].map(({ code }) => code);
  expect(codes.filter((code) => DAMAGE.some((damage) => damage === code))).toEqual([]);
});
