/**
 * The XML-RPC call that xapi passes to a plugin as its only argument, and the document that the plugin prints (xen-api:
 * ocaml/xapi/xapi_plugins.ml):
 *
 *     <methodCall><methodName>FN</methodName><params>
 *       <param><value>SESSION</value></param>
 *       <param><value><struct><member><name>KEY</name><value>TEXT</value></member>…</struct></value></param>
 *     </params></methodCall>
 *
 * A value is bare text, `<string>` with text, or empty.
 */

import { KiB } from '../bytes.ts';
import { assert, VdiStreamError } from '../errors.ts';
import { printable, quote } from '../quote.ts';
import { NOT_XML, readStrictXml } from '../strict-xml.ts';

export interface Call {
  readonly fn: string;
  readonly members: ReadonlyMap<string, string>;
}

/** The longest argument that Linux passes to a program. */
const MAX_CHARACTERS = 128 * KiB;
const MAX_DEPTH = 16;

/** Throws USAGE. Ignores the session: the plugin is root in Dom0, where xe needs no login. */
export function readCall(text: string): Call {
  const call = parseXml(text);
  if (call.name !== 'methodCall') throw malformedCall(`its root element is ${quote(call.name)}, not "methodCall"`);
  const params = childrenOf(only(call, 'params'), 'param');
  const [, argument] = params;
  if (argument === undefined || params.length > 2)
    throw malformedCall(`it has ${params.length} parameters, expected a session and a struct`);
  const members = new Map<string, string>();
  for (const member of childrenOf(only(only(argument, 'value'), 'struct'), 'member')) {
    const { text: name } = only(member, 'name');
    if (members.has(name)) throw malformedCall(`it has the member ${quote(name)} twice`);
    members.set(name, textOf(only(member, 'value')));
  }
  return { fn: only(call, 'methodName').text.trim(), members };
}

const textOf = (value: Element): string => (value.children.length === 0 ? value.text : only(value, 'string').text);

interface Element {
  readonly name: string;
  readonly children: Element[];
  /** Without the text of its children. */
  text: string;
}

/** The only child with this name. */
function only(element: Element, name: string): Element {
  const found = element.children.filter((child) => child.name === name);
  const [child] = found;
  if (child === undefined || found.length > 1)
    throw malformedCall(`<${element.name}> has ${found.length} <${name}> elements, expected one`);
  return child;
}

/** The children, which must all have this name. */
function childrenOf(element: Element, name: string): readonly Element[] {
  const other = element.children.find((child) => child.name !== name);
  if (other !== undefined) throw malformedCall(`<${element.name}> has a child ${quote(other.name)}, expected only <${name}>`);
  return element.children;
}

function parseXml(text: string): Element {
  if (text.length > MAX_CHARACTERS) throw malformedCall(`it is longer than ${MAX_CHARACTERS} characters`);
  const open: Element[] = [];
  let root: Element | undefined;
  readStrictXml(text.replace(/\r\n?/g, '\n'), {
    namespaces: false,
    maxDepth: MAX_DEPTH,
    maxAttributes: 0,
    fail: (problem) => malformedCall(`it ${problem}`),
    openTag({ name }) {
      const element: Element = { name, children: [], text: '' };
      open.at(-1)?.children.push(element);
      root ??= element;
      open.push(element);
    },
    closeTag: () => void open.pop(),
    text(piece) {
      const element = open.at(-1);
      if (element !== undefined) element.text += piece;
    },
  });
  assert(root !== undefined, 'a strict document has a root');
  return root;
}

const malformedCall = (reason: string): VdiStreamError => new VdiStreamError('USAGE', `the argument is not an XML-RPC call: ${reason}`);

/** The document for a call that succeeded. */
export const successDocument = (value: string): string => document('Success', 'Value', escaped(value));

/** `description`: a xapi error code and its parameters, which xapi, Nova and their logs print. */
export function failureDocument(description: readonly string[]): string {
  const values = description.map((text) => `<value>${escaped(printable(text))}</value>`).join('');
  return document('Failure', 'ErrorDescription', `<array><data>${values}</data></array>`);
}

function document(status: 'Success' | 'Failure', name: string, value: string): string {
  const first = `<member><name>Status</name><value>${status}</value></member>`;
  const members = `${first}<member><name>${name}</name><value>${value}</value></member>`;
  return `<methodResponse><params><param><value><struct>${members}</struct></value></param></params></methodResponse>`;
}

const ENTITIES: ReadonlyMap<string, string> = new Map(Object.entries({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' }));

/** A character that XML cannot represent becomes U+FFFD. */
const escaped = (text: string): string =>
  text.replace(new RegExp(NOT_XML, 'gu'), '\ufffd').replace(/[&<>\r]/g, (character) => ENTITIES.get(character) ?? character);
