/**
 * The call that xapi gives a plugin as its one argument, and the document that the plugin answers (xen-api:
 * ocaml/xapi/xapi_plugins.ml):
 *
 *     <methodCall><methodName>FN</methodName><params>
 *       <param><value>SESSION</value></param>
 *       <param><value><struct><member><name>KEY</name><value>TEXT</value></member>…</struct></value></param>
 *     </params></methodCall>
 *
 * A value is bare text, `<string>` with text, or nothing at all.
 */

import sax from 'sax';
import { KiB } from '../bytes.ts';
import { VdiStreamError } from '../errors.ts';
import { quote } from '../quote.ts';

export interface Call {
  readonly fn: string;
  readonly members: ReadonlyMap<string, string>;
}

/** Linux passes no longer argument to a program. */
const MAX_CHARACTERS = 128 * KiB;
const MAX_DEPTH = 16;
const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

/** Throws USAGE. The session is not looked at: the plugin is root in Dom0, and xe logs in by itself there. */
export function readCall(text: string): Call {
  const call = parseXml(text);
  if (call.name !== 'methodCall') throw malformedCall(`it begins with ${quote(call.name)}, not with "methodCall"`);
  const params = all(only(call, 'params'), 'param');
  const [, given] = params;
  if (given === undefined || params.length > 2) throw malformedCall(`it has ${params.length} parameters, not a session and a struct`);
  const members = new Map<string, string>();
  for (const member of all(only(only(given, 'value'), 'struct'), 'member')) {
    const { text: name } = only(member, 'name');
    if (members.has(name)) throw malformedCall(`the member ${quote(name)} is there twice`);
    members.set(name, textOf(only(member, 'value')));
  }
  return { fn: only(call, 'methodName').text.trim(), members };
}

const textOf = (value: Element): string => (value.children.length === 0 ? value.text : only(value, 'string').text);

interface Element {
  readonly name: string;
  readonly children: Element[];
  /** All of it, without that of the children. */
  text: string;
}

/** The one child of this name. */
function only(element: Element, name: string): Element {
  const found = element.children.filter((child) => child.name === name);
  const [child] = found;
  if (child === undefined || found.length > 1) throw malformedCall(`<${element.name}> has ${found.length} of <${name}>, not one`);
  return child;
}

/** The children, where they are all of this name. */
function all(element: Element, name: string): readonly Element[] {
  const other = element.children.find((child) => child.name !== name);
  if (other !== undefined) throw malformedCall(`<${element.name}> has ${quote(other.name)} where only <${name}> may be`);
  return element.children;
}

/** No attributes and no DOCTYPE, so no entities but the five of XML and character references. */
function parseXml(text: string): Element {
  if (text.length > MAX_CHARACTERS) throw malformedCall(`it is longer than ${MAX_CHARACTERS} characters`);
  // No HTML entities either; the types of sax do not know that option, so these are no literal.
  const options = { strictEntities: true, trim: false };
  const parser = new sax.SAXParser(true, options);
  const open: Element[] = [];
  let root: Element | undefined;

  parser.onerror = (error) => {
    throw malformedCall(`it is not well-formed XML: ${error.message.split('\n')[0]?.slice(0, 100)}`);
  };
  const refuse = (what: string) => (): void => {
    throw malformedCall(`it has ${what}, which no call needs`);
  };
  parser.ondoctype = refuse('a DOCTYPE');
  parser.onsgmldeclaration = refuse('a declaration');
  parser.onattribute = refuse('an attribute');
  parser.onopentag = ({ name }) => {
    const element: Element = { name, children: [], text: '' };
    const parent = open.at(-1);
    if (parent === undefined && root !== undefined) throw malformedCall('it has two root elements');
    if (open.length >= MAX_DEPTH) throw malformedCall(`its elements are nested more than ${MAX_DEPTH} deep`);
    parent?.children.push(element);
    root ??= element;
    open.push(element);
  };
  parser.onclosetag = () => void open.pop();
  const onText = (piece: string): void => {
    const element = open.at(-1);
    // A character reference can stand for what may not stand in the document itself.
    if (piece.search(NOT_XML) >= 0) throw malformedCall('it has a character that XML does not allow');
    if (element !== undefined) element.text += piece;
    else if (piece.trim() !== '') throw malformedCall('it has text outside of its elements');
  };
  parser.ontext = onText;
  parser.oncdata = onText;

  parser.write(text.replace(/\r\n?/g, '\n')).close();
  if (root === undefined) throw malformedCall('it is empty');
  return root;
}

const malformedCall = (reason: string): VdiStreamError => new VdiStreamError('USAGE', `the argument is no call of XML-RPC: ${reason}`);

/** The document of a call that was done. */
export const successDocument = (value: string): string => document('Success', 'Value', escaped(value));

/** `description`: a code of xapi, and what belongs to it. */
export function failureDocument(description: readonly string[]): string {
  const values = description.map((text) => `<value>${escaped(text)}</value>`).join('');
  return document('Failure', 'ErrorDescription', `<array><data>${values}</data></array>`);
}

function document(status: 'Success' | 'Failure', name: string, value: string): string {
  const first = `<member><name>Status</name><value>${status}</value></member>`;
  const members = `${first}<member><name>${name}</name><value>${value}</value></member>`;
  return `<methodResponse><params><param><value><struct>${members}</struct></value></param></params></methodResponse>`;
}

const ENTITIES: ReadonlyMap<string, string> = new Map(Object.entries({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' }));

/** What XML has no way to write becomes U+FFFD. */
const escaped = (text: string): string =>
  text.replace(NOT_XML, '\ufffd').replace(/[&<>\r]/g, (character) => ENTITIES.get(character) ?? character);
