/**
 * Visits the elements of a small XML document, and refuses what attacks rely on: no DOCTYPE, so no entities except the five of XML and
 * character references, and limits on depth, attributes, namespaces and elements.
 *
 * sax parses without recursion, but accepts more than XML 1.0 allows: two roots, duplicate attributes, NUL bytes, and prefixes with the name
 * of a property that every object has. Those are refused here.
 */

import sax, { type QualifiedAttribute, type QualifiedTag, type SAXParser } from 'sax';
import { assert, type ErrorCode, VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';

const MAX_DEPTH = 256;
const MAX_ELEMENTS = 131_072;
/** Per element, and namespaces in scope. sax compares attributes pairwise, and visits every namespace in scope for each element. */
const MAX_ATTRIBUTES = 256;
const MAX_NAMESPACES = 64;
/** Characters per write to sax. Its state is checked after each write, and it limits its buffers (64 Ki characters) per write. */
const SLICE = 1024;

const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

export interface XmlElement {
  /** Local names from the root to this element, separated by slashes: 'Envelope/References/File'. */
  readonly path: string;
  /**
   * The attribute with this local name. Prefers one in the namespace of the element, then one without a prefix, then any other, since
   * producers differ in what they prefix. Undefined if empty.
   */
  attribute(local: string): string | undefined;
  /** An error with the offset of this element. */
  error(code: ErrorCode, message: string): VdiStreamError;
}

/** Creates an error for the character at `index`. */
type Fail = (message: string, index: number, code?: ErrorCode) => VdiStreamError;

/**
 * Calls `visit` for each element, in document order. The local name of the root element must be `root`. Throws OVF_XML with the offset where
 * parsing stopped.
 */
export function readXml(bytes: Uint8Array, member: string, root: string, visit: (element: XmlElement) => void): void {
  const { text, offsetOf } = decodeText(bytes, member);
  const fail: Fail = (message, index, code = 'OVF_XML') => new VdiStreamError(code, message, { member, offset: offsetOf(index) });
  const illegal = text.search(NOT_XML);
  if (illegal >= 0) throw fail('the OVF contains a character that XML does not allow', illegal);

  // strictEntities: no HTML entities. The types of sax lack that option, so this is a variable and not a literal argument.
  const options = { xmlns: true, strictEntities: true };
  const parser = new sax.SAXParser(true, options);
  const here = (): number => Math.max(parser.startTagPosition - 1, 0);
  const tree = elementTree(root);
  const names = new Set<string>();

  parser.onerror = (error) => {
    const [reason = ''] = error.message.split('\n');
    throw fail(`the OVF is not well-formed XML: ${reason.slice(0, 100)}`, parser.position);
  };
  const refuseDeclaration = (): void => {
    throw fail('the OVF has a DOCTYPE or another declaration, which is not allowed', here());
  };
  parser.ondoctype = refuseDeclaration;
  parser.onsgmldeclaration = refuseDeclaration;
  parser.onopencdata = () => {
    if (tree.depth === 0) throw fail('the OVF has text outside its root element', here());
  };
  parser.onattribute = ({ name }) => {
    if (names.has(name)) throw fail(`an element has the attribute ${quote(name)} twice`, here());
    names.add(name);
  };
  parser.onclosetag = () => tree.leave();
  parser.onopentag = (tag) => {
    assert('ns' in tag, 'sax reports namespaces');
    names.clear();
    const wrong = tree.enter(tag) ?? wrongWithNames(tag);
    if (wrong !== undefined) throw fail(wrong, here());
    visit(elementOf(tag, tree.path, fail, here()));
  };

  for (let at = 0; at < text.length; at += SLICE) {
    parser.write(text.slice(at, at + SLICE));
    // sax reports these only at their end, and until then its time grows with the square of their length.
    if (pending(parser, 'attribList') > MAX_ATTRIBUTES) throw fail(TOO_MANY_ATTRIBUTES, here());
    if (pending(parser, 'sgmlDecl') > '[CDATA['.length) refuseDeclaration();
  }
  parser.close();
  if (tree.elements === 0) throw fail('the OVF has no elements', text.length);
}

const TOO_MANY_ATTRIBUTES = `an element has more than ${MAX_ATTRIBUTES} attributes`;

interface ElementTree {
  /** How many elements are open. */
  readonly depth: number;
  /** The path of the innermost open element. */
  readonly path: string;
  /** How many elements have been entered. */
  readonly elements: number;
  /** Enters an element. Returns what is wrong with it, if anything. */
  enter(tag: QualifiedTag): string | undefined;
  leave(): void;
}

function elementTree(root: string): ElementTree {
  const open: Array<{ readonly path: string; readonly namespaces: number }> = [];
  let elements = 0;
  return {
    get depth() {
      return open.length;
    },
    get path() {
      return open.at(-1)?.path ?? '';
    },
    get elements() {
      return elements;
    },
    enter(tag) {
      const attributes = Object.values(tag.attributes);
      const parent = open.at(-1);
      const namespaces = (parent?.namespaces ?? 0) + attributes.filter(({ prefix }) => prefix === 'xmlns').length;
      if (parent === undefined && elements > 0) return 'the OVF has two root elements';
      if (parent === undefined && tag.local !== root) return `the root element is ${quote(tag.local)}, not ${quote(root)}`;
      if (++elements > MAX_ELEMENTS) return `the OVF has more than ${MAX_ELEMENTS} elements`;
      if (open.length >= MAX_DEPTH) return `the elements of the OVF are nested more than ${MAX_DEPTH} levels deep`;
      if (attributes.length > MAX_ATTRIBUTES) return TOO_MANY_ATTRIBUTES;
      if (namespaces > MAX_NAMESPACES) return `the OVF has more than ${MAX_NAMESPACES} namespaces in one place`;
      open.push({ path: parent === undefined ? tag.local : `${parent.path}/${tag.local}`, namespaces });
      return undefined;
    },
    leave() {
      open.pop();
    },
  };
}

function wrongWithNames(tag: QualifiedTag): string | undefined {
  for (const { name, uri } of [tag, ...Object.values(tag.attributes)]) {
    if (!/^[^:]+(?::[^:]+)?$/.test(name)) return `the name ${quote(name)} is invalid`;
    // For a prefix such as "constructor" sax finds a property of Object.prototype, which is not a string.
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

/** More than one only if two prefixes denote the namespace of the element, which XML does not allow. */
function candidates(attributes: readonly QualifiedAttribute[], local: string, uri: string): string[] {
  const named = attributes.filter((attribute) => attribute.local === local && attribute.prefix !== 'xmlns');
  const own = named.filter((attribute) => attribute.uri === uri);
  const other = named.find((attribute) => attribute.uri === '') ?? named[0];
  const chosen = own.length === 0 && other !== undefined ? [other] : own;
  return chosen.map(({ value }) => value);
}

/** The length of what sax has buffered but not reported: the attributes of a tag, or a declaration. */
function pending(parser: SAXParser, buffer: 'attribList' | 'sgmlDecl'): number {
  const value: unknown = Reflect.get(parser, buffer);
  return Array.isArray(value) || typeof value === 'string' ? value.length : 0;
}

interface Decoded {
  readonly text: string;
  /** The byte offset in the document of a character of the text. */
  readonly offsetOf: (index: number) => number;
}

/** UTF-16 with a byte order mark, otherwise UTF-8. Ignores the XML declaration: .NET writes "utf-16" into UTF-8 files. */
function decodeText(bytes: Uint8Array, member: string): Decoded {
  const [first, second, third] = bytes;
  const wide = first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : undefined;
  const markBytes = wide !== undefined ? 2 : first === 0xef && second === 0xbb && third === 0xbf ? 3 : 0;
  try {
    const text = new TextDecoder(wide ?? 'utf-8', { fatal: true }).decode(bytes);
    return { text, offsetOf: (index) => markBytes + (wide === undefined ? Buffer.byteLength(text.slice(0, index)) : 2 * index) };
  } catch (cause) {
    throw new VdiStreamError('OVF_XML', `the OVF is not ${wide === undefined ? 'UTF-8' : 'UTF-16'} text`, { member, cause });
  }
}
