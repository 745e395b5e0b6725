/**
 * Record: what this host wrote down of an import that it began. It is on the medium before the VDI is created, and only its user can write it. So
 * a tag with the token of a record comes from this host, or is a copy of one that does; what the record says of the VDI excludes the copies.
 *
 *   /var/lib/vdistream/<token>    {"tag":…,"sr":…,"name":…,"size":…}
 *                                 {"vdi":…}    once the uuid is known
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

/** All throw RECORD. */
export interface Records {
  /** Resolves once the record is on the medium. */
  add(token: string, record: ImportRecord): Promise<void>;
  /** Adds the uuid of the VDI. */
  complete(token: string, vdi: string): Promise<void>;
  /** Undefined if there is no record of this token, or it was not written to its end. */
  find(token: string): Promise<ImportRecord | undefined>;
  /** The tokens of records that have not changed for a day. */
  old(): Promise<string[]>;
  /** Succeeds if the record is already gone. */
  remove(token: string): Promise<void>;
}

const DAY = 24 * 60 * 60 * 1000;

export function createRecords(folder = defaultRecordFolder()): Records {
  const pathOf = (token: string): string => join(folder, token);
  return {
    async add(token, { tag, sr, name, size }) {
      preparePrivateFolder(folder, 'RECORD');
      await guard(folder, async () => {
        await appendLine(pathOf(token), { tag, sr, name, size }, constants.O_CREAT | constants.O_EXCL);
        await syncFolder(folder);
      });
    },
    complete: (token, vdi) => guard(folder, () => appendLine(pathOf(token), { vdi }, 0)),
    async find(token) {
      if (!isToken(token) || !hasPrivateFolder(folder, 'RECORD')) return undefined;
      return guard(folder, async () => parseRecord(await readFile(pathOf(token), 'utf8').catch(ifMissing(''))));
    },
    async old() {
      if (!hasPrivateFolder(folder, 'RECORD')) return [];
      return guard(folder, async () => {
        const tokens = (await readdir(folder)).filter(isToken);
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
    throw new VdiStreamError('RECORD', `cannot keep the records of imports in ${folder}: ${reason}`, { errno: errnoOf(cause), cause });
  }
}

const ifMissing =
  <T>(value: T) =>
  (error: unknown): T => {
    if (codeOf(error) === 'ENOENT') return value;
    throw error;
  };

async function appendLine(path: string, fields: Partial<ImportRecord>, flags: number): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NOFOLLOW | flags, 0o600);
  try {
    await file.appendFile(`${JSON.stringify(fields)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Without its last line, if a crash has cut it short. */
function parseRecord(text: string): ImportRecord | undefined {
  const fields = new Map<string, unknown>();
  for (const line of text.split('\n').slice(0, -1)) {
    for (const [name, value] of Object.entries(parseLine(line))) fields.set(name, value);
  }
  const [tag, sr, name, vdi] = ['tag', 'sr', 'name', 'vdi'].map((field) => fields.get(field));
  const size = fields.get('size');
  if (typeof tag !== 'string' || typeof sr !== 'string' || typeof name !== 'string' || typeof size !== 'number') return undefined;
  return { tag, sr, name, size, ...(typeof vdi === 'string' && { vdi }) };
}

function parseLine(line: string): object {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
