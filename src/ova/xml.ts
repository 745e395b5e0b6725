/** The elements of an OVF in document order, as strict XML with namespaces (strict-xml.ts), and within limits on both. */

import type { QualifiedAttribute, QualifiedTag } from 'sax';
import { assert, type ErrorCode, VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';
import { readStrictXml } from '../strict-xml.ts';
import type { OnWarning } from '../warnings.ts';

const MAX_DEPTH = 256;
const MAX_ELEMENTS = 131_072;
/** Per element, and namespaces in scope. sax compares each attribute with each other one, and visits each namespace for each element. */
const MAX_ATTRIBUTES = 256;
const MAX_NAMESPACES = 64;

export interface XmlElement {
  /** Local names from the root to this element, separated by slashes: 'Envelope/References/File'. */
  readonly path: string;
  /**
   * The attribute with this local name. The one in the element's own namespace takes precedence over one without a prefix, and that over
   * any other: producers differ in what they prefix. '' counts as absent.
   */
  attribute(local: string): string | undefined;
  /** An error at the byte of this element. */
  error(code: ErrorCode, message: string): VdiStreamError;
}

interface XmlFile {
  /** Its name in the archive. */
  readonly member: string;
  /** The local name of the root element. */
  readonly root: string;
  readonly warn: OnWarning;
}

/** An error at a character of the document. */
type Fail = (message: string, index: number, code?: ErrorCode) => VdiStreamError;

/**
 * Calls `visit` for each element in the order of the start tags. Throws OVF_XML, with the byte
 * where parsing stopped.
 */
export function readXml(bytes: Uint8Array, { member, root, warn }: XmlFile, visit: (element: XmlElement) => void): void {
  const { text, offsetOf } = decodeText(bytes, member, warn);
  const fail: Fail = (message, index, code = 'OVF_XML') => new VdiStreamError(code, message, { member, offset: offsetOf(index) });
  const tree = elementTree(root);
  readStrictXml(text, {
    namespaces: true,
    maxDepth: MAX_DEPTH,
    maxAttributes: MAX_ATTRIBUTES,
    fail: (problem, index) => fail(`the OVF ${problem}`, index),
    openTag(tag, index) {
      assert('ns' in tag, 'sax was asked for namespaces');
      const problem = tree.enter(tag) ?? nameProblem(tag);
      if (problem !== undefined) throw fail(problem, index);
      visit(elementOf(tag, tree.path, fail, index));
    },
    closeTag: () => tree.leave(),
  });
}

interface ElementTree {
  /** Of the innermost open element. */
  readonly path: string;
  /** A start tag. Returns the problem with it, if there is one. */
  enter(tag: QualifiedTag): string | undefined;
  leave(): void;
}

function elementTree(root: string): ElementTree {
  const open: Array<{ readonly path: string; readonly namespaces: number }> = [];
  let elements = 0;
  return {
    get path() {
      return open.at(-1)?.path ?? '';
    },
    enter(tag) {
      const parent = open.at(-1);
      const declared = Object.values(tag.attributes).filter(({ prefix }) => prefix === 'xmlns').length;
      const namespaces = (parent?.namespaces ?? 0) + declared;
      if (parent === undefined && tag.local !== root) return `the root element is ${quote(tag.local)}, not ${quote(root)}`;
      if (++elements > MAX_ELEMENTS) return `the OVF has more than ${MAX_ELEMENTS} elements`;
      if (namespaces > MAX_NAMESPACES) return `the OVF has more than ${MAX_NAMESPACES} namespaces in scope`;
      open.push({ path: parent === undefined ? tag.local : `${parent.path}/${tag.local}`, namespaces });
      return undefined;
    },
    leave() {
      open.pop();
    },
  };
}

function nameProblem(tag: QualifiedTag): string | undefined {
  for (const { name, uri } of [tag, ...Object.values(tag.attributes)]) {
    if (!/^[^:]+(?::[^:]+)?$/.test(name)) return `the name ${quote(name)} is invalid`;
    // sax looks up a prefix such as "constructor" on Object.prototype, and finds something that is not a string.
    if (typeof uri !== 'string') return `the namespace prefix of ${quote(name)} is not declared`;
  }
  return undefined;
}

function elementOf(tag: QualifiedTag, path: string, fail: Fail, index: number): XmlElement {
  const attributes = Object.values(tag.attributes);
  return {
    path,
    attribute: (local) => {
      const [value, ...others] = candidates(attributes, local, tag.uri);
      if (others.length > 0) throw fail(`an element has the attribute ${quote(local)} twice`, index);
      return value === '' ? undefined : value;
    },
    error: (code, message) => fail(message, index, code),
  };
}

/** More than one only for two prefixes of the same namespace, which XML does not allow. */
function candidates(attributes: readonly QualifiedAttribute[], local: string, uri: string): string[] {
  const named = attributes.filter((attribute) => attribute.local === local && attribute.prefix !== 'xmlns');
  const own = named.filter((attribute) => attribute.uri === uri);
  const other = named.find((attribute) => attribute.uri === '') ?? named[0];
  const chosen = own.length === 0 && other !== undefined ? [other] : own;
  return chosen.map(({ value }) => value);
}

interface Decoded {
  readonly text: string;
  /** The byte offset of a character of the text. */
  readonly offsetOf: (index: number) => number;
}

/**
 * UTF-16 with a byte order mark, else UTF-8, whatever the XML declaration says: .NET writes "utf-16" into UTF-8 files. What is not UTF-8 is
 * Latin-1, as editors of Windows write it.
 */
function decodeText(bytes: Uint8Array, member: string, warn: OnWarning): Decoded {
  const [first, second, third] = bytes;
  const wide = first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : undefined;
  const mark = wide !== undefined ? 2 : first === 0xef && second === 0xbb && third === 0xbf ? 3 : 0;
  try {
    const text = new TextDecoder(wide ?? 'utf-8', { fatal: true }).decode(bytes);
    return { text, offsetOf: (index) => mark + (wide === undefined ? Buffer.byteLength(text.slice(0, index)) : 2 * index) };
  } catch (cause) {
    if (wide !== undefined) throw new VdiStreamError('OVF_XML', 'the OVF is not UTF-16 text', { member, cause });
    const text = new TextDecoder('latin1').decode(bytes);
    if (!DECLARED_LATIN_1.test(text)) warn({ code: 'OVF_ODD', message: 'the OVF is not UTF-8 text; it is read as Latin-1', member });
    return { text, offsetOf: (index) => index };
  }
}

const DECLARED_LATIN_1 = /^<\?xml[^>]*\sencoding\s*=\s*["'](?:iso-8859-1|latin-?1|windows-1252)["']/i;
