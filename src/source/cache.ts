/**
 * Cache: whole images as they are stored, each found again by what its bytes hash to. An entry is never believed: it is hashed again each
 * time it is used, so anything may happen to the folder at any time. The folder has to be on a local file system, since only the
 * processes of one host know of each other.
 */

import { createHash } from 'node:crypto';
import { type FileHandle, stat } from 'node:fs/promises';
import { throwIfCancelled, VdiStreamError } from '../errors.ts';
import { withLock } from '../host/lock.ts';
import { evict, isKey, keep, makeRoom, nameOf, openEntry, removeEntry, touch } from './entries.ts';
import { fetchAnew, fetchInto, fetchUnnamed, type Keeping, keepingError, keptSource } from './fetched.ts';
import { fileCursor } from './file.ts';
import type { Digest, Opener, Source, SourceOptions } from './source.ts';
import { partFile, prepareFolder, removeFile } from './staging.ts';
import { digestsOf, wrongSum } from './stream.ts';

export interface CacheOptions {
  readonly folder: string;
  /** Bytes that all images together may take. */
  readonly size: number;
}

/**
 * Keeps images by their checksum in `folder`, at most `size` bytes of them, and gives up the least recently used ones first. An image
 * without a known checksum, or larger than that, is only staged there. Opening throws CACHE, USAGE, CANCELLED, SOURCE_CHECKSUM, and what
 * describing, opening and reading `from` does.
 */
export function cachedImage(from: Opener, { folder, size }: CacheOptions): Opener {
  const keeping: Keeping = { folder, code: 'CACHE', makeRoom: (length) => makeRoom(folder, length) };
  return {
    name: from.name,
    async open(options) {
      if (!(size >= 0)) throw new VdiStreamError('USAGE', 'the size of a cache is a number of bytes');
      const { digest, length } = (await from.describe?.(options)) ?? {};
      // What the source tells comes first: whoever asks for this image is told the same.
      const keys = digestsOf(options, digest).reverse().filter(isKey);
      const wanted: Wanted = { from, options, keeping, keys, length, size };
      const [key] = keys;
      try {
        await prepareFolder(folder);
        if (key === undefined || (length !== undefined && length > size)) return await fetchUnnamed(from, options, keeping);
        return (await find(wanted, 'alone or not')) ?? (await findOrFetch(wanted, key));
      } catch (cause) {
        throw keepingError(keeping, cause);
      }
    },
  };
}

interface Wanted {
  readonly from: Opener;
  readonly options: SourceOptions;
  readonly keeping: Keeping;
  /** All that the bytes have to hash to. An entry may have the name of any of them. */
  readonly keys: readonly Digest[];
  /** Bytes of the image, where that is known. */
  readonly length: number | undefined;
  /** Bytes of the cache. */
  readonly size: number;
}

/** Of all processes that want the same image, one fetches it. */
async function findOrFetch(wanted: Wanted, key: Digest): Promise<Source> {
  const { keeping, options } = wanted;
  // A folder may have many paths.
  const { dev, ino } = await stat(keeping.folder);
  const work = async (): Promise<Source> => (await find(wanted, 'alone')) ?? (await fetchKept(wanted, key));
  return withLock(`cache ${dev}:${ino} ${nameOf(key)}`, work, options.signal);
}

/** Who is alone removes what is not what its name says; for others, it could be what another process has just put there. */
async function find(wanted: Wanted, who: 'alone' | 'alone or not'): Promise<Source | undefined> {
  const { from, options, keeping, keys } = wanted;
  for (const key of keys) {
    const file = await openEntry(keeping.folder, key);
    const source =
      file &&
      (await closedUnlessUsed(file, async () => {
        if (!(await isImage(file, wanted, key))) return undefined;
        await touch(file, keeping.folder);
        return keptSource(file, from, options, keeping);
      }));
    if (source !== undefined) return source;
    if (who === 'alone') await removeEntry(keeping.folder, key);
  }
  return undefined;
}

async function closedUnlessUsed(file: FileHandle, use: () => Promise<Source | undefined>): Promise<Source | undefined> {
  let source: Source | undefined;
  try {
    source = await use();
    return source;
  } finally {
    if (source === undefined) await file.close();
  }
}

/** Whether the file has what its key says. Throws SOURCE_CHECKSUM if it does, but is not the image that is wanted, and CANCELLED. */
async function isImage(file: FileHandle, { from, options, keys, length }: Wanted, key: Digest): Promise<boolean> {
  const found = await file.stat();
  // Another user could change the bytes once they have been looked at.
  if (!found.isFile() || found.uid !== process.geteuid?.()) return false;
  if (length !== undefined && found.size !== length) return false;
  const sums = keys.map((digest) => ({ ...digest, hash: createHash(digest.algorithm) }));
  const cursor = fileCursor(file, found.size, from.name, () => {});
  try {
    for await (const chunk of cursor.chunks()) {
      throwIfCancelled(options.signal);
      for (const { hash } of sums) hash.update(chunk);
      options.onRead?.(cursor.position, found.size);
    }
  } catch (error) {
    throwIfCancelled(options.signal);
    if (error instanceof VdiStreamError) return false; // cut while it was read, or on a bad sector
    throw error;
  }
  const wrong = sums.map(({ hash, ...digest }) => ({ ...digest, found: hash.digest('hex') })).filter(({ hex, found }) => found !== hex);
  if (wrong.some(({ hex }) => hex === key.hex)) return false;
  for (const { algorithm, hex, found } of wrong) throw wrongSum(from.name, { algorithm, hex: found }, hex);
  return true;
}

/** Leaves nothing behind when it fails. */
function fetchKept({ from, options, keeping, size }: Wanted, key: Digest): Promise<Source> {
  const { folder } = keeping;
  return fetchAnew(options, async () => {
    const part = await partFile(folder);
    try {
      const hash = createHash(key.algorithm);
      const length = await fetchInto(part.file, from, options, { ...keeping, onChunk: (chunk) => hash.update(chunk) });
      const hex = hash.digest('hex');
      if (hex !== key.hex) throw wrongSum(from.name, { algorithm: key.algorithm, hex }, key.hex);
      if (length > size) await removeFile(part.path);
      else {
        await keep(part, folder, key);
        await evict(folder, size);
      }
      return await keptSource(part.file, from, options, keeping);
    } catch (error) {
      await part.file.close();
      await removeFile(part.path).catch(() => {}); // what went wrong first is told
      throw error;
    }
  });
}
