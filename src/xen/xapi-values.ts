/** What XAPI returns, checked before use. 64-bit numbers come as numbers or, from older hosts, as text. */

import { VdiStreamError } from '../errors.ts';

/** The fields of an object. */
export type XapiRecord = ReadonlyMap<string, unknown>;

const unexpected = (what: string): VdiStreamError => new VdiStreamError('XAPI_FAILED', `XAPI returned an unexpected value for ${what}`);

export function toText(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw unexpected(what);
}

export function toRecord(value: unknown, what: string): XapiRecord {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return new Map(Object.entries(value));
  throw unexpected(what);
}

export function toTexts(value: unknown, what: string): string[] {
  if (Array.isArray(value)) return value.map((each) => toText(each, what));
  throw unexpected(what);
}

export const textField = (record: XapiRecord, name: string): string => toText(record.get(name), name);

export const textsField = (record: XapiRecord, name: string): string[] => toTexts(record.get(name), name);

/** Of a map from text to text. */
export const mapField = (record: XapiRecord, name: string): ReadonlyMap<string, string> =>
  new Map([...toRecord(record.get(name), name)].map(([key, value]) => [key, toText(value, name)]));

export function flagField(record: XapiRecord, name: string): boolean {
  const value = record.get(name);
  if (typeof value === 'boolean') return value;
  throw unexpected(name);
}

export function numberField(record: XapiRecord, name: string): number {
  const value = record.get(name);
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number)) return number;
  throw unexpected(name);
}

/** Whether a reference refers to something. */
export const isRef = (text: string): boolean => text !== '' && text !== 'OpaqueRef:NULL';
