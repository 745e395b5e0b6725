/** Advice that depends on the sources: what an error means for several files, for a part of a file, or for a file at all. */

import { basename } from 'node:path';
import { ERRORS, VdiStreamError } from '../errors.ts';
import { printable } from '../quote.ts';
import type { Source } from '../source/source.ts';

/** What is known of an error, or of a finding of a check. */
interface Advised {
  readonly code: string;
  readonly advice: string;
  readonly member?: string | undefined;
}

const TABLE: ReadonlyMap<string, string> = new Map(Object.entries(ERRORS).map(([code, kind]) => [code, kind.advice]));

/** What a file that was cut, or that does not begin at its beginning, looks like. */
const CUT: readonly string[] = [
  'SOURCE_TRUNCATED',
  'COMPRESSION_TRUNCATED',
  'COMPRESSION_DATA',
  'TAR_HEADER',
  'FORMAT_UNKNOWN',
  'VHD_FOOTER',
  'VHD_BLOCK_RANGE',
  'USAGE',
];

/** The names that split(1), HJSplit, 7-Zip and WinZip give to the parts of a file: .aa, .001, .part1, .z01. */
const PART = /(?:(?:^|[-._])x?a[a-z]|\.\d{2,3}|[-._]part[-._]?\d+|\.z\d\d)$/i;

/** The advice for these sources; that of the table where they say nothing more. */
export function adviceFor({ code, advice, member }: Advised, sources: readonly Source[]): string {
  if (advice !== TABLE.get(code)) return advice;
  const part = sources.find(({ name }) => PART.test(basename(name)));
  if (part !== undefined && CUT.includes(code)) {
    return `${basename(part.name)} looks like one part of a file that was split. Join all its parts, in order: cat PARTS | vdistream write - TARGET`;
  }
  if (sources.length > 1) return orderAdvice(code, member) ?? advice;
  const isFile = sources.every(({ cursor }) => cursor.seekable);
  if (code === 'DISK_SIZE_UNKNOWN' && isFile) {
    return 'The size of a compressed disk is known only at its end. Decompress the image, or unpack the archive, and pass the disk itself.';
  }
  return advice;
}

/** Several files are a chain, leaf first. */
function orderAdvice(code: string, member = ''): string | undefined {
  switch (code) {
    case 'CHAIN_TYPE':
      return `List the files leaf first, each followed by its parent. ${member} has no parent, so it comes last.`;
    case 'CHAIN_LOOP':
    case 'CHAIN_ORDER':
      return 'List the files leaf first, each followed by its parent.';
    case 'CHAIN_PARENT':
      return `List the files leaf first, each followed by its parent. If they are, the file after ${member} is not its parent: find the right one.`;
    default:
      return undefined;
  }
}

/** Gives an error the advice for these sources. */
export function withAdvice(error: unknown, sources: readonly Source[]): unknown {
  if (error instanceof VdiStreamError) error.advice = printable(adviceFor(error, sources));
  return error;
}
