/**
 * List file: the images of `import --list`, one per line.
 *
 *   IMAGE [SR]                       separated by blanks; double quotes around a name with blanks
 *   {"image": "…", "sr": "…", …}     with options of this image
 *   # a comment
 */

import { resolve } from 'node:path';
import { IMPORT_ITEM } from '../arguments.ts';
import { type Check, isWhole, must, path, type Table } from '../checks.ts';
import { messageOf, VdiStreamError } from '../errors.ts';
import { isUrl } from '../http/url.ts';
import { didYouMean } from '../words.ts';
import type { ImportItem } from '../xen/import-list.ts';
import { parseSrUuid } from '../xen/uuid.ts';

/** An image as it is listed. `image` is a path, a URL, `glance:ID` or `-`. */
export interface ListedImage extends Omit<ImportItem, 'image'> {
  /** Its number, from 1. */
  readonly line: number;
  readonly image: string;
}

/** `sr`: for lines without one. `name`: of the file, for messages. Throws USAGE, which names the first line that is wrong. */
export function parseList(text: string, name: string, sr: string | undefined): ListedImage[] {
  const images: ListedImage[] = [];
  const lines = new Map<string, number>();
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const written = raw.trim();
    if (written === '' || written.startsWith('#')) continue;
    const line = index + 1;
    inLine(name, line, () => {
      const image = { ...withSr(written.startsWith('{') ? fromJson(written) : fromWords(written), sr), line };
      const key = keyOf(image);
      const earlier = lines.get(key);
      if (earlier !== undefined) throw usage(`it repeats line ${earlier}: the same image, SR and disk; remove one of them`);
      lines.set(key, line);
      images.push(image);
    });
  }
  if (images.length === 0) throw usage(`${name} lists no image`);
  return images;
}

const usage = (message: string, cause?: unknown): VdiStreamError => new VdiStreamError('USAGE', message, { cause });

/** Puts the line before the message of an error about it. */
export function inLine<T>(name: string, line: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw usage(`${name}: line ${line}: ${messageOf(error)}`, error instanceof VdiStreamError ? error.cause : error);
  }
}

type Listed = Omit<ListedImage, 'line' | 'sr'> & { readonly sr?: string | undefined };

function withSr({ sr: own, ...image }: Listed, preset: string | undefined): Omit<ListedImage, 'line'> {
  const sr = own ?? preset;
  if (sr === undefined) throw usage('it has no SR; add its UUID after the image, or --sr UUID for all lines');
  return { ...image, sr: parseSrUuid(sr) };
}

/** The same for lines that would fill the same VDI: its name makes no difference. */
function keyOf({ line, name, image, ...rest }: ListedImage): string {
  const options = Object.entries(rest).filter(([, value]) => value !== undefined && value !== false);
  const isPath = !isUrl(image) && !image.startsWith('glance:') && image !== '-';
  return JSON.stringify([isPath ? resolve(image) : image, options.sort()]);
}

const WORD = /(?:"([^"]*)"|([^\s"]+))(?:\s+|$)/y;

function fromWords(written: string): Listed {
  const words: string[] = [];
  for (WORD.lastIndex = 0; WORD.lastIndex < written.length; ) {
    const at = WORD.lastIndex;
    const [, quoted, plain = ''] = WORD.exec(written) ?? [undefined, undefined, undefined];
    if (WORD.lastIndex <= at) throw usage('its double quotes do not enclose a name; use a JSON object for a name with a double quote');
    words.push(quoted ?? plain);
  }
  const [image = '', sr, ...more] = words;
  if (more.length > 0)
    throw usage(`it has ${words.length} words, but only IMAGE and SR are expected; put a name with blanks in double quotes`);
  const expected = path(image);
  if (expected !== undefined) throw usage(`the image must be ${expected}`);
  return { image, sr };
}

const wholeSectors: Check = must('a number of bytes, a multiple of 512', (value) => isWhole(value, 512) && Number(value) % 512 === 0);
const KEYS: Table = { image: path, ...IMPORT_ITEM, virtualSize: wholeSectors };

function fromJson(written: string): Listed {
  const fields = new Map<string, unknown>(Object.entries(parsed(written)));
  for (const [key, value] of fields) {
    const check = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (check === undefined) throw usage(`it has the unknown key "${key}"${didYouMean(key, Object.keys(KEYS))}`);
    const expected = check(value);
    if (expected !== undefined) throw usage(`its "${key}" must be ${expected}`);
  }
  const text = (key: string): string | undefined => [fields.get(key)].find((value) => typeof value === 'string');
  const isOn = (key: string): boolean | undefined => [fields.get(key)].find((value) => typeof value === 'boolean');
  const image = text('image');
  if (image === undefined) throw usage('it has no "image"');
  return {
    image,
    sr: text('sr'),
    name: text('name'),
    disk: text('disk'),
    raw: isOn('raw'),
    rawBase: isOn('rawBase'),
    rawVdi: isOn('rawVdi'),
    sha256: text('sha256'),
    virtualSize: [fields.get('virtualSize')].find((value) => typeof value === 'number'),
  };
}

function parsed(written: string): object {
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch (cause) {
    throw usage('it begins with { but is not a JSON object; for a file with such a name, put double quotes around it', cause);
  }
  return typeof value === 'object' && value !== null ? value : {};
}
