/**
 * Texts that people pass instead of an image: the page or the error that a server sent in its place, or a small file that lay beside it.
 * A raw disk may begin with any bytes, so a text counts only if all the bytes that were looked at are text.
 */

interface TextFormat {
  /** A noun phrase with its article. */
  readonly what: string;
  readonly advice: string;
  /** Gets the text without a byte order mark and white space in front. */
  readonly matches: (text: string) => boolean;
}

const ANSWER =
  'A server has sent this instead of the image. Read it: the address may be wrong, or a login may have expired. Then fetch the image again.';

/** The name of the root element, in lower case and without a prefix, after the declaration, comments and a document type. */
function rootOf(text: string): string | undefined {
  const body = text.replace(/^(?:\s|<\?[^>]*>|<!--[\s\S]*?-->|<!doctype\b[^>[]*(?:\[[^\]]*\]\s*)?>)+/i, '');
  return /^<(?:[\w.-]+:)?([a-z_][\w.-]*)(?=[\s/>]|$)/i.exec(body)?.[1]?.toLowerCase();
}

const isPage = (text: string): boolean => /^<!doctype\s+html\b/i.test(text) || ['html', 'head', 'body'].includes(rootOf(text) ?? '');

const TEXTS: readonly TextFormat[] = [
  {
    what: 'a Git LFS pointer',
    advice: 'The repository has only a pointer to the image: run `git lfs pull` in it, then pass the file again.',
    matches: (text) => text.startsWith('version https://git-lfs.github.com/spec/'),
  },
  {
    what: 'an alias of Xen Orchestra (the name of another VHD)',
    advice: 'Pass the VHD whose path is in this file. If that is a folder of blocks, export the disk with Xen Orchestra.',
    // Xen Orchestra, packages/vhd-lib/aliases.js: one relative path, of at most 1024 bytes.
    matches: (text) => text.length <= 1024 && /^[^\p{Cc}<{[]+\.vhd\s*$/u.test(text),
  },
  { what: 'a web page (HTML)', advice: ANSWER, matches: isPage },
  {
    what: 'an OVF descriptor without its disks',
    advice: 'Pass the VHD that it names, or the whole OVA. For a disk in another format, convert that file first.',
    matches: (text) => rootOf(text) === 'envelope',
  },
  {
    what: 'the member list (ova.xml) of an XVA',
    advice: 'Import the VM from the whole XVA with `xe vm-import filename=FILE`.',
    // xapi, ocaml/xapi/xva.ml and export.ml: an XML-RPC value of version 2, an <appliance> of version 1.
    matches: (text) => rootOf(text) === 'appliance' || (rootOf(text) === 'value' && text.includes('<name>version</name>')),
  },
  { what: 'an XML error of an object store', advice: ANSWER, matches: (text) => rootOf(text) === 'error' },
  { what: 'an XML document', advice: ANSWER, matches: (text) => /^<\?xml\s/i.test(text) },
  { what: 'a JSON document', advice: ANSWER, matches: (text) => /^(?:\{\s*["}]|\[\s*(?:["{[\]]|-?\d|true\b|false\b|null\b))/.test(text) },
];

/** The kind of text that `front`, the first bytes or all of them, is. */
export function textFormat(front: Uint8Array): Omit<TextFormat, 'matches'> | undefined {
  const text = textOf(front)?.replace(/^\s+/, '');
  return text === undefined || text === '' ? undefined : TEXTS.find(({ matches }) => matches(text));
}

/** Undefined if any byte is not text; what is not UTF-8 may be Latin-1. A last character may be cut. A byte order mark is left out, as TextDecoder does. */
function textOf(front: Uint8Array): string | undefined {
  const [first, second] = front;
  const encoding = first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
  const decode = (label: string, fatal: boolean): string => new TextDecoder(label, { fatal }).decode(front, { stream: true });
  let text: string;
  try {
    text = decode(encoding, true);
  } catch {
    text = decode('latin1', false);
  }
  return /[^\P{Cc}\t\n\f\r\x80-\x9f]/u.test(text) ? undefined : text;
}
