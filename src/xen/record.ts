/**
 * Record: what this host wrote down of an import or an export that it began. It is on the medium before the VDI of an import or the VBD of an
 * export is created, and only its user can write it. So a tag with the token of a record comes from this host, or is a copy of one that does;
 * what the record says of the VDI excludes the copies. The record of an export has the uuid of a VDI that belongs to others: it only permits
 * the removal of the VBD.
 *
 *   /var/lib/vdistream/<token>    {"tag":…,"sr":…,"name":…,"size":…}
 *                                 {"vdi":…}    once the uuid is known
 *
 *                                 {"kind":"export","tag":…,"sr":…,"vdi":…,"before":[…]}
 *                                 {"vbd":…}    once the uuid is known
 */

import { constants } from 'node:fs';
import { open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, VdiStreamError } from '../errors.ts';
import { codeOf, errnoOf } from '../host/errno.ts';
import { syncFolder } from '../host/open-file.ts';
import { defaultRecordFolder, hasPrivateFolder, preparePrivateFolder } from '../host/private-folder.ts';
import { isToken } from './owner-tag.ts';
import type { NewVdi } from './toolstack.ts';

export interface ImportRecord extends Pick<NewVdi, 'sr' | 'name' | 'size'> {
  /** The text of the owner tag. */
  readonly tag: string;
  /** uuid of the VDI; absent if the import ended before it was known. */
  readonly vdi?: string;
}

export interface ExportRecord {
  /** The text of the owner tag. */
  readonly tag: string;
  /** uuid of the SR of the VDI. */
  readonly sr: string;
  /** uuid of the VDI. */
  readonly vdi: string;
  /** uuids of the VBDs that the VDI had in this host's Dom0 before. */
  readonly before: readonly string[];
  /** uuid of the VBD; absent if the export ended before it was known. */
  readonly vbd?: string;
}

/** All throw RECORD. */
export interface Records {
  /** Resolves once the record is on the medium. */
  add(token: string, record: ImportRecord): Promise<void>;
  /** Adds the uuid of the VDI. */
  complete(token: string, vdi: string): Promise<void>;
  /** Undefined if there is no record of an import with this token, or it was not written to its end. */
  find(token: string): Promise<ImportRecord | undefined>;
  /** Resolves once the record is on the medium. */
  addExport(token: string, record: ExportRecord): Promise<void>;
  /** Adds the uuid of the VBD. */
  completeExport(token: string, vbd: string): Promise<void>;
  /** Those of all exports, by token. */
  exports(): Promise<ReadonlyMap<string, ExportRecord>>;
  /** The tokens of records that have not changed for a day. */
  old(): Promise<string[]>;
  /** Succeeds if the record is already gone. */
  remove(token: string): Promise<void>;
}

const DAY = 24 * 60 * 60 * 1000;

export function createRecords(folder = defaultRecordFolder()): Records {
  const pathOf = (token: string): string => join(folder, token);
  const fieldsOf = async (token: string): Promise<Fields> => parseFields(await readFile(pathOf(token), 'utf8').catch(ifMissing('')));
  const tokensIn = async (): Promise<string[]> => (await readdir(folder)).filter(isToken);
  async function create(token: string, fields: object): Promise<void> {
    preparePrivateFolder(folder, 'RECORD');
    await guard(folder, async () => {
      await appendLine(pathOf(token), fields, constants.O_CREAT | constants.O_EXCL);
      await syncFolder(folder);
    });
  }
  return {
    add: (token, { tag, sr, name, size }) => create(token, { tag, sr, name, size }),
    complete: (token, vdi) => guard(folder, () => appendLine(pathOf(token), { vdi }, 0)),
    async find(token) {
      if (!isToken(token) || !hasPrivateFolder(folder, 'RECORD')) return undefined;
      return guard(folder, async () => importRecord(await fieldsOf(token)));
    },
    addExport: (token, { tag, sr, vdi, before }) => create(token, { kind: EXPORT, tag, sr, vdi, before }),
    completeExport: (token, vbd) => guard(folder, () => appendLine(pathOf(token), { vbd }, 0)),
    async exports() {
      const found = new Map<string, ExportRecord>();
      if (!hasPrivateFolder(folder, 'RECORD')) return found;
      return guard(folder, async () => {
        for (const token of await tokensIn()) {
          const record = exportRecord(await fieldsOf(token));
          if (record !== undefined) found.set(token, record);
        }
        return found;
      });
    },
    async old() {
      if (!hasPrivateFolder(folder, 'RECORD')) return [];
      return guard(folder, async () => {
        const tokens = await tokensIn();
        const times = await Promise.all(tokens.map(async (token) => (await stat(pathOf(token)).catch(() => undefined))?.mtimeMs));
        return tokens.filter((_, index) => Date.now() - (times[index] ?? Number.POSITIVE_INFINITY) > DAY);
      });
    },
    remove: (token) => guard(folder, () => unlink(pathOf(token)).catch(ifMissing(undefined))),
  };
}

async function guard<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const reason = messageOf(cause);
    throw new VdiStreamError('RECORD', `cannot keep the records in ${folder}: ${reason}`, { errno: errnoOf(cause), cause });
  }
}

const ifMissing =
  <T>(value: T) =>
  (error: unknown): T => {
    if (codeOf(error) === 'ENOENT') return value;
    throw error;
  };

async function appendLine(path: string, fields: object, flags: number): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW | flags, 0o600);
  try {
    await file.appendFile(`${JSON.stringify(fields)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

type Fields = ReadonlyMap<string, unknown>;

/** Without those of the last line, if a crash has cut it short. */
function parseFields(text: string): Fields {
  const fields = new Map<string, unknown>();
  for (const line of text.split('\n').slice(0, -1)) {
    for (const [name, value] of Object.entries(parseLine(line))) fields.set(name, value);
  }
  return fields;
}

/** Absent from the record of an import. */
const EXPORT = 'export';

function importRecord(fields: Fields): ImportRecord | undefined {
  const [tag, sr, name, vdi] = ['tag', 'sr', 'name', 'vdi'].map((field) => fields.get(field));
  const size = fields.get('size');
  if (fields.has('kind') || typeof tag !== 'string' || typeof sr !== 'string') return undefined;
  if (typeof name !== 'string' || typeof size !== 'number') return undefined;
  return { tag, sr, name, size, ...(typeof vdi === 'string' && { vdi }) };
}

function exportRecord(fields: Fields): ExportRecord | undefined {
  const [tag, sr, vdi, vbd] = ['tag', 'sr', 'vdi', 'vbd'].map((field) => fields.get(field));
  const before = fields.get('before');
  if (fields.get('kind') !== EXPORT || typeof tag !== 'string' || typeof sr !== 'string') return undefined;
  if (typeof vdi !== 'string' || !Array.isArray(before)) return undefined;
  return { tag, sr, vdi, before: before.map(String), ...(typeof vbd === 'string' && { vbd }) };
}

function parseLine(line: string): object {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
