/**
 * Strict XML: sax, plus the checks that untrusted documents need. There is no DOCTYPE, so no entities but XML's five and character
 * references, and depth and attributes are limited.
 *
 * sax parses without recursion, but accepts more than XML 1.0 allows: two roots, CDATA outside the root, an attribute twice, NUL bytes.
 * Those are refused here.
 */

import sax, { type QualifiedTag, type SAXParser, type Tag } from 'sax';
import { quote } from './quote.ts';

export const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

/** Characters per write to sax. It checks its buffers (64 Ki characters of one comment or value) once per write. */
const PIECE = 1024;

interface XmlReader {
  /** Tags are QualifiedTags. */
  readonly namespaces: boolean;
  readonly maxDepth: number;
  /** Per element. */
  readonly maxAttributes: number;
  /** The error at a character of the document. `problem` is a predicate, such as "has two root elements". */
  fail(problem: string, index: number): Error;
  /** `index`: the character where the tag starts. */
  openTag(tag: Tag | QualifiedTag, index: number): void;
  closeTag(): void;
  /** Called for text and CDATA; one text may arrive in pieces. */
  text?(piece: string): void;
}

/** Throws what `fail` returns. */
export function readStrictXml(text: string, reader: XmlReader): void {
  const { namespaces, maxDepth, maxAttributes } = reader;
  const forbidden = text.search(NOT_XML);
  if (forbidden >= 0) throw reader.fail('has a character that XML does not allow', forbidden);

  // A variable, because the types of sax lack strictEntities, which excludes HTML entities.
  const options = { xmlns: namespaces, strictEntities: true };
  const parser = new sax.SAXParser(true, options);
  const attributes = new Set<string>();
  let depth = 0;
  let hasRoot = false;
  const refuse = (problem: string): never => {
    throw reader.fail(problem, Math.max(parser.startTagPosition - 1, 0));
  };
  const refuseDeclaration = (): never => refuse('has a DOCTYPE or another declaration');
  const checkAttributes = (count: number): void => {
    if (count <= maxAttributes) return;
    refuse(maxAttributes === 0 ? 'has an attribute' : `has an element with more than ${maxAttributes} attributes`);
  };

  parser.onerror = (error) => {
    const [reason = ''] = error.message.split('\n');
    throw reader.fail(`is not well-formed XML: ${reason.slice(0, 100)}`, parser.position);
  };
  parser.ondoctype = refuseDeclaration;
  parser.onsgmldeclaration = refuseDeclaration;
  parser.onopencdata = () => {
    if (depth === 0) refuse('has text outside its root element');
  };
  parser.onattribute = ({ name }) => {
    if (attributes.has(name)) refuse(`has an element with the attribute ${quote(name)} twice`);
    attributes.add(name);
    checkAttributes(attributes.size);
  };
  parser.onopentag = (tag) => {
    attributes.clear();
    if (depth === 0 && hasRoot) refuse('has two root elements');
    if (++depth > maxDepth) refuse(`has elements nested more than ${maxDepth} deep`);
    hasRoot = true;
    reader.openTag(tag, Math.max(parser.startTagPosition - 1, 0));
  };
  parser.onclosetag = () => {
    depth--;
    reader.closeTag();
  };
  parser.ontext = (piece) => reader.text?.(piece);
  parser.oncdata = (piece) => reader.text?.(piece);

  for (let at = 0; at < text.length; at += PIECE) {
    parser.write(text.slice(at, at + PIECE));
    // sax reports both only at their end, and until then its time grows with the square of their length.
    checkAttributes(pending(parser, 'attribList'));
    if (pending(parser, 'sgmlDecl') > '[CDATA['.length) refuseDeclaration();
  }
  parser.close();
  if (!hasRoot) throw reader.fail('has no elements', text.length);
}

/** The length of what sax has read of a tag's attributes, or after "<!", but not reported yet. */
function pending(parser: SAXParser, buffer: 'attribList' | 'sgmlDecl'): number {
  const value: unknown = Reflect.get(parser, buffer);
  return Array.isArray(value) || typeof value === 'string' ? value.length : 0;
}
